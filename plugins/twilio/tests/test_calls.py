"""Whole calls: the simulator rings core's server, which speaks Twilio through the plugin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import aiohttp
import pytest

from patter.audio.formats import MULAW_8K
from patter.call.record import CallRecord, MemoryCallRegistry
from patter.environment import Environment
from patter.errors import ConfigError, InputError
from patter.net import session
from patter.providers.carrier import (
    AudioReceived,
    CallAnswer,
    CallOffer,
    CallStatus,
    Connect,
    DialRequest,
    DigitPressed,
    MachineDetection,
    MarkReached,
    Refuse,
    StatusReport,
    StreamStarted,
    StreamStopped,
)
from patter.providers.context import ProviderContext
from patter.server.address import PublicAddress
from patter.server.admission import Admission
from patter.server.application import add_routes, build_application
from patter.server.connection import CarrierConnection
from patter.server.desk import MediaClaim
from patter.server.listener import Listener
from patter.server.tokens import MediaTokens
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter_twilio import patter_register_carrier
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import (
    CallbackFaults,
    Callee,
    Faults,
    SimulatedAccount,
    SimulatedCall,
    Simulator,
    StreamFaults,
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


def heard(call: SimulatedCall) -> bytes:
    return b"".join(audio for _, audio in call.heard)


@pytest.mark.behaviour("CC-04")
def test_an_inbound_call_is_greeted_repeated_cleared_and_ended() -> None:
    async def scenario() -> None:
        async with phone() as (desk, simulator):
            call = await ring(simulator)
            await until(lambda: MarkReached("greeting") in desk.heard)
            assert heard(call) == GREETING

            await call.say(b"\x34" * 320)
            await until(lambda: heard(call) == GREETING + b"\x34" * 320)
            call.dtmf("*")
            call.dtmf("7")
            await until(lambda: call.clears)
            call.dtmf("#")
            await call.wait_closed()

            (offer,) = desk.offers
            assert (offer.carrier_call_id, offer.caller, offer.callee) == (
                call.sid,
                "+15550009876",
                "+15550001234",
            )
            assert len(call.streams) == 1
            assert [event for event in desk.heard if isinstance(event, DigitPressed)] == [
                DigitPressed("*"),
                DigitPressed("7"),
                DigitPressed("#"),
            ]
            assert (call.warnings, call.errors) == ([], [31921])
            (record,) = desk.registry.finished()
            assert (record.status, record.caller, record.callee) == (
                CallStatus.COMPLETED,
                offer.caller,
                offer.callee,
            )
            assert desk.registry.active() == ()

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.parametrize(
    "faults", [StreamFaults(), StreamFaults(omit_stop=True), StreamFaults(drop_after_s=0.1)]
)
@pytest.mark.behaviour("CC-20", "CC-05")
def test_stop_socket_loss_and_status_callback_end_one_call_once(faults: StreamFaults) -> None:
    async def scenario() -> None:
        callbacks = CallbackFaults(duplicate=True)
        async with phone(faults=Faults(stream=faults, callbacks=callbacks)) as (desk, simulator):
            call = await ring(simulator)
            call.hangup()
            await call.wait_closed()
            await until(lambda: desk.media_ended)
            assert desk.media_ended == 1
            (record,) = desk.registry.finished()
            assert (record.status, record.carrier_call_id) == (CallStatus.COMPLETED, call.sid)
            assert desk.registry.active() == ()
            assert desk.admission.in_use == 0

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("CC-05")
def test_malformed_messages_are_dropped_one_log_line_each_and_the_call_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        stream = StreamFaults(malformed_every=1, malformed=('{"event":"media"', '{"event":"surprise"}', "[]"))
        async with phone(faults=Faults(stream=stream)) as (desk, simulator):
            call = await ring(simulator)
            await call.say(b"\x34" * 480)
            await until(lambda: heard(call)[len(GREETING) :] == b"\x34" * 480)
            lines = [record for record in caplog.records if record.name == __name__]
            assert len(lines) == desk.dropped > 3

    with caplog.at_level(logging.WARNING):
        run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("CC-03")
@pytest.mark.parametrize("reorder", [False, True])
@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("answer", CallStatus.COMPLETED),
        ("busy", CallStatus.BUSY),
        ("no-answer", CallStatus.NO_ANSWER),
        ("failed", CallStatus.FAILED),
    ],
)
def test_a_dialled_call_ends_as_it_ended_whatever_the_order_of_reports(
    outcome: Any, status: CallStatus, reorder: bool
) -> None:
    async def scenario() -> None:
        faults = Faults(callbacks=CallbackFaults(reorder=reorder, duplicate=True))
        async with phone(faults=faults, callee=Callee(outcome, rings_s=0.01)) as (desk, simulator):
            call_id = await desk.dial("+15550009876", ring_timeout_s=1)
            call = await simulator.next_dialled()
            if outcome == "answer":
                await call.wait_started()
                await until(lambda: MarkReached("greeting") in desk.heard)
                call.hangup()
            await call.wait_closed()
            record = desk.registry.get(call_id)
            assert record is not None
            assert (record.status, record.is_active, record.carrier_call_id) == (status, False, call.sid)
            assert len(call.streams) == (1 if outcome == "answer" else 0)

    run_virtual(scenario(), network=MemoryNetwork())


def test_machine_detection_reaches_its_own_call() -> None:
    async def scenario() -> None:
        async with phone(callee=Callee(answered_by="machine_end_beep")) as (desk, simulator):
            await desk.dial("+15550009876")
            machine = await simulator.next_dialled()
            simulator.callee = Callee(answered_by="human")
            await desk.dial("+15550009875")
            human = await simulator.next_dialled()
            await until(lambda: len(desk.detections) == 2)
            results = {sid: (detection.result, detection.raw) for sid, detection in desk.detections}
            assert results == {machine.sid: ("machine", "machine_end_beep"), human.sid: ("human", "human")}

    run_virtual(scenario(), network=MemoryNetwork())


def test_hanging_up_transferring_and_speaking_act_on_the_running_call() -> None:
    async def scenario() -> None:
        async with phone() as (desk, simulator):
            assert desk.carrier is not None
            hung_up, transferred = await ring(simulator), await ring(simulator)

            await desk.carrier.hangup(hung_up.sid)
            await hung_up.wait_closed()
            assert hung_up.status == "completed"
            await desk.carrier.transfer(transferred.sid, "+15550001111")
            await until(lambda: transferred.dialled == ["+15550001111"])
            await until(lambda: desk.media_ended == 2)
            assert await desk.carrier.speak_and_hangup(transferred.sid, "Bye.")
            await transferred.wait_closed()
            assert transferred.spoken == ["Bye."]

    run_virtual(scenario(), network=MemoryNetwork())


def test_a_call_over_the_limit_hears_the_message_and_the_others_go_on() -> None:
    async def scenario() -> None:
        async with phone() as (_, simulator):
            calls = [await ring(simulator), await ring(simulator)]
            refused = await ring(simulator)
            await refused.wait_closed()
            assert refused.spoken == ["All our lines are busy."]
            assert refused.streams == []
            assert [call.status for call in calls] == ["in-progress"] * 2

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("SC-01")
def test_wrong_or_missing_signatures_start_nothing() -> None:
    async def scenario() -> None:
        async with phone(faults=Faults(sign=False)) as (desk, simulator):
            call = await ring(simulator)
            await call.wait_closed()
            assert call.errors[0] == 11200
            assert any(event == "posted /webhooks/twilio/voice 403" for _, event in call.events)
            server = simulator.account.server_url
            async with session() as http:
                for name in ("voice", "status", "amd"):
                    async with http.post(
                        f"{server}/webhooks/twilio/{name}", data=dict(call.form())
                    ) as response:
                        assert response.status == 403
                token = desk.tokens.mint("call_x", "twilio")
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await http.ws_connect(f"{server}/ws/twilio/{token}")
                assert caught.value.status == 403
            assert (desk.offers, desk.heard, desk.detections, desk.registry.active()) == ([], [], [], ())
            assert desk.tokens.take(token, "twilio") == "call_x"

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("SC-01")
def test_without_the_secret_the_server_is_not_built_and_foreign_routes_answer_503() -> None:
    async def scenario() -> None:
        address = PublicAddress(PUBLIC)
        desk = Parrot(address)
        config = TwilioConfig(account_sid="AC" + "0" * 32)
        carrier = TwilioCarrier(config, ProviderContext(desk.environment, shared=None))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="TWILIO_AUTH_TOKEN"):
            build_application({"twilio": carrier}, desk, address=address, environment=desk.environment)

        class Mounted(TwilioCarrier):
            """As in an application that goes on although the carrier could not be attached."""

            def attach(self, host: Any) -> None:
                with pytest.raises(ConfigError):
                    super().attach(host)

        app = aiohttp.web.Application()
        mounted = Mounted(config, ProviderContext(desk.environment, shared=None))  # type: ignore[arg-type]
        add_routes(app, {"twilio": mounted}, desk, address=address, environment=desk.environment)
        listener = Listener(app, 0)
        await listener.start()
        async with session() as http:
            for name in ("voice", "status", "amd"):
                async with http.post(f"{listener.url}/webhooks/twilio/{name}", data={"a": "b"}) as response:
                    assert response.status == 503
        await listener.stop()
        assert desk.offers == []

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("SC-04")
def test_a_media_token_is_of_one_call_and_of_one_use() -> None:
    async def scenario() -> None:
        async with phone() as (desk, simulator):
            call = await ring(simulator)
            await until(lambda: MarkReached("greeting") in desk.heard)
            used = desk.tokens.mint("call_x", "twilio")
            assert desk.claim("twilio", used) is not None
            for path in (used, "0" * 64, desk.tokens.mint("call_y", "another")):
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await simulator.connect(f"wss://voice.example.com/ws/twilio/{path}")
                assert caught.value.status == 403
            assert call.status == "in-progress"

    run_virtual(scenario(), network=MemoryNetwork())


@pytest.mark.behaviour("CC-18")
def test_the_record_declares_what_the_carrier_does_and_its_parts_can_be_loaded() -> None:
    (record,) = patter_register_carrier()

    assert (record.name, record.kind) == ("twilio", "carrier")
    assert (record.marks, record.clear, record.machine_detection, record.speaks) == (True, True, True, True)
    assert (record.dtmf_out, record.recording, record.sip) == (False, False, False)
    assert record.transfers == ("cold",)
    assert (record.default_ring_s, record.billing_increment_s) == (60.0, 60)
    for reference in (record.factory, record.config, record.simulator):
        module, _, name = str(reference).partition(":")
        assert callable(getattr(import_module(module), name))
    assert set(record.env) <= set(TwilioConfig.model_fields)


@pytest.mark.behaviour("CC-18")
def test_routes_are_below_the_carriers_name() -> None:
    async def scenario() -> None:
        address = PublicAddress(PUBLIC)
        desk = Parrot(address)
        config = TwilioConfig(account_sid="AC" + "0" * 32, auth_token="x")  # type: ignore[arg-type]
        carrier = TwilioCarrier(config, ProviderContext(desk.environment, shared=None))  # type: ignore[arg-type]
        app = build_application({"twilio": carrier}, desk, address=address, environment=desk.environment)
        routes = {str(resource.canonical) for resource in app.router.resources()}
        assert routes == {
            "/webhooks/twilio/voice",
            "/webhooks/twilio/status",
            "/webhooks/twilio/amd",
            "/ws/twilio/{token}",
            "/ws/twilio",
            "/health",
            "/ready",
        }
        assert carrier.audio_format() == MULAW_8K

    run_virtual(scenario(), network=MemoryNetwork())
