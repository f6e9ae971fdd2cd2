"""Makes the sessions of a phone's calls: providers, machine, shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.agent import PHONE_PREAMBLE
from patter.call.barge_in import BargeIn, BargeInSettings
from patter.call.connection import MediaLeg
from patter.call.conversation import Conversation
from patter.call.lineup import Lineup, LineupServices
from patter.call.machine import SessionMachine
from patter.call.playout import Playout
from patter.call.session import CallSession, SessionParts
from patter.call.session_state import SessionSettings
from patter.call.tool_setup import give_tools
from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.call import Call
    from patter.call.plan import CallPlan
    from patter.client import Patter
    from patter.plugins import HookDispatcher
    from patter.providers.carrier import StreamStarted

#: how long after its first audio an agent turn can be interrupted, without and with an echo canceller (BI-02), in s
GATE_S = 0.25
GATE_ECHO_CANCELLATION_S = 1.0


class PhoneCallMaker:
    """See `patter.server.line.CallMaker`."""

    def __init__(self, phone: Patter) -> None:
        self._phone = phone

    def plan(self, agent: Agent | None) -> CallPlan:
        """The plan of a call with that agent, or with the phone's. Raises `ConfigError`."""
        if agent is None:
            if self._phone.agent is None:
                raise ConfigError("there is no default agent: serve(agent), or accept calls with one")
            return self._phone.planner.plan(self._phone.agent)
        return self._phone.planner.plan(self._phone.complete(agent))

    def hooks(self, call: Call) -> HookDispatcher:
        """The hooks of a call."""
        return self._phone.hooks(call)

    def session(
        self, call: Call, plan: CallPlan, leg: MediaLeg, started: StreamStarted, hooks: HookDispatcher
    ) -> CallSession:
        """A session on that media leg. Raises `PatterError` when a provider cannot be built."""
        phone, agent = self._phone, plan.agent
        clock = phone.environment.clock
        context = phone.context_for(call, started.audio_format, agent.language)
        services = LineupServices(phone.plugins, phone.planner, phone.vads, clock)
        lineup = Lineup(call, plan, context, services, hooks)
        settings = SessionSettings(
            first_message=filled(agent.first_message, agent, call),
            turn_end=plan.turn_end,
            max_duration_s=phone.settings.max_call_s,
        )
        barge_in = BargeInSettings(
            mode=agent.effective_barge_in_mode,
            gate_s=GATE_ECHO_CANCELLATION_S if agent.echo_cancellation else GATE_S,
            confirm_s=agent.barge_in_confirm_ms / 1000,
            has_vad=lineup.has_detector,
        )
        machine = SessionMachine(
            settings,
            Playout(started.audio_format, marks=leg.marks),
            BargeIn(barge_in, lineup.strategies),
            Conversation(_system_prompt(agent, call), max_history=agent.max_history),
        )
        session = CallSession(call, SessionParts(machine, lineup, leg, hooks, phone.pacer), clock)
        lineup.on_hopeless(session.end_now)
        give_tools(lineup.voice, agent, call, session, phone.environment)
        return session


def filled(text: str, agent: Agent, call: Call) -> str:
    """The text with its {placeholders}; what the carrier sent wins and has no control characters (TN-18)."""
    values = {**agent.variables, **{name: _clean(value) for name, value in call.parameters.items()}}
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def _clean(value: str) -> str:
    return "".join(character for character in value if character.isprintable())[:500]


def _system_prompt(agent: Agent, call: Call) -> str:
    prompt = filled(agent.system_prompt, agent, call)
    return prompt if agent.disable_phone_preamble else f"{PHONE_PREAMBLE}\n\n{prompt}"
