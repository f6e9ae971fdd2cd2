"""What a call asks of its engine: one description for the parked and the live connection (PW-10)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from patter.call.builtin_tools import builtin_tools
from patter.call.prompts import prompts_of
from patter.providers.realtime import RealtimeSession

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.audio.formats import AudioFormat
    from patter.call.call import Call
    from patter.call.plan import CallPlan
    from patter.providers.llm import Message
    from patter.records import RealtimeRecord

logger = logging.getLogger(__name__)


def session_of(
    plan: CallPlan,
    call: Call,
    carrier_format: AudioFormat,
    can_transfer: bool,
    history: Sequence[Message] = (),
) -> RealtimeSession:
    """The session of a call. `can_transfer` says whether the carrier can hand the caller over."""
    agent = plan.agent
    prompts = prompts_of(agent, call.parameters)
    tools = [tool.spec for tool in agent.tools]
    return RealtimeSession(
        instructions=prompts.system,
        tools=(*tools, *builtin_tools(can_transfer)),
        language=agent.language if "language" in agent.model_fields_set else None,
        first_message="" if history else prompts.first_message,  # a session that goes on greets nobody
        carrier_format=carrier_format,
        patter_decides=plan.patter_decides,
        history=tuple(history),
    )


def patter_decides(agent: Agent, engine: RealtimeRecord, *, has_vad: bool) -> bool:
    """Whether Patter, and not the engine, decides about interruptions and replies (RT-24).

    With strategies, in mode `confirm` or `pause`, and where the application commits turns; but only an engine that can
    be asked for a response, and of which it is known when the caller speaks, can be led like that.
    """
    wanted = bool(agent.barge_in_strategies) or agent.effective_barge_in_mode != "cancel"
    if not wanted and agent.turn_end != "manual":
        return False
    if engine.client_interrupt and (engine.turn_events or has_vad):
        return True
    logger.warning(
        "the engine %s replies and stops by itself: barge_in_strategies, barge_in_mode and turn_end have no effect",
        engine.name,
    )
    return False
