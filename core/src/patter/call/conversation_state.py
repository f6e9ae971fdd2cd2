"""Who is doing what at a moment, as applications see it (TN-10). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.session_state import State
from patter.call.types import ConversationState

if TYPE_CHECKING:
    from patter.call.machine import SessionMachine
    from patter.call.types import AgentState, UserState


def conversation_state(machine: SessionMachine, t: float) -> ConversationState:
    """The state of both sides at time t, in s of the call's clock."""
    return ConversationState(_user(machine, t), _agent(machine))


def _user(machine: SessionMachine, t: float) -> UserState:
    if machine.state in (State.IDLE, State.ENDED):
        return "listening"
    if machine.caller.is_going_on(t):
        return "speaking"
    if machine.silence.caller_is_away(t):
        return "away"
    return "thinking" if machine.state is State.LISTENING else "listening"


def _agent(machine: SessionMachine) -> AgentState:
    if machine.state is State.IDLE:
        return "initializing"
    if machine.state is State.ENDED:
        return "idle"
    reply = machine.reply
    if reply is None:
        return "listening"
    return "thinking" if reply.first_audio_at is None else "speaking"
