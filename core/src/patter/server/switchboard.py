"""The switchboard: takes the calls that carriers bring, runs each in a session of its own, ends each exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from patter.call.call import Call
from patter.call.connection import MediaLeg
from patter.call.record import CallRecord, CallRegistry
from patter.call.types import CallSummary
from patter.decisions import Accept, Reject
from patter.errors import InputError, PatterError
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    CallStatus,
    Connect,
    MachineDetection,
    Refuse,
    StatusReport,
    StreamStarted,
)
from patter.server.desk import MediaClaim
from patter.server.leg import CarrierCallLeg
from patter.server.line import CallMaker, Line, Trunk

if TYPE_CHECKING:
    from patter.call.connection import CarrierConnection
    from patter.call.plan import CallPlan
    from patter.environment import Environment
    from patter.server.address import PublicAddress
    from patter.server.admission import Admission
    from patter.server.tokens import MediaTokens

logger = logging.getLogger(__name__)

#: what `patter_call_ended` gets at most while the phone shuts down (LC-08), in s
SHUTDOWN_HOOK_S = 3.0


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
        self._tasks: set[asyncio.Task[None]] = set()
        self.trunks: dict[str, Trunk] = {}
        self.unavailable_message = ""
        self.media_timeout_s = 10.0
        self.ready = False

    # -- calls coming in and going out

    def accepting(self) -> bool:
        """Whether a new call would be taken now (LC-10)."""
        return self.ready and self._admission.refusal is None

    async def offer(self, carrier: str, offer: CallOffer) -> CallAnswer:
        """Decide about an inbound call."""
        known = self._registry.find(carrier, offer.carrier_call_id)
        if known is not None and known.call_id in self._lines:
            # The carrier asks again (a retry): the same call gets a fresh token.
            return self._connect(self._lines[known.call_id])
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
        refusal = None if self.ready else "draining"
        refusal = refusal or self._admission.admit(call.id)
        if refusal is not None:
            logger.warning("call %s refused: the phone is %s", call.id, refusal)
            return await self._refuse(line, f"refused: {refusal}", self.unavailable_message)
        decision = await line.hooks.first("patter_incoming_call")
        if isinstance(decision, Reject):
            message = self.unavailable_message if decision.message is None else decision.message
            return await self._refuse(line, decision.reason or "rejected", message)
        try:
            plan = self._maker.plan(decision.agent if isinstance(decision, Accept) else None)
        except PatterError as error:
            logger.error("call %s cannot be set up: %s", call.id, error)
            return await self._refuse(line, "set-up failed", self.unavailable_message)
        self._staff(line, plan)
        return self._connect(line)

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
        self._staff(line, plan)
        return line

    def dialled(self, line: Line, carrier_call_id: str) -> None:
        """The carrier took the call and gave it an id."""
        line.call.carrier_call_id = carrier_call_id
        record = self._registry.bind(line.call.id, carrier_call_id)
        if record is not None and not record.is_active:  # its end was reported before the dial was answered
            self.end(line, record.status, record.reason)

    def _add(self, call: Call, carrier: str, ring_s: float = 60.0) -> Line:
        trunk = self.trunks[carrier]
        line = Line(call, trunk, self._maker.hooks(call))
        call.attach_leg(CarrierCallLeg(call, trunk.carrier))
        self._lines[call.id] = line
        clock = self._environment.clock
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
        await self._finish(line, self._unconnected(line, CallStatus.FAILED, reason))
        return Refuse(message)

    async def answered(self, carrier: str, call_id: str, carrier_call_id: str) -> CallAnswer:
        """The answer document of a dialled call is asked for; an unknown call is refused."""
        line = self._lines.get(call_id)
        if line is None or line.call.telephony_provider != carrier or line.finishing:
            return Refuse(self.unavailable_message)
        if line.call.carrier_call_id not in ("", carrier_call_id):
            return Refuse(self.unavailable_message)
        self.dialled(line, carrier_call_id)
        return self._connect(line)

    def _connect(self, line: Line) -> Connect:
        """A stream URL with a single-use token; without media in 10 s the call has failed (LC-06)."""
        token = self._tokens.mint(line.call.id, line.call.telephony_provider)
        if line.media_timer is not None:
            line.media_timer.cancel()
        loop = asyncio.get_running_loop()
        line.media_timer = loop.call_later(self.media_timeout_s, self._no_media, line)
        return Connect(line.call.id, self._address.stream(line.call.telephony_provider, token))

    def _no_media(self, line: Line) -> None:
        if line.session is None:
            self.end(line, CallStatus.FAILED, "answered, but its media never connected")

    # -- what the carrier reports

    def status(self, carrier: str, report: StatusReport) -> None:
        """A status callback: the record, and the end of a call whose media is not up."""
        record = self._registry.report(carrier, report, self._now())
        line = self._lines.get(record.call_id) if record is not None else None
        if line is not None and report.status.is_terminal and line.session is None:
            self.end(line, report.status, report.reason or "reported by the carrier")

    def machine(self, carrier: str, carrier_call_id: str, detection: MachineDetection) -> None:
        """Who answered a dialled call."""
        record = self._registry.find(carrier, carrier_call_id)
        if record is not None and (line := self._lines.get(record.call_id)) is not None:
            line.detection = detection

    # -- media

    def claim(self, carrier: str, token: str) -> MediaClaim | None:
        """Use up a media token (SC-04)."""
        call_id = self._tokens.take(token, carrier)
        line = self._lines.get(call_id) if call_id is not None else None
        if line is None or line.media_claimed or line.finishing:
            return None
        # A carrier that asked twice has two tokens of this call; only one of them opens its media.
        line.media_claimed = True
        return MediaClaim(line.call.id, carrier)

    async def serve_media(self, claim: MediaClaim, connection: CarrierConnection) -> None:
        """Run the whole call on its connection."""
        line = self._lines.get(claim.call_id)
        if line is None:
            return
        summary = None
        try:
            summary = await self._carry(line, connection)
            if not self.ready:
                await connection.close(1001, "going away")
        finally:
            if summary is None:
                summary = self._unconnected(line, CallStatus.FAILED, "its media could not be set up")
            await asyncio.shield(self._finish(line, summary))

    async def _carry(self, line: Line, connection: CarrierConnection) -> CallSummary | None:
        trunk, call = line.trunk, line.call
        protocol = trunk.carrier.media_protocol()
        started = await self._stream_start(line, connection, protocol.parse)
        if line.media_timer is not None:
            line.media_timer.cancel()
        if started is None or line.plan is None or line.finishing:
            return None
        call.parameters.update(started.parameters)
        hooks = line.hooks
        leg = MediaLeg(
            connection,
            protocol,
            trunk.record.marks,
            trunk.record.clear,
            transfer=bool(trunk.record.transfers),
        )
        session = None
        try:
            session = self._maker.session(call, line.plan, leg, started, hooks)
            await hooks.notify("patter_call_setup")
        except Exception as error:
            logger.error(
                "call %s cannot be set up: %s", call.id, error, exc_info=not isinstance(error, PatterError)
            )
            await self._apologise(line)
            if session is not None:
                await session.discard()
            return None
        self._registry.update(call.id, CallStatus.IN_PROGRESS, self._now())
        line.session = session
        return await session.run()

    async def _stream_start(
        self, line: Line, connection: CarrierConnection, parse: Callable[[str], object]
    ) -> StreamStarted | None:
        """Read until the stream starts; None when it does not, or is another call's."""
        try:
            async with asyncio.timeout(self.media_timeout_s):
                while (text := await connection.receive_text()) is not None:
                    try:
                        event = parse(text)
                    except InputError as error:
                        logger.warning("call %s: dropped a media message: %s", line.call.id, error)
                        continue
                    if isinstance(event, StreamStarted):
                        if event.carrier_call_id == line.call.carrier_call_id:
                            return event
                        logger.warning("call %s: the media stream is another call's; refused", line.call.id)
                        return None
        except TimeoutError:
            logger.warning("call %s: the media stream did not start", line.call.id)
        return None

    async def _apologise(self, line: Line) -> None:
        """The carrier's own voice says that nobody can take the call (CC-21)."""
        try:
            spoken = await line.trunk.carrier.speak_and_hangup(
                line.call.carrier_call_id, self.unavailable_message
            )
            if not spoken:
                logger.warning(
                    "call %s: %s cannot speak; the call is hung up", line.call.id, line.trunk.record.name
                )
                await line.trunk.carrier.hangup(line.call.carrier_call_id)
        except PatterError as error:
            logger.warning("call %s: the carrier could not be told to hang up: %s", line.call.id, error)

    # -- the end

    def end(self, line: Line, status: CallStatus, reason: str) -> None:
        """End a call: its session if it has one, else the call itself."""
        if line.session is not None:
            line.session.end_now(status, reason)
        else:
            self._spawn(self._finish(line, self._unconnected(line, status, reason)))

    def _unconnected(self, line: Line, status: CallStatus, reason: str) -> CallSummary:
        return CallSummary(line.call.id, connected=False, outcome=status, reason=reason, duration_s=0.0)

    async def _finish(self, line: Line, summary: CallSummary) -> None:
        """Once per call: hooks, record, place, token, whoever ended it (LC-06)."""
        if line.finishing:
            return
        line.finishing = True
        call = line.call
        call.ended = True
        logger.info(
            "call %s ended as %s after %.1f s: %s",
            call.id,
            summary.outcome,
            summary.duration_s,
            summary.reason,
        )
        if line.media_timer is not None:
            line.media_timer.cancel()
        self._tokens.revoke(call.id)
        if summary.connected:
            await self._hang_up(line)
        await self._tell_ended(line, summary)
        self._registry.update(call.id, summary.outcome, self._now(), reason=summary.reason)
        self._admission.release(call.id)
        self._lines.pop(call.id, None)
        call.events.emit("call_ended", summary)
        await call.events.close()
        if not line.done.done():
            line.done.set_result(summary)

    async def _tell_ended(self, line: Line, summary: CallSummary) -> None:
        try:
            async with asyncio.timeout(None if self.ready else SHUTDOWN_HOOK_S):
                await line.hooks.notify("patter_call_ended", summary=summary)
        except TimeoutError:
            logger.warning("call %s: patter_call_ended was cut off by the shutdown", line.call.id)

    async def _hang_up(self, line: Line) -> None:
        """End the call at the carrier too, unless it did so itself or has the caller elsewhere."""
        by_carrier = line.session is not None and line.session.ended_by_carrier
        if by_carrier or line.call.is_transferred or line.call.is_hung_up:
            return
        try:
            async with asyncio.timeout(2.0):
                await line.trunk.carrier.hangup(line.call.carrier_call_id)
        except (PatterError, TimeoutError) as error:
            logger.info("call %s: hang-up at the carrier: %s", line.call.id, type(error).__name__)

    def _spawn(self, body: Awaitable[None]) -> None:
        task = asyncio.ensure_future(body)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- for the phone

    def line(self, call_id: str) -> Line | None:
        """A call in progress."""
        return self._lines.get(call_id)

    def lines(self) -> tuple[Line, ...]:
        """All calls in progress."""
        return tuple(self._lines.values())

    async def drain(self, within_s: float) -> None:
        """Refuse new calls, end those in progress and wait for them, at most that long (LC-08)."""
        self.ready = False
        self._admission.drain()
        lines = self.lines()
        for line in lines:
            self.end(line, CallStatus.COMPLETED, "the server is shutting down")
        if lines:
            await asyncio.wait([line.done for line in lines], timeout=within_s)
        for task in tuple(self._tasks):
            task.cancel()
