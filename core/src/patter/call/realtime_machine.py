"""The session machine of a call with an engine: one that may reply, and stop replying, by itself. Pure.

All else is the machine of every call: the same states, playout, barge-in and turns (RT-24).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from patter.call.actions import Action, Emit, SendClear
from patter.call.machine import SessionMachine
from patter.call.session_state import SessionSettings, State
from patter.call.types import BargeInOutcome

if TYPE_CHECKING:
    from patter.call.barge_in import BargeIn
    from patter.call.playout import Playout
    from patter.call.realtime_conversation import RealtimeConversation
    from patter.providers.carrier import CallStatus

#: what the agent said waits so long for what the caller said before it (RT-16), in s
TRANSCRIPT_S = 3.0


class RealtimeMachine(SessionMachine):
    """See `SessionMachine`.

    Attributes:
        engine_decides: whether the engine replies, and stops, by itself.
        unanswered: the caller's texts that it has not answered.
    """

    conversation: RealtimeConversation

    def __init__(
        self,
        settings: SessionSettings,
        playout: Playout,
        barge_in: BargeIn,
        conversation: RealtimeConversation,
        *,
        engine_decides: bool,
    ) -> None:
        super().__init__(settings, playout, barge_in, conversation)
        self.engine_decides = engine_decides
        self.unanswered: Callable[[], list[str]] = list
        self._write_at: float | None = None

    # -- the caller, where the engine replies by itself

    def interim(self, text: str, t: float) -> list[Action]:
        """A partial transcript; without speech events it says nothing about when that was said."""
        if self.engine_decides and not self.caller.has_vad:
            self.silence.broken(t)
            self._actions.append(Emit("transcript_partial", text))
            return self._take(t)
        return super().interim(text, t)

    def caller_said(self, text: str, t: float) -> list[Action]:
        """What was understood of the caller; the engine has heard it and answers by itself."""
        if self.state is State.ENDED:
            return []
        self._actions += self.caller.final(text, t)
        if text:
            self.silence.broken(t)
            self._actions.append(Emit("transcript_final", text))
        return self._take(t)

    def turn_text(self, turn: int, text: str, t: float) -> None:
        """The text of a user turn that is answered has come, or more of it."""
        reply = self.reply
        if reply is not None and reply.user_turn == turn:
            reply.user_text = text
        self.conversation.user(turn, text, self._spoken_at(t))
        if not self.conversation.is_waiting:
            self._write_at = None

    def answers(self, text: str, t: float) -> list[Action]:
        """The caller has spoken, and the engine is asked to reply; with "" it alone knows what was said."""
        if self._agent.presses_keys:
            self.turns.hold(text, triggers=True)
        elif self.state is State.LISTENING:
            self._dispatch(self.turns.begin(text, t, self._trigger), t)
        return self._take(t)

    # -- the engine

    def response_began(self, text: str, t: float, *, answers: bool, awaited: bool) -> list[Action]:
        """The engine begins to speak by itself, while the agent has nothing to say; `reply` is the turn.

        `answers` says whether it answers the caller; `text` is what is known of what was said, and `awaited` that more
        of it is to come.
        """
        if not answers:
            self._actions.append(self._agent.begin("announcement", ""))
        else:
            dispatch = self.turns.begin(text, t, "vad_silence")
            self._actions += self.caller.answered()
            if awaited:
                self.conversation.expect(dispatch.turn, self._spoken_at(t))
            elif text:
                self.conversation.user(dispatch.turn, text, self._spoken_at(t))
            self._actions += [Emit("user_speech_eos", dispatch.trigger), Emit("turn_started", dispatch.turn)]
            self._actions.append(self._agent.begin("reply", text, dispatch))
        if self.state is not State.DRAINING:
            self.state = State.THINKING
        return self._take(t)

    def _spoken_at(self, t: float) -> float:
        return self._ms(t if self.caller.began is None else self.caller.began)

    def engine_interrupted(self, t: float) -> list[Action]:
        """The engine cancelled what it was saying: that is followed at once, whatever the gate says (RT-17)."""
        if self.reply is None or self.state not in (State.THINKING, State.SPEAKING):
            return []
        decision = replace(self.barge_in.stopped(t), requested=False)
        outcome: BargeInOutcome = decision.outcome_for(self.reply.reply)
        self._actions.append(Emit("interruption", outcome))
        self.interruptions += 1
        self._interrupt(t)
        return self._take(t)

    def begin_again(self, t: float) -> list[Action]:
        """The current agent turn starts anew: nothing of it counts as said (RT-09)."""
        reply, playout = self.reply, self.playout
        if reply is None:
            return []
        if playout.began_sending:
            self._actions.append(SendClear())
        if self._agent.is_sounding:
            self._actions.append(Emit("agent_speech_ended", reply.reply))
        playout.clear(t)
        playout.begin(reply.reply, mark_each_chunk=True)
        reply.first_audio_at, reply.made = None, False
        self._agent.is_sounding = False
        self.barge_in.agent_turn_over()
        if self.state is State.SPEAKING:
            self.state = State.THINKING
        return self._take(t)

    # -- the transcript

    def _close_turn(self, t: float, *, interrupted: bool) -> None:
        super()._close_turn(t, interrupted=interrupted)
        if self.conversation.is_waiting and self._write_at is None:
            self._write_at = t + TRANSCRIPT_S

    def _end(self, status: CallStatus, reason: str, t: float, *, by_carrier: bool = False) -> None:
        if self.state is not State.ENDED:
            for text in self.unanswered():
                self.turns.hold(text, triggers=False)
        super()._end(status, reason, t, by_carrier=by_carrier)
        self.conversation.give_up()

    def time_passed(self, t: float) -> list[Action]:
        """Look at the clock; what waits for the caller's text waits no longer than 3 s."""
        if self._write_at is not None and t >= self._write_at:
            self._write_at = None
            self.conversation.give_up()
        return super().time_passed(t)

    def deadline(self, t: float) -> float:
        """When `time_passed` must be called at the latest."""
        moment = super().deadline(t)
        if self._write_at is None or self.state in (State.IDLE, State.ENDED):
            return moment
        return min(moment, self._write_at)
