"""Whole calls: the simulator rings core's server, which speaks Twilio through the plugin."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import pytest
from parrot_phone import GREETING, PUBLIC, Parrot, logger, phone, ring, until

from patter.audio.formats import MULAW_8K
from patter.providers.carrier import (
    CallStatus,
    DigitPressed,
    MarkReached,
)
from patter.providers.context import ProviderContext
from patter.server.address import PublicAddress
from patter.server.application import build_application
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_twilio import patter_register_carrier
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig
from patter_twilio.simulator import (
    CallbackFaults,
    Callee,
    Faults,
    SimulatedCall,
    StreamFaults,
)


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
            lines = [record for record in caplog.records if record.name == logger.name]
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


@pytest.mark.behaviour("CC-13")
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


@pytest.mark.behaviour("CC-18")
def test_the_record_declares_what_the_carrier_does_and_its_parts_can_be_loaded() -> None:
    (record,) = patter_register_carrier()

    assert (record.name, record.kind) == ("twilio", "carrier")
    assert (record.marks, record.clear, record.machine_detection, record.speaks) == (True, True, True, True)
    assert (record.dtmf_out, record.recording, record.sip) == (False, True, True)
    assert record.transfers == ("cold", "warm")
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
            "/webhooks/twilio/whisper",
            "/webhooks/twilio/transferred",
            "/ws/twilio/{token}",
            "/ws/twilio",
            "/health",
            "/ready",
        }
        assert carrier.audio_format() == MULAW_8K

    run_virtual(scenario(), network=MemoryNetwork())
