"""One call in progress, the carrier it runs over, and who makes its session."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from patter.call.types import CallSummary
from patter.providers.carrier import CallStatus

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from patter.agent import Agent
    from patter.call.call import Call
    from patter.call.connection import CarrierConnection, MediaLeg
    from patter.call.lineup import Lineup
    from patter.call.plan import CallPlan
    from patter.call.record import CallRecord
    from patter.call.session import CallSession
    from patter.plugins import HookDispatcher
    from patter.providers.carrier import Carrier, StatusReport, StreamStarted
    from patter.records import CarrierRecord
    from patter.server.dialling import OnMachineDetection


@dataclass(frozen=True, slots=True)
class Trunk:
    """A carrier in use: its record's flags and its object."""

    record: CarrierRecord
    carrier: Carrier


class CallMaker(Protocol):
    """What the phone provides: who talks on a call, its hooks, and its session."""

    def plan(self, agent: Agent | None) -> CallPlan:
        """The plan of a call with that agent, or with the default one. Raises `ConfigError`."""

    def scope(self, line: Line) -> AbstractContextManager[None]:
        """What a call's media connection is carried inside of, from its claim to the call's last hook."""

    def hooks(self, call: Call) -> HookDispatcher:
        """The hooks of a call: its own, its agent's and the phone's."""

    async def started(self, call: Call, plan: CallPlan) -> CallPlan:
        """The media is up: `on_call_start`. The plan with what it changed."""

    def bill(self, line: Line, summary: CallSummary) -> CallSummary:
        """The summary of a call whose media is down, with what the call cost."""

    def closed(self, line: Line) -> None:
        """Nothing of the call is left to do."""

    def reported(self, record: CallRecord, trunk: Trunk, report: StatusReport) -> None:
        """The carrier reported on a call that has its bill."""

    async def look_for_bills(self) -> None:
        """Ask the vendors of ended calls what they billed; takes 10 s at most."""

    async def ended(self, call: Call, summary: CallSummary) -> None:
        """The call is over and all else was told: `on_call_end`."""

    def ring(self, line: Line, ring_s: float) -> None:
        """The call rings, for so long: make ready what it will need."""

    def session(self, line: Line, leg: MediaLeg, started: StreamStarted) -> CallSession:
        """A session on that media leg; builds the providers. Raises `PatterError`."""

    async def release(self, line: Line) -> None:
        """The call is over: release what was made ready for it and not used."""


@dataclass(slots=True, eq=False)
class Line:
    """One call in progress, from its announcement to its end.

    Attributes:
        plan: who talks; None before that is decided.
        lineup: the providers that are made ready while it rings; None before that, and once they are used.
        decided: set when the first webhook of an inbound call is answered.
        dialling: set when the carrier took a dialled call, or did not; None for inbound calls.
        at_carrier: whether the carrier has the call, so that it may have to be hung up there.
        connection: the media connection; None before it is claimed and up.
        set_up: what makes the session; None before and after that.
        session: what carries the call while the agent talks.
        connected_t: when the media stream started, in monotonic s; None while it has not.
        ending: how the call is to end, where that was decided before it had a session.
        voicemail_message: what a machine that answers is told; "" for nothing.
        on_machine_detection: told who answered; None to tell nobody.
        detected: set when it is known who answered.
        voicemail: whether a machine answered and got the message.
        carrier_duration_s: how long the call was, as the carrier said; None where it has not.
        recording: whether the carrier is to record the call.
        recording_request: asks the carrier to; None before that.
    """

    call: Call
    trunk: Trunk
    hooks: HookDispatcher
    plan: CallPlan | None = None
    lineup: Lineup | None = None
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    dialling: asyncio.Event | None = None
    at_carrier: bool = False
    ended_by_carrier: bool = False
    media_claimed: bool = False
    media_timer: asyncio.TimerHandle | None = None
    connection: CarrierConnection | None = None
    set_up: asyncio.Task[CallSession | None] | None = None
    session: CallSession | None = None
    connected_t: float | None = None
    ending: tuple[CallStatus, str] | None = None
    finishing: bool = False
    voicemail_message: str = ""
    on_machine_detection: OnMachineDetection | None = None
    detected: asyncio.Event = field(default_factory=asyncio.Event)
    voicemail: bool = False
    carrier_duration_s: float | None = None
    recording: bool = False
    recording_request: asyncio.Task[None] | None = None
    done: asyncio.Future[CallSummary] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    @property
    def connected(self) -> bool:
        """Whether the media of this call was up."""
        return self.connected_t is not None

    @property
    def over(self) -> bool:
        """Whether the call has ended or is about to."""
        return self.finishing or self.ending is not None

    def stop_media_timer(self) -> None:
        """The media is up, or will never be."""
        if self.media_timer is not None:
            self.media_timer.cancel()
            self.media_timer = None

    def stop_recording_request(self) -> None:
        """There is nothing left to record."""
        if self.recording_request is not None:
            self.recording_request.cancel()

    def without_session(self, now: float) -> CallSummary:
        """The summary of a call in which the agent never talked."""
        status, reason = self.ending or (CallStatus.FAILED, "its media could not be set up")
        duration_s = 0.0 if self.connected_t is None else now - self.connected_t
        return CallSummary(self.call.id, self.connected, status, reason, duration_s, voicemail=self.voicemail)
