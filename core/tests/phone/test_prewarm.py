"""What is opened while the phone rings, and what becomes of it, in whole calls and virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from parking import GREETING, Log, agent, nothing_is_kept

from patter import Reject, hookimpl
from patter.providers.carrier import CallOffer, CallStatus, StatusReport


@pytest.mark.behaviour("PW-02", "PW-12")
@pytest.mark.parametrize("ring_s", [0.0, 0.1, 0.3, 2.0])
async def test_what_was_parked_is_what_talks(simcall: Any, phone: Any, log: Log, ring_s: float) -> None:
    async with simcall(agent(), ring_s=ring_s) as call:
        await call.agent_says(GREETING)
        await call.caller_says("What are your hours?")
        await call.agent_says("You said: What are your hours?")
        assert sorted(log.opened) == [("stt", "park"), ("tts", "park")], "one handshake for each"
        assert sorted(log.adopted) == ["stt", "tts"]
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-01")
async def test_nothing_is_touched_before_a_call_is_accepted(simcall: Any, phone: Any, log: Log) -> None:
    class Deciding:
        @hookimpl
        async def patter_incoming_call(self, call: Any) -> Any:
            await asyncio.sleep(1.0)
            assert (log.opened, len(phone.warming)) == ([], 0)
            return Reject("unwanted")

    phone.register(Deciding())
    async with simcall(agent()) as call:
        assert call.refusal is not None
        await asyncio.sleep(1.0)
    assert log.opened == []


@pytest.mark.behaviour("PW-01")
async def test_the_answer_does_not_wait_and_all_are_opened_side_by_side(
    simcall: Any, phone: Any, log: Log
) -> None:
    loop = asyncio.get_running_loop()
    await phone.start(agent(), port=0)
    host = phone.switchboard.trunks["fake"].carrier.host
    began = loop.time()
    await host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
    assert loop.time() == began
    await asyncio.sleep(0.29)
    assert log.opened == []
    await asyncio.sleep(0.02)
    assert sorted(log.opened) == [("stt", "park"), ("tts", "park")]
    await phone.disconnect()
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-01")
@pytest.mark.parametrize("status", [CallStatus.BUSY, CallStatus.IN_PROGRESS])
async def test_a_dial_is_not_delayed_and_providers_are_opened_beside_it(
    phone: Any, log: Log, status: CallStatus
) -> None:
    await phone.start(agent(), port=0)
    carrier = phone.switchboard.trunks["fake"].carrier
    carrier.dial_s = 1.0
    calling = asyncio.ensure_future(phone.call("+15550002222", agent()))
    await asyncio.sleep(0.35)
    assert sorted(log.opened) == [("stt", "park"), ("tts", "park")]
    assert carrier.dialled == [], "the carrier has not answered the dial yet"
    await asyncio.sleep(0.70)
    assert len(carrier.dialled) == 1
    if status is CallStatus.BUSY:
        carrier.host.call_status(StatusReport(carrier.dialled[-1].carrier_call_id, status))
    else:
        await phone.disconnect()
    await calling
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-01")
async def test_without_prewarm_no_provider_is_touched_before_the_media(
    simcall: Any, phone: Any, log: Log
) -> None:
    calling = simcall(agent(prewarm=False), ring_s=2.0)
    async with calling as call:
        assert [how for _, how in log.opened] == []
        await call.agent_says(GREETING)
    assert {how for _, how in log.opened} == {"connect"}
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-01", "PW-04")
@pytest.mark.parametrize("fails", ["park stt", "park tts", "adopt stt", "adopt tts"])
async def test_what_cannot_be_parked_or_adopted_connects_cold(
    simcall: Any, phone: Any, log: Log, fails: str, caplog: pytest.LogCaptureFixture
) -> None:
    log.fails.add(fails)
    with caplog.at_level(logging.DEBUG, "patter"):
        async with simcall(agent(), ring_s=1.0) as call:
            await call.agent_says(GREETING)
            await call.caller_says("Hello?")
            await call.agent_says("You said: Hello?")
    kind = fails.split()[1]
    assert (kind, "connect") in log.opened
    assert call.failures == []
    assert "SECRET" not in caplog.text
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-04")
async def test_a_parked_connection_that_died_is_replaced_by_a_cold_one(
    simcall: Any, phone: Any, log: Log
) -> None:
    calling = simcall(agent(), ring_s=1.0)
    dying = asyncio.get_running_loop().call_later(
        0.9, lambda: [handle.close() for handle in phone.warming._handles.values()]
    )
    async with calling as call:
        await call.agent_says(GREETING)
    assert dying.when()
    assert sorted(log.opened) == [("stt", "connect"), ("stt", "park"), ("tts", "connect"), ("tts", "park")]
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-08")
async def test_warm_up_and_connect_are_told(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []

    class Watching:
        @hookimpl
        def patter_incoming_call(self, call: Any) -> None:
            call.on("provider_warmed", events.append)
            call.on("provider_connected", events.append)

    phone.register(Watching())
    log.fails.add("park tts")
    with caplog.at_level(logging.INFO, "patter"):
        async with simcall(agent(), ring_s=1.0) as call:
            await call.agent_says(GREETING)
    call_id = call.call.id
    assert f"[PREWARM] {call_id} stt 300 ms" in caplog.messages
    assert f"[CONNECT] {call_id} stt source=adopted 0 ms" in caplog.messages
    told = [(type(event).__name__, event.kind, round(event.took_ms)) for event in events]
    assert ("ProviderWarmed", "stt", 300) in told
    assert ("ProviderConnected", "stt", 0) in told


@pytest.mark.behaviour("PW-07")
@pytest.mark.parametrize(
    "status", [CallStatus.NO_ANSWER, CallStatus.BUSY, CallStatus.FAILED, CallStatus.CANCELED]
)
@pytest.mark.parametrize("at_s", [0.1, 0.3, 1.0])
async def test_a_call_that_is_not_answered_closes_what_was_parked(
    phone: Any, log: Log, status: CallStatus, at_s: float
) -> None:
    log_only = agent(prewarm_first_message=True)
    await phone.start(log_only, port=0)
    carrier = phone.switchboard.trunks["fake"].carrier
    await carrier.host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
    await asyncio.sleep(at_s)
    carrier.host.call_status(StatusReport("one", status))
    await asyncio.sleep(0.5)
    nothing_is_kept(phone, log)
    assert phone.switchboard.lines() == ()


@pytest.mark.behaviour("PW-18", "LC-02")
@pytest.mark.parametrize("at_s", [0.0, 0.1, 0.3, 1.0, 4.0])
async def test_disconnecting_ends_warm_ups_and_closes_what_is_parked(
    simcall: Any, phone: Any, log: Log, at_s: float
) -> None:
    await phone.start(agent(prewarm_first_message=True), port=0)
    ready = phone.ready
    host = phone.switchboard.trunks["fake"].carrier.host
    await host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
    await asyncio.sleep(at_s)
    await phone.disconnect()
    await phone.disconnect()
    nothing_is_kept(phone, log)
    assert phone.ready is not ready
    assert not phone.ready.done()
    assert not [task for task in asyncio.all_tasks() if "prewarm" in task.get_name()]

    async with simcall(agent(), ring_s=1.0) as call:
        await call.agent_says(GREETING)
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-18")
async def test_thousands_of_calls_leave_no_bookkeeping(phone: Any, log: Log) -> None:
    logging.disable(logging.WARNING)
    try:
        await phone.start(agent(prewarm_first_message=True), port=0)
        carrier = phone.switchboard.trunks["fake"].carrier
        for number in range(10_000):
            await carrier.host.incoming_call(CallOffer(f"c{number}", "+15550001111", "+15550001234"))
            if number % 500 == 0:
                await asyncio.sleep(0.5)
            carrier.host.call_status(StatusReport(f"c{number}", CallStatus.NO_ANSWER))
            if number % 20 == 0:
                await asyncio.sleep(0.01)
        await asyncio.sleep(2.0)
    finally:
        logging.disable(logging.NOTSET)
    nothing_is_kept(phone, log)
    assert phone.switchboard.lines() == ()


def other_voice(call: Any) -> dict[str, Any]:
    """The callback of a phone."""
    return {"tts": "fake", "first_message": "Good evening."}


@pytest.mark.patter_phone(on_call_start=other_voice)
async def test_a_call_that_turns_out_to_be_another_one_gets_providers_of_its_own(
    simcall: Any, phone: Any, log: Log
) -> None:
    async with simcall(agent(), ring_s=1.0) as call:
        await call.agent_says("Good evening.")
        assert log.synthesised == []
    assert sorted(log.opened) == [("stt", "connect"), ("stt", "park"), ("tts", "park")]
    nothing_is_kept(phone, log)


# -- the greeting


@pytest.mark.behaviour("PW-15")
async def test_a_greeting_made_beforehand_is_heard_without_the_voice(
    simcall: Any, phone: Any, log: Log
) -> None:
    async with simcall(agent(prewarm_first_message=True), ring_s=2.0) as call:
        made = list(log.synthesised)
        began = asyncio.get_running_loop().time()
        log.open_s = 5.0
        await call.agent_says(GREETING)
        assert "".join(made).replace(" ", "") == GREETING.replace(" ", "")
        assert log.synthesised == made, "the voice is not asked again"
        assert asyncio.get_running_loop().time() - began < 4.0
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert call.transcript[0].text == GREETING
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-15", "PW-17")
async def test_a_greeting_that_is_not_ready_is_spoken_live(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    log.open_s = 1.0
    async with simcall(agent(prewarm_first_message=True), ring_s=0.5) as call:
        await call.agent_says(GREETING)
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
        assert call.heard.count("Acme") == 1
    assert [entry.text for entry in call.transcript].count(GREETING) == 1
    assert len([message for message in caplog.messages if "were paid for and not heard" in message]) == 1
    nothing_is_kept(phone, log)


@pytest.mark.behaviour("PW-16")
async def test_a_greeting_that_a_hook_changes_is_spoken_live_and_its_audio_reported(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    class Changing:
        @hookimpl
        def patter_modify_speech(self, call: Any, sentence: Any) -> None:
            sentence.text = sentence.text.replace("Acme", "Bolt")

    phone.register(Changing())
    async with simcall(agent(prewarm_first_message=True), ring_s=2.0) as call:
        await call.agent_says(GREETING.replace("Acme", "Bolt"))
    reports = [message for message in caplog.messages if "were paid for and not heard" in message]
    assert len(reports) == 1
    assert f"{len(GREETING)} characters" in reports[0]


@pytest.mark.parametrize("options", [{"first_message": ""}, {"tts": None}])
async def test_without_a_greeting_or_a_voice_nothing_is_made(
    simcall: Any, phone: Any, log: Log, options: dict[str, Any]
) -> None:
    async with simcall(agent(prewarm_first_message=True, **options), ring_s=2.0) as call:
        await call.caller_says("Hello?")
        await asyncio.sleep(1.0)
        assert call.failures == []
    assert GREETING not in "".join(log.synthesised)
    nothing_is_kept(phone, log)
