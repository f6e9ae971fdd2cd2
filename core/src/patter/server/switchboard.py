"""The switchboard: takes the calls that carriers bring, runs each in a session of its own, ends each exactly once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from patter.call.call import Call
from patter.call.record import CallRecord, CallRegistry
from patter.decisions import Accept, Reject
from patter.errors import PatterError
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    CallStatus,
    Connect,
    MachineDetection,
    Refuse,
    StatusReport,
)
from patter.server.answering_machine import tell_of_detection
from patter.server.desk import MediaClaim
from patter.server.endings import CallEndings
from patter.server.leg import CarrierCallLeg
from patter.server.line import CallMaker, Line, Trunk
from patter.server.media import MediaRunner

if TYPE_CHECKING:
    from patter.call.connection import CarrierConnection
    from patter.call.plan import CallPlan
    from patter.environment import Environment
    from patter.server.address import PublicAddress
    from patter.server.admission import Admission
    from patter.server.tokens import MediaTokens

logger = logging.getLogger(__name__)

#: how often unheard-of dials are looked for, in s; DB-05 asks for 30 at most
SWEEP_S = 15.0


class Switchboard:
    """See `patter.server.desk.CallDesk`, which it is."""

    def __init__(
        self,
        maker: CallMaker,
        registry: CallRegistry,
        admission: Admission,
        tokens: MediaTokens,
        address: PublicAddress,
        environment: Environment,
    ) -> None:
        self._maker = maker
        self._registry = registry
        self._admission = admission
        self._tokens = tokens
        self._address = address
        self._environment = environment
        self._now = environment.clock.monotonic
        self._lines: dict[str, Line] = {}
        self._endings = CallEndings(maker, registry, environment.clock, self._forget)
        self._media = MediaRunner(maker, registry, environment.clock)
        self.trunks: dict[str, Trunk] = {}
        #: whether calls that come in are recorded by their carriers
        self.recording = False
        self.ready = False

    @property
    def unavailable_message(self) -> str:
        """What a caller hears who cannot be served."""
        return self._media.unavailable_message

    @unavailable_message.setter
    def unavailable_message(self, message: str) -> None:
        self._media.unavailable_message = message

    @property
    def media_timeout_s(self) -> float:
        """How long an answered call may be without media (LC-06), in s."""
        return self._media.timeout_s

    @media_timeout_s.setter
    def media_timeout_s(self, seconds: float) -> None:
        self._media.timeout_s = seconds

    def open(self) -> None:
        """Take calls, from now on or again."""
        self._admission.reopen()
        self._endings.reset()
        self.ready = True

    # -- calls coming in and going out

    def accepting(self) -> bool:
        """Whether a new call would be taken now (LC-10)."""
        return self.ready and self._admission.refusal is None

    async def offer(self, carrier: str, offer: CallOffer) -> CallAnswer:
        """Decide about an inbound call."""
        known = self._registry.find(carrier, offer.carrier_call_id)
        if known is not None and known.call_id in self._lines:
            return await self._offered_again(self._lines[known.call_id])
        call = Call(
            self._environment.new_id("call"),
            direction="inbound",
            carrier=carrier,
            caller=offer.caller,
            callee=offer.callee,
            parameters=offer.parameters,
        )
        call.carrier_call_id = offer.carrier_call_id
        line = self._add(call, carrier)
        try:
            return await self._decide(line)
        except BaseException:
            self.end(line, CallStatus.FAILED, "set-up failed")
            raise
        finally:
            line.decided.set()

    async def _offered_again(self, line: Line) -> CallAnswer:
        """The carrier asks again (a retry): the decision is the same, and the call gets a fresh token."""
        await line.decided.wait()
        if line.over or line.plan is None:
            return Refuse(self.unavailable_message)
        return self._connect(line)

    async def _decide(self, line: Line) -> CallAnswer:
        call = line.call
        refusal = None if self.ready else "draining"
        refusal = refusal or self._admission.admit(call.id)
        if refusal is not None:
            logger.warning("call %s refused: the phone is %s", call.id, refusal)
            return await self._refuse(line, f"refused: {refusal}", self.unavailable_message)
        decision = await line.hooks.first("patter_incoming_call")
        if line.over:  # the caller or the phone gave up meanwhile
            return Refuse(self.unavailable_message)
        if isinstance(decision, Reject):
            message = self.unavailable_message if decision.message is None else decision.message
            return await self._refuse(line, decision.reason or "rejected", message)
        try:
            plan = self._maker.plan(decision.agent if isinstance(decision, Accept) else None)
        except PatterError as error:
            logger.error("call %s cannot be set up: %s", call.id, error)
            return await self._refuse(line, "set-up failed", self.unavailable_message)
        self._staff(line, plan)
        answer = self._connect(line)
        # Beside the answer, which is not delayed by it (PW-01).
        asyncio.get_running_loop().call_soon(self._ring, line, self.media_timeout_s)
        return answer

    def _ring(self, line: Line, ring_s: float) -> None:
        if not line.over and not line.connected:
            self._maker.ring(line, ring_s)

    def _staff(self, line: Line, plan: CallPlan) -> None:
        """The call has its agent, whose hooks act from now on too."""
        line.plan = plan
        line.call.agent = plan.agent
        if plan.agent.plugins:
            line.hooks = self._maker.hooks(line.call)

    def dial(self, call: Call, carrier: str, plan: CallPlan, ring_s: float) -> Line:
        """Enter a call that is about to be dialled. Raises `CallRefusedError` when there is no room."""
        from patter.errors import CallRefusedError

        refusal = self._admission.admit(call.id)
        if refusal is not None:
            raise CallRefusedError(f"no call was placed: the phone is {refusal}")
        line = self._add(call, carrier, ring_s)
        line.dialling = asyncio.Event()
        self._staff(line, plan)
        asyncio.get_running_loop().call_soon(self._ring, line, ring_s)
        return line

    def dialled(self, line: Line, carrier_call_id: str) -> bool:
        """The carrier took the call and gave it an id; returns whether the call goes on."""
        line.call.carrier_call_id = carrier_call_id
        line.at_carrier = True
        if line.dialling is not None:
            line.dialling.set()
        record = self._registry.bind(line.call.id, carrier_call_id)
        if line.over:  # it was given up while it was dialled
            self._endings.beside(self._endings.hang_up(line))
        elif record is not None and not record.is_active:  # its end was reported before the dial was answered
            line.ended_by_carrier = True
            self.end(line, record.status, record.reason)
        return not line.over

    def not_dialled(self, line: Line) -> None:
        """The carrier did not take the call."""
        if line.dialling is not None:
            line.dialling.set()
        self.end(line, CallStatus.FAILED, "the carrier did not take the call")

    def _add(self, call: Call, carrier: str, ring_s: float = 60.0) -> Line:
        trunk = self.trunks[carrier]
        line = Line(call, trunk, self._maker.hooks(call))
        line.recording = self.recording
        call.attach_leg(CarrierCallLeg(call, trunk))
        self._lines[call.id] = line
        clock = self._environment.clock
        self._registry.hold(call.id)
        self._registry.add(
            CallRecord(
                call_id=call.id,
                carrier=carrier,
                direction=call.direction,
                caller=call.caller,
                callee=call.callee,
                started_at=clock.wall(),
                started_t=clock.monotonic(),
                ring_s=ring_s,
                carrier_call_id=call.carrier_call_id,
            )
        )
        return line

    async def _refuse(self, line: Line, reason: str, message: str) -> Refuse:
        line.ending = (CallStatus.FAILED, reason)
        await self._endings.finish(line, line.without_session(self._now()))
        return Refuse(message)

    async def answered(self, carrier: str, call_id: str, carrier_call_id: str) -> CallAnswer:
        """The answer document of a dialled call is asked for; an unknown call is refused."""
        line = self._lines.get(call_id)
        if line is None or line.call.telephony_provider != carrier or line.over:
            return Refuse(self.unavailable_message)
        if line.call.carrier_call_id not in ("", carrier_call_id):
            return Refuse(self.unavailable_message)
        goes_on = self.dialled(line, carrier_call_id)
        return self._connect(line) if goes_on else Refuse(self.unavailable_message)

    def _connect(self, line: Line) -> Connect:
        """A stream URL with a single-use token; without media in 10 s the call has failed (LC-06)."""
        token = self._tokens.mint(line.call.id, line.call.telephony_provider)
        line.at_carrier = True
        line.stop_media_timer()
        if not line.connected:
            loop = asyncio.get_running_loop()
            line.media_timer = loop.call_later(self.media_timeout_s, self._no_media, line)
        return Connect(line.call.id, self._address.stream(line.call.telephony_provider, token))

    def _no_media(self, line: Line) -> None:
        if not line.connected:
            self.end(line, CallStatus.FAILED, "answered, but its media never connected")

    # -- what the carrier reports

    def status(self, carrier: str, report: StatusReport) -> None:
        """A status callback: the record, and the end of a call whose media is not up."""
        record = self._registry.report(carrier, report, self._now())
        if record is None:
            return
        line = self._lines.get(record.call_id)
        if line is not None and report.status.is_terminal and report.duration_s is not None:
            line.carrier_duration_s = report.duration_s
        if record.cost is not None and (trunk := self.trunks.get(carrier)) is not None:
            self._maker.reported(record, trunk, report)
        if line is not None and report.status.is_terminal and line.session is None:
            line.ended_by_carrier = True
            self.end(line, report.status, report.reason or "reported by the carrier")

    def machine(self, carrier: str, carrier_call_id: str, detection: MachineDetection) -> None:
        """Who answered a dialled call; the first verdict counts (CC-13)."""
        record = self._registry.find(carrier, carrier_call_id)
        line = self._lines.get(record.call_id) if record is not None else None
        if line is None or line.detected.is_set():
            return
        line.call.machine_detection = detection
        line.detected.set()
        line.call.events.emit("machine_detected", detection)
        with line.call.events.inside():
            self._endings.beside(tell_of_detection(line, detection))

    # -- media

    def claim(self, carrier: str, token: str) -> MediaClaim | None:
        """Use up a media token (SC-04)."""
        call_id = self._tokens.take(token, carrier)
        line = self._lines.get(call_id) if call_id is not None else None
        if line is None or line.media_claimed or line.over:
            return None
        # A carrier that asked twice has two tokens of this call; only one of them opens its media.
        line.media_claimed = True
        return MediaClaim(line.call.id, carrier)

    async def serve_media(self, claim: MediaClaim, connection: CarrierConnection) -> None:
        """Run the whole call on its connection."""
        line = self._lines.get(claim.call_id)
        if line is None or line.over:
            return
        summary = None
        with self._maker.scope(line):
            try:
                summary = await self._media.run(line, connection)
            finally:
                if summary is None:
                    summary = line.without_session(self._now())
                await asyncio.shield(self._endings.finish(line, summary))

    # -- the end

    def end(self, line: Line, status: CallStatus, reason: str) -> None:
        """End a call, whatever it is doing; harmless for one that ends already."""
        if line.session is not None:
            line.session.end_now(status, reason)
        elif not line.over:
            line.ending = (status, reason)
            if line.set_up is not None:
                line.set_up.cancel()
            else:
                self._endings.start(line, line.without_session(self._now()))

    def _forget(self, line: Line) -> None:
        self._tokens.revoke(line.call.id)
        self._admission.release(line.call.id)
        self._lines.pop(line.call.id, None)

    # -- for the phone

    def line(self, call_id: str) -> Line | None:
        """A call in progress."""
        return self._lines.get(call_id)

    def lines(self) -> tuple[Line, ...]:
        """All calls in progress."""
        return tuple(self._lines.values())

    async def sweep(self) -> None:
        """Close the dials that were never heard of again (DB-05) and ask for late bills (CO-08), until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            for record in self._registry.sweep(self._now()):
                if (line := self._lines.get(record.call_id)) is not None:
                    self.end(line, CallStatus.FAILED, "nothing was heard of this call")
            await self._maker.look_for_bills()

    async def close_trunks(self) -> None:
        """Close the carriers; a failure is logged."""
        for trunk in self.trunks.values():
            try:
                await trunk.carrier.close()
            except Exception:
                logger.exception("closing the carrier %s failed", trunk.record.name)

    async def drain(self, within_s: float) -> None:
        """Refuse new calls, end those in progress and wait for them, at most that long (LC-08)."""
        self.ready = False
        self._admission.drain()
        self._endings.hurry()
        lines = self.lines()
        for line in lines:
            self.end(line, CallStatus.COMPLETED, "the server is shutting down")
        if lines:
            await asyncio.wait([line.done for line in lines], timeout=within_s)
        self._endings.cancel()
