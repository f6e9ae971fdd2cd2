"""One call in progress, the carrier it runs over, and who makes its session."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.call import Call
    from patter.call.connection import MediaLeg
    from patter.call.plan import CallPlan
    from patter.call.session import CallSession
    from patter.call.types import CallSummary
    from patter.plugins import HookDispatcher
    from patter.providers.carrier import Carrier, MachineDetection, StreamStarted
    from patter.records import CarrierRecord


@dataclass(frozen=True, slots=True)
class Trunk:
    """A carrier in use: its record's flags and its object."""

    record: CarrierRecord
    carrier: Carrier


class CallMaker(Protocol):
    """What the phone provides: who talks on a call, its hooks, and its session."""

    def plan(self, agent: Agent | None) -> CallPlan:
        """The plan of a call with that agent, or with the default one. Raises `ConfigError`."""

    def hooks(self, call: Call) -> HookDispatcher:
        """The hooks of a call: its own, its agent's and the phone's."""

    def session(
        self, call: Call, plan: CallPlan, leg: MediaLeg, started: StreamStarted, hooks: HookDispatcher
    ) -> CallSession:
        """A session on that media leg; builds the providers. Raises `PatterError`."""


@dataclass(slots=True, eq=False)
class Line:
    """One call in progress, from its announcement to its end."""

    call: Call
    trunk: Trunk
    hooks: HookDispatcher
    plan: CallPlan | None = None
    session: CallSession | None = None
    media_claimed: bool = False
    media_timer: asyncio.TimerHandle | None = None
    finishing: bool = False
    detection: MachineDetection | None = None
    done: asyncio.Future[CallSummary] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
