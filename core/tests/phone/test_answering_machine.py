"""Who answered a dialled call, and what a machine is told. In virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import parking
import pytest
from outgoing import GREETING, Outgoing
from parking import Log

from patter.errors import ProviderError
from patter.providers.carrier import CallStatus, Carrier

MESSAGE = "This is Acme. Please call us back."


@pytest.fixture
def outgoing(phone: Any) -> Outgoing:
    return Outgoing(phone)


@pytest.mark.behaviour("CC-14")
async def test_a_machine_gets_the_message_once_and_never_the_agent(outgoing: Outgoing, simcall: Any) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE, machine_detection=False)
    assert dialled.request.machine_detection is True
    async with simcall(dialled=dialled) as call:
        await call.caller_says("You have reached the machine of Jane, please leave a message.")
        assert (call.heard, outgoing.carrier.spoken) == ("", [])
        outgoing.detects(dialled, "machine", "machine_end_beep", times=3)
        await asyncio.sleep(5)
        assert not calling.done()
        outgoing.ends(dialled)
        await call.ended()
    result = await calling

    assert outgoing.carrier.spoken == [(dialled.carrier_call_id, MESSAGE)]
    assert outgoing.carrier.hung_up == []  # the carrier ended it
    assert call.heard == ""
    assert (result.outcome, result.status, result.transcript) == ("voicemail", CallStatus.COMPLETED, ())
    assert result.machine_detection.raw == "machine_end_beep"
    assert call.summary.voicemail
    assert call.scene.model.requests == []


@pytest.mark.behaviour("CC-14")
async def test_a_message_without_end_is_hung_up_after_thirty_seconds(
    outgoing: Outgoing, simcall: Any
) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    async with simcall(dialled=dialled) as call:
        await asyncio.sleep(8)
        outgoing.detects(dialled, "machine")
        await asyncio.sleep(29.9)
        assert outgoing.carrier.hung_up == []
        await asyncio.sleep(0.2)
        assert outgoing.carrier.hung_up == [dialled.carrier_call_id]
        await call.ended()
    assert (await calling).outcome == "voicemail"


@pytest.mark.behaviour("CC-14")
@pytest.mark.parametrize("result", ["human", "unknown"])
async def test_a_human_gets_the_agent_and_not_the_message(
    outgoing: Outgoing, simcall: Any, result: str
) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    async with simcall(dialled=dialled) as call:
        await asyncio.sleep(3)
        assert call.heard == ""
        outgoing.detects(dialled, result)
        await call.agent_says(GREETING)
        outgoing.detects(dialled, "machine")  # a verdict too many
        await call.caller_says("Who is there?")
        await call.agent_says("You said: Who is there?")
    assert outgoing.carrier.spoken == []
    assert (await calling).outcome == "answered"


@pytest.mark.behaviour("CC-14")
async def test_the_message_belongs_to_its_call(outgoing: Outgoing, simcall: Any) -> None:
    first = await outgoing.place(voicemail_message=MESSAGE)
    second = await outgoing.place(voicemail_message="Another message.")
    third = await outgoing.place()
    calls = [simcall(dialled=dialled) for _, dialled in (first, second, third)]
    for call in calls:
        await call.__aenter__()
    for _, dialled in (first, second, third):
        outgoing.detects(dialled, "machine")
    await calls[2].agent_says(GREETING)
    for _, dialled in (first, second):
        outgoing.ends(dialled)
    for call in calls:
        await call.__aexit__(None, None, None)
    assert outgoing.carrier.spoken == [
        (first[1].carrier_call_id, MESSAGE),
        (second[1].carrier_call_id, "Another message."),
    ]
    results = [await calling for calling, _ in (first, second, third)]
    assert [result.outcome for result in results] == ["voicemail", "voicemail", "answered"]


async def test_a_callee_who_hangs_up_before_the_verdict_ends_the_call(
    outgoing: Outgoing, simcall: Any
) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    async with simcall(dialled=dialled) as call:
        call.line.send_raw("no json")
        await asyncio.sleep(2)
        summary = await call.caller_hangs_up()
    assert (summary.outcome, summary.voicemail) == (CallStatus.COMPLETED, False)
    assert (await calling).outcome == "answered"
    assert (outgoing.carrier.spoken, outgoing.carrier.hung_up) == ([], [])


async def test_without_a_verdict_the_agent_talks_in_the_end(
    outgoing: Outgoing, simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    async with simcall(dialled=dialled) as call:
        await call.agent_says(GREETING, within_s=40)
    assert "nobody said who answered" in caplog.text
    assert (await calling).outcome == "answered"


async def test_a_message_that_cannot_be_left_ends_the_call(
    outgoing: Outgoing, simcall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> bool:
        raise ProviderError("not now", provider="fake")

    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    monkeypatch.setattr(outgoing.carrier, "speak_and_hangup", refuse)
    async with simcall(dialled=dialled) as call:
        outgoing.detects(dialled, "machine")
        summary = await call.ended()
    assert (summary.outcome, summary.voicemail) == (CallStatus.FAILED, False)
    assert "not now" in summary.reason
    assert outgoing.carrier.hung_up == [dialled.carrier_call_id]
    assert (await calling).outcome == "answered"


async def test_a_carrier_that_cannot_speak_hangs_up_on_the_machine(
    outgoing: Outgoing, simcall: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    monkeypatch.setattr(type(outgoing.carrier), "speak_and_hangup", Carrier.speak_and_hangup)
    async with simcall(dialled=dialled) as call:
        outgoing.detects(dialled, "machine")
        summary = await call.ended(within_s=2)
    assert (summary.outcome, summary.voicemail, call.heard) == (CallStatus.FAILED, False, "")
    assert outgoing.carrier.hung_up == [dialled.carrier_call_id]
    assert "cannot leave a message" in caplog.text
    await calling


@pytest.mark.parametrize("at_s", [1.0, 4.0])
async def test_the_phone_can_shut_down_meanwhile(outgoing: Outgoing, simcall: Any, at_s: float) -> None:
    calling, dialled = await outgoing.place(voicemail_message=MESSAGE)
    async with simcall(dialled=dialled) as call:
        asyncio.get_running_loop().call_later(2.0, outgoing.detects, dialled, "machine")
        await asyncio.sleep(at_s)
        carrier = outgoing.carrier
        await outgoing.phone.disconnect()
        await call.ended()
    assert carrier.hung_up == [dialled.carrier_call_id]
    assert (await calling).status is CallStatus.COMPLETED


# -- the callback


@pytest.mark.behaviour("CC-13")
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_each_call_tells_its_own_callback_who_answered(
    outgoing: Outgoing, simcall: Any, asynchronous: bool
) -> None:
    told: list[tuple[str, Any]] = []

    def note(call: Any, detection: Any) -> None:
        told.append((call.id, detection))

    async def note_later(call: Any, detection: Any) -> None:
        await asyncio.sleep(0.1)
        note(call, detection)

    verdicts = [("human", "human"), ("machine", "machine_start"), ("fax", "fax"), ("unknown", "hmm")]
    callback = note_later if asynchronous else note
    placed = [await outgoing.place(on_machine_detection=callback) for _ in verdicts]
    calls = [simcall(dialled=dialled) for _, dialled in placed]
    for call in calls:
        await call.__aenter__()
        await call.agent_says(GREETING)
    began = asyncio.get_running_loop().time()
    for (_, dialled), (result, raw) in zip(placed, verdicts, strict=True):
        outgoing.detects(dialled, result, raw, times=2)
    await asyncio.sleep(1)
    for call in calls:
        await call.__aexit__(None, None, None)
    results = [await calling for calling, _ in placed]
    expected = [
        (dialled.request.call_id, *verdict, began)
        for (_, dialled), verdict in zip(placed, verdicts, strict=True)
    ]
    assert [(call_id, one.result, one.raw, one.t) for call_id, one in told] == expected
    assert [(one.call_id, one.machine_detection.result) for one in results] == [
        (call_id, result) for call_id, result, _, _ in expected
    ]
    assert [call.call.machine_detection.raw for call in calls] == [raw for _, raw in verdicts]


@pytest.mark.behaviour("CC-13")
@pytest.mark.parametrize("hangs", [False, True])
async def test_a_callback_that_fails_is_only_logged(
    outgoing: Outgoing, simcall: Any, caplog: pytest.LogCaptureFixture, hangs: bool
) -> None:
    async def broken(call: Any, detection: Any) -> None:
        if hangs:
            await asyncio.Event().wait()
        raise ValueError("a mistake")

    calling, dialled = await outgoing.place(on_machine_detection=broken)
    with caplog.at_level(logging.ERROR):
        async with simcall(dialled=dialled) as call:
            outgoing.detects(dialled, "human")
            await call.agent_says(GREETING)
            await asyncio.sleep(6)
            await call.caller_says("Who is there?")
            await call.agent_says("You said: Who is there?")
    assert (await calling).outcome == "answered"
    assert len([record for record in caplog.records if "on_machine_detection" in record.message]) == 1


async def test_the_application_may_hang_up_on_a_machine(outgoing: Outgoing, simcall: Any) -> None:
    async def on_machine(call: Any, detection: Any) -> None:
        if detection.result == "machine":
            await call.hangup()

    calling, dialled = await outgoing.place(on_machine_detection=on_machine)
    async with simcall(dialled=dialled) as call:
        seen: list[Any] = []
        call.call.on("machine_detected", seen.append)
        outgoing.detects(dialled, "machine")
        await call.ended()
    assert outgoing.carrier.hung_up == [dialled.carrier_call_id]
    assert call.call.is_hung_up
    assert [one.result for one in seen] == ["machine"]
    assert (await calling).outcome == "answered"


@pytest.mark.behaviour("PW-07")
@pytest.mark.parametrize("at_s", [0.0, 0.2, 3.0])
async def test_a_machine_releases_what_was_made_ready_for_the_agent(
    outgoing: Outgoing, simcall: Any, log: Log, at_s: float
) -> None:
    ready = parking.agent(prewarm_first_message=True)
    calling, dialled = await outgoing.place(agent=ready, voicemail_message=MESSAGE)
    async with simcall(dialled=dialled):
        await asyncio.sleep(at_s)
        outgoing.detects(dialled, "machine")
        await asyncio.sleep(0.5)
        parking.nothing_is_kept(outgoing.phone, log)  # already while the message is spoken
        outgoing.ends(dialled)
    assert (await calling).outcome == "voicemail"
    assert log.adopted == []
    parking.nothing_is_kept(outgoing.phone, log)


async def test_a_call_that_ends_meanwhile_does_not_cut_the_release_short(
    outgoing: Outgoing, simcall: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[float] = []
    loop = asyncio.get_running_loop()

    async def close(self: Any) -> None:
        await asyncio.sleep(0.5)
        closed.append(loop.time())

    monkeypatch.setattr(parking.ParkingSTT, "close", close)
    calling, dialled = await outgoing.place(agent=parking.agent(), voicemail_message=MESSAGE)
    async with simcall(dialled=dialled):
        await asyncio.sleep(1)
        detected = loop.time()
        outgoing.detects(dialled, "machine")
        await asyncio.sleep(0.1)
        assert outgoing.carrier.spoken == [(dialled.carrier_call_id, MESSAGE)]  # not after the release
        outgoing.ends(dialled)
    assert (await calling).outcome == "voicemail"
    assert closed == [pytest.approx(detected + 0.5)]
