"""Makes the sessions of a phone's calls: providers, machine, shell."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from patter.call.barge_in import BargeIn, BargeInSettings
from patter.call.circuit_breaker import CircuitBreakers
from patter.call.conversation import Conversation
from patter.call.lineup import Lineup, LineupServices
from patter.call.machine import SessionMachine
from patter.call.playout import Playout
from patter.call.prompts import prompts_of
from patter.call.realtime_conversation import RealtimeConversation
from patter.call.realtime_machine import RealtimeMachine
from patter.call.session import CallSession, SessionParts
from patter.call.session_state import SessionSettings
from patter.call.tool_setup import give_tools
from patter.call.turn_settings import measure_turns
from patter.errors import ConfigError
from patter.providers.billing import ReportedBill
from patter.server.ringing import Ringing
from patter.server.start_and_end import StartAndEnd

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from patter.agent import Agent
    from patter.audio.formats import AudioFormat
    from patter.call.call import Call
    from patter.call.connection import MediaLeg
    from patter.call.plan import CallPlan
    from patter.call.record import CallRecord
    from patter.call.types import CallSummary
    from patter.client import Patter
    from patter.plugins import HookDispatcher
    from patter.providers.carrier import StatusReport, StreamStarted
    from patter.server.line import Line, Trunk

logger = logging.getLogger(__name__)

#: how long after its first audio an agent turn can be interrupted, without and with an echo canceller (BI-02), in s
GATE_S = 0.25
GATE_ECHO_CANCELLATION_S = 1.0
#: what was made ready lives so much longer than the phone rings, in s
RING_GRACE_S = 5.0


class PhoneCallMaker:
    """See `patter.server.line.CallMaker`."""

    def __init__(self, phone: Patter) -> None:
        self._phone = phone
        self._callbacks = StartAndEnd(phone.callbacks, phone.planner)
        self._ringing = Ringing(self._lineup, phone.warming)
        self._breakers = CircuitBreakers()

    def plan(self, agent: Agent | None) -> CallPlan:
        """The plan of a call with that agent, or with the phone's. Raises `ConfigError`."""
        if agent is None:
            if self._phone.agent is None:
                raise ConfigError("there is no default agent: serve(agent), or accept calls with one")
            return self._phone.planner.plan(self._phone.agent)
        return self._phone.planner.plan(self._phone.complete(agent))

    def scope(self, line: Line) -> AbstractContextManager[None]:
        """The call's traces."""
        return self._phone.telemetry.call_scope(line)

    def hooks(self, call: Call) -> HookDispatcher:
        """The hooks of a call."""
        return self._phone.hooks(call)

    async def started(self, call: Call, plan: CallPlan) -> CallPlan:
        """The plan with what `on_call_start` changed for this call."""
        return await self._callbacks.started(call, plan)

    def bill(self, line: Line, summary: CallSummary) -> CallSummary:
        """The summary with what the call cost."""
        return self._phone.billing.bill(line, summary)

    def closed(self, line: Line) -> None:
        """Ask the vendors for their own figures later."""
        self._phone.billing.ask_later(line)

    def reported(self, record: CallRecord, trunk: Trunk, report: StatusReport) -> None:
        """Put the carrier's duration in the place of Patter's."""
        bill = ReportedBill(seconds=report.duration_s)
        self._phone.billing.reported(record, trunk.record, bill)

    async def look_for_bills(self) -> None:
        """Ask the vendors of ended calls what they billed."""
        await self._phone.billing.look()

    async def ended(self, call: Call, summary: CallSummary) -> None:
        """Call `on_call_end`."""
        await self._callbacks.ended(call, summary)

    def ring(self, line: Line, ring_s: float) -> None:
        """Make, warm and park what the call will need, for the ring and 5 s more."""
        self._ringing.begin(line, ring_s + RING_GRACE_S)

    async def release(self, line: Line) -> None:
        """Release what was made for the call and not used."""
        await self._ringing.end(line)

    def _lineup(self, line: Line, plan: CallPlan, audio_format: AudioFormat) -> Lineup:
        phone = self._phone
        context = phone.context_for(line.call, audio_format, plan.agent.language)
        clock, transfers = phone.environment.clock, bool(line.trunk.record.transfers)
        services = LineupServices(phone.plugins, phone.planner, phone.vads, clock, phone.warming, transfers)
        return Lineup(line.call, plan, context, services, line.hooks)

    def _machine(
        self, call: Call, plan: CallPlan, lineup: Lineup, audio_format: AudioFormat, marks: bool
    ) -> SessionMachine:
        agent = plan.agent
        prompts = prompts_of(agent, call.parameters)
        if prompts.unknown:
            logger.warning(
                "call %s: no value for the placeholders %s; they stay as they are",
                call.id,
                ", ".join(prompts.unknown),
            )
        settings = SessionSettings(
            first_message=prompts.first_message,
            turn_end=plan.turn_end,
            max_duration_s=self._phone.settings.max_call_s,
            can_finalize=not lineup.has_engine,
            idle_prompt=prompts.idle_prompt,
            idle_prompt_s=agent.idle_prompt_s,
            idle_hangup_s=agent.idle_hangup_s,
        )
        engine_decides = lineup.has_engine and not plan.patter_decides
        judging = BargeInSettings(
            mode="cancel" if engine_decides else agent.effective_barge_in_mode,
            gate_s=GATE_ECHO_CANCELLATION_S if agent.echo_cancellation else GATE_S,
            confirm_s=agent.barge_in_confirm_ms / 1000,
            has_vad=lineup.has_detector or (lineup.has_engine and lineup.engine_flags.turn_events),
        )
        playout, barge_in = Playout(audio_format, marks=marks), BargeIn(judging, lineup.strategies)
        if not lineup.has_engine:
            said = Conversation(prompts.system, max_history=agent.max_history)
            return SessionMachine(settings, playout, barge_in, said)
        talk = RealtimeConversation(prompts.system, max_history=agent.max_history)
        return RealtimeMachine(settings, playout, barge_in, talk, engine_decides=engine_decides)

    def session(self, line: Line, leg: MediaLeg, started: StreamStarted) -> CallSession:
        """A session on that media leg. Raises `PatterError` when a provider cannot be built."""
        phone, call, plan = self._phone, line.call, line.plan
        assert plan is not None
        agent = plan.agent
        lineup = self._ringing.take(line, plan, started.audio_format)
        machine = self._machine(call, plan, lineup, started.audio_format, leg.marks)
        turns = measure_turns(call, plan, lineup, line.hooks, machine)
        session = CallSession(
            call, SessionParts(machine, lineup, leg, line.hooks, phone.pacer, turns), phone.environment.clock
        )
        lineup.on_hopeless(session.end_now)
        phone.callbacks.observe(call)
        give_tools(lineup.voice, agent, call, session, phone.environment, self._breakers)
        return session
