"""A phone that greets and then repeats what it hears, and the simulator that rings it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from patter.call.record import CallRecord, MemoryCallRegistry
from patter.environment import Environment
from patter.errors import InputError
from patter.providers.carrier import (
    AudioReceived,
    CallAnswer,
    CallOffer,
    CallStatus,
    Connect,
    DialRequest,
    DigitPressed,
    MachineDetection,
    Refuse,
    StatusReport,
    StreamStarted,
    StreamStopped,
)
from patter.providers.context import ProviderContext
from patter.server.address import PublicAddress
from patter.server.admission import Admission
from patter.server.application import build_application
from patter.server.connection import CarrierConnection
from patter.server.desk import MediaClaim
from patter.server.listener import Listener
from patter.server.tokens import MediaTokens
from patter.testing.virtual_loop import VirtualClock
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import (
    Callee,
    Faults,
    SimulatedAccount,
    SimulatedCall,
    Simulator,
)

PUBLIC = "https://voice.example.com"
VOICE = PUBLIC + "/webhooks/twilio/voice"
STATUS = PUBLIC + "/webhooks/twilio/status"
GREETING = b"\x12" * 1600


logger = logging.getLogger(__name__)


class Parrot:
    """A desk whose calls greet, then repeat what they hear; "*" clears, "#" hangs up."""

    def __init__(self, address: PublicAddress) -> None:
        self.carrier: TwilioCarrier | None = None
        self.address = address
        self.environment = Environment(VirtualClock(asyncio.get_running_loop()))
        self.registry = MemoryCallRegistry()
        self.tokens = MediaTokens(self.environment, 60.0)
        self.admission = Admission(2)
        self.offers: list[CallOffer] = []
        self.detections: list[tuple[str, MachineDetection]] = []
        self.heard: list[object] = []
        self.dropped = 0
        self.media_ended = 0

    @property
    def now(self) -> float:
        return self.environment.clock.monotonic()

    def accepting(self) -> bool:
        return self.admission.refusal is None

    def record(self, call_id: str, **fields: Any) -> CallRecord:
        wall = self.environment.clock.wall()
        fields = {"direction": "inbound", "caller": "", "callee": "", "carrier": "twilio", **fields}
        return CallRecord(call_id, started_at=wall, started_t=self.now, **fields)

    async def offer(self, carrier: str, offer: CallOffer) -> CallAnswer:
        self.offers.append(offer)
        call_id = self.environment.new_id("call")
        if self.admission.admit(call_id) is not None:
            return Refuse("All our lines are busy.")
        known = self.registry.add(
            self.record(
                call_id,
                caller=offer.caller,
                callee=offer.callee,
                carrier=carrier,
                carrier_call_id=offer.carrier_call_id,
            )
        )
        return Connect(known.call_id, self.address.stream(carrier, self.tokens.mint(known.call_id, carrier)))

    async def dial(self, to: str, **options: Any) -> str:
        assert self.carrier is not None
        call_id = self.environment.new_id("call")
        self.registry.add(self.record(call_id, direction="outbound", callee=to))
        sid = await self.carrier.dial(DialRequest(call_id, to, "+15550001234", **options))
        self.registry.bind(call_id, sid)
        return call_id

    async def answered(self, carrier: str, call_id: str, carrier_call_id: str) -> CallAnswer:
        if self.registry.get(call_id) is None:
            return Refuse("")
        return Connect(call_id, self.address.stream(carrier, self.tokens.mint(call_id, carrier)))

    def status(self, carrier: str, report: StatusReport) -> None:
        self.registry.report(carrier, report, self.now)

    def machine(self, carrier: str, carrier_call_id: str, detection: MachineDetection) -> None:
        self.detections.append((carrier_call_id, detection))

    def claim(self, carrier: str, token: str) -> MediaClaim | None:
        call_id = self.tokens.take(token, carrier)
        return None if call_id is None else MediaClaim(call_id, carrier)

    async def serve_media(self, claim: MediaClaim, connection: CarrierConnection) -> None:
        assert self.carrier is not None
        protocol = self.carrier.media_protocol()
        self.registry.update(claim.call_id, CallStatus.IN_PROGRESS, self.now)
        while (text := await connection.receive_text()) is not None:
            try:
                event = protocol.parse(text)
            except InputError as error:
                self.dropped += 1
                logger.warning("dropped: %s", error)
                continue
            if isinstance(event, StreamStarted):
                await connection.send_text(protocol.media(GREETING))
                await connection.send_text(protocol.mark("greeting"))
            elif isinstance(event, AudioReceived) and event.payload != b"\xff" * 160:
                await connection.send_text(protocol.media(event.payload))
            elif isinstance(event, DigitPressed) and event.digit == "*":
                await connection.send_text(protocol.clear())
            if not isinstance(event, AudioReceived):
                self.heard.append(event)
            if isinstance(event, StreamStopped) or event == DigitPressed("#"):
                break
        self.media_ended += 1
        self.registry.update(claim.call_id, CallStatus.COMPLETED, self.now, reason="media ended")
        self.admission.release(claim.call_id)


@asynccontextmanager
async def phone(
    *, faults: Faults | None = None, callee: Callee | None = None, **settings: Any
) -> AsyncIterator[tuple[Parrot, Simulator]]:
    address = PublicAddress(PUBLIC)
    desk = Parrot(address)
    simulator = Simulator(faults=faults, callee=callee)
    await simulator.start()
    fields = {
        "account_sid": simulator.account.account_sid,
        "auth_token": simulator.account.auth_token,
        "base_url": simulator.base_url,
        **settings,
    }
    carrier = TwilioCarrier(TwilioConfig(**fields), ProviderContext(desk.environment, shared=None))  # type: ignore[arg-type]
    desk.carrier = carrier
    app = build_application({"twilio": carrier}, desk, address=address, environment=desk.environment)
    listener = Listener(app, 0, stop_timeout_s=0.5)
    await listener.start()
    simulator.account = SimulatedAccount(public_url=PUBLIC, server_url=listener.url)
    try:
        async with asyncio.timeout(5):
            yield desk, simulator
    finally:
        await simulator.close()
        await listener.stop()
        await carrier.close()


async def ring(simulator: Simulator, **options: Any) -> SimulatedCall:
    call = await simulator.place_call(
        VOICE, "+15550009876", "+15550001234", status_callback=STATUS, **options
    )
    await call.wait_started()
    return call


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.005)
