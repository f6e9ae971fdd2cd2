"""What a call can be made to do at its carrier, and what a carrier lacks. In virtual time."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
from outgoing import GREETING, Outgoing, agent

from patter import Agent, hookimpl
from patter.audio.formats import MULAW_8K
from patter.call.call import NOBODY_ANSWERED
from patter.errors import CallGoneError, InputError, ProviderError
from patter.providers.carrier import CallStatus
from patter.testing import CallTool, Reply
from patter.testing.keys import read_keys
from patter.tools import tool

OTHER = "+15550007777"


def limit(phone: Any, **flags: Any) -> None:
    """Take abilities from the carrier of a phone that serves."""
    trunks = phone.switchboard.trunks
    trunks["fake"] = replace(trunks["fake"], record=replace(trunks["fake"].record, **flags))


# -- the call's own view


@pytest.mark.behaviour("CC-08")
async def test_a_call_says_who_talks_over_which_carrier_and_how_it_stands(simcall: Any) -> None:
    async with simcall(caller="+15550001111", callee="+15550002222") as one:
        call = one.call
        assert call.call_id == call.id
        assert (call.caller, call.callee, call.telephony_provider) == ("+15550001111", "+15550002222", "fake")
        assert (call.is_transferred, call.is_hung_up, call.ended) == (False, False, False)
        await call.hangup()
        await one.ended()
    assert (call.is_transferred, call.is_hung_up, call.ended) == (False, True, True)

    async with simcall() as two:
        await two.call.transfer(OTHER)
        await two.ended()
    assert (two.call.is_transferred, two.call.is_hung_up, two.call.ended) == (True, False, True)

    async with simcall() as three:
        await three.caller_hangs_up()
    assert (three.call.is_transferred, three.call.is_hung_up, three.call.ended) == (False, False, True)


@pytest.mark.behaviour("CC-08")
async def test_what_a_carrier_lacks_is_logged_and_not_raised(
    phone: Any, simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await phone.start(agent(), port=0)
    limit(phone, transfers=(), machine_detection=False, recording=False)
    phone.switchboard.recording = True
    async with simcall() as call:
        await call.agent_says(GREETING)
        await call.call.transfer(OTHER)
        assert not call.call.is_transferred
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    for lack in ("cannot record", "cannot transfer"):
        assert len([text for text in warnings if f"fake {lack}" in text]) == 1, warnings
    assert (call.carrier.transferred, call.carrier.recorded) == ([], [])

    outgoing = Outgoing(phone)
    calling, dialled = await outgoing.place(voicemail_message="Ring us.")
    assert dialled.request.machine_detection is False
    async with simcall(dialled=dialled) as call:
        await call.agent_says(GREETING)
    assert (await calling).outcome == "answered"
    assert "cannot tell a machine from a human" in caplog.text


@pytest.mark.behaviour("CC-08")
async def test_acting_on_a_call_that_has_ended_is_a_success(simcall: Any) -> None:
    async with simcall() as call:
        await call.caller_hangs_up()
    await call.call.hangup()
    await call.call.transfer(OTHER)
    assert await call.call.send_dtmf("1") is True
    assert (call.carrier.hung_up, call.carrier.transferred, call.carrier.keys) == ([], [], [])


@pytest.mark.behaviour("CC-08")
async def test_acting_on_a_call_whose_end_is_not_known_yet_is_a_success(
    simcall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any) -> bool:
        raise CallGoneError("it has ended", provider="fake")

    async with simcall() as call:
        for name in ("hangup", "transfer", "send_dtmf"):
            monkeypatch.setattr(call.carrier, name, gone)
        await call.call.transfer(OTHER)
        assert not call.call.is_transferred
        assert await call.call.send_dtmf("1") is True
        await call.call.hangup()


async def test_a_carrier_that_does_not_obey_is_asked_again_at_the_end(
    simcall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: Any) -> None:
        raise ProviderError("not now", provider="fake")

    async with simcall() as call:
        with monkeypatch.context() as broken:
            for name in ("hangup", "transfer"):
                broken.setattr(call.carrier, name, refuse)
            with pytest.raises(ProviderError):
                await call.call.hangup()
            with pytest.raises(ProviderError):
                await call.call.transfer(OTHER)
        assert (call.call.is_hung_up, call.call.is_transferred) == (False, False)
        await call.phone.end_call(call.call.id)
    assert call.carrier.hung_up == [call.carrier_call_id]


def message_alone(given: list[Any]) -> Any:
    async def answer(message: Any) -> str:
        given.append((message.text, None))
        return "Fine."

    return answer


def message_and_call(given: list[Any]) -> Any:
    async def answer(message: Any, control: Any) -> str:
        given.append((message.text, control))
        await control.send_dtmf("1")
        return "Fine."

    return answer


def in_a_thread(given: list[Any]) -> Any:
    def answer(message: Any, control: Any) -> str:
        given.append((message.text, control))
        return "Fine."

    return answer


def with_more_names(given: list[Any]) -> Any:
    async def answer(message: Any, *rest: Any, tone: str = "kind", **more: Any) -> str:
        given.append((message.text, None))
        assert (rest, tone, more) == ((), "kind", {})
        return "Fine."

    return answer


class Answering:
    """A handler that is a method."""

    def __init__(self, given: list[Any]) -> None:
        self.given = given

    async def answer(self, message: Any, control: Any) -> str:
        """Answer."""
        self.given.append((message.text, control))
        return "Fine."


@pytest.mark.behaviour("CC-08")
@pytest.mark.parametrize(
    ("make", "with_call"),
    [
        (message_alone, False),
        (message_and_call, True),
        (in_a_thread, True),
        (with_more_names, False),
        (lambda given: Answering(given).answer, True),
    ],
)
async def test_a_message_handler_gets_the_call_if_it_takes_a_second_parameter(
    simcall: Any, make: Any, with_call: bool
) -> None:
    given: list[Any] = []
    plain = Agent(stt="fake", on_message=make(given), tts="fake", vad="fake")
    async with simcall(plain) as call:
        await call.caller_says("How are you?")
        await call.agent_says("Fine.")
    assert given == [("How are you?", call.call if with_call else None)]


# -- keys


async def test_keys_are_pressed_as_given_with_a_pause_between_them(
    simcall: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pressed: list[tuple[str, int]] = []

    async def press(carrier_call_id: str, digits: str, delay_ms: int) -> bool:
        assert carrier_call_id == call.carrier_call_id
        pressed.append((digits, delay_ms))
        return True

    async with simcall() as call:
        monkeypatch.setattr(call.carrier, "send_dtmf", press)
        assert await call.call.send_dtmf("0123456789*#ABCDwW") is True
        assert await call.call.send_dtmf("1", delay_ms=0) is True
        for digits in ("", "a", "E", "1 2", "1\n", "1,2", "p", "١"):
            with pytest.raises(InputError):
                await call.call.send_dtmf(digits)
        for delay_ms in (-1, 5001):
            with pytest.raises(InputError):
                await call.call.send_dtmf("1", delay_ms)
    assert pressed == [("0123456789*#ABCDwW", 300), ("1", 0)]


class Heard:
    """The audio that a line plays to the caller."""

    def __init__(self, line: Any) -> None:
        self.audio = b""
        self._listener, line._listener = line._listener, self

    def plays(self, played: Any) -> None:
        self.audio += played.audio
        self._listener.plays(played)

    def cleared(self, t: float) -> None:
        raise AssertionError("what was sent of keys is never taken back")

    @property
    def keys(self) -> str:
        return "".join(one.key for one in read_keys(self.audio, MULAW_8K))


async def test_where_the_carrier_presses_none_their_tones_are_played(
    phone: Any, simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await phone.start(agent(), port=0)
    limit(phone, dtmf_out=False)
    async with simcall() as call:
        await call.agent_says(GREETING)
        await call.quiet(300)
        heard = Heard(call.line)
        assert await call.call.send_dtmf("0123456789*#ABCDwW") is True
        assert call.call.agent_state in ("thinking", "speaking")
        await asyncio.sleep(0.5)
        for digits in ("", "a", "1 2"):
            with pytest.raises(InputError):
                await call.call.send_dtmf(digits)
        await asyncio.sleep(9)
        assert heard.keys == "0123456789*#ABCD"
        assert call.call.agent_state == "listening"
        await call.caller_says("Hello?", wait=False)
        await call.call.send_dtmf("5", delay_ms=0)
        await asyncio.sleep(1)
        assert heard.keys == "0123456789*#ABCD5"
        await call.agent_says("You said: Hello?")
    assert call.carrier.keys == []
    assert [line.text for line in call.transcript] == [GREETING, "Hello?", "You said: Hello?"]

    outgoing = Outgoing(phone)
    calling, dialled = await outgoing.place()
    ringing = phone.switchboard.line(dialled.request.call_id).call
    assert await ringing.send_dtmf("1") is False
    assert "cannot press keys: its media is not up" in caplog.text
    outgoing.ends(dialled, CallStatus.NO_ANSWER)
    await calling


async def test_a_tool_may_press_keys_and_they_come_after_what_the_agent_says(
    phone: Any, simcall: Any
) -> None:
    @tool
    async def press(key: str, call: Any) -> str:
        """Press a key."""
        await call.send_dtmf(key)
        return "pressed"

    await phone.start(agent(), port=0)
    limit(phone, dtmf_out=False)
    replies = [Reply("Let me see.", tools=[CallTool("press", {"key": "9"})]), "I pressed nine."]
    async with simcall(agent(first_message="", tools=[press]), replies=replies) as call:
        heard = Heard(call.line)
        await call.caller_says("Nine, please")
        await call.agent_says("I pressed nine.")
        await asyncio.sleep(1)
    assert heard.keys == "9"
    assert call.heard == "Let me see. I pressed nine."


async def test_keys_reach_each_hook_in_order_however_long_one_takes(phone: Any, simcall: Any) -> None:
    slow: list[str] = []
    late: list[str] = []

    class Slow:
        @hookimpl(tryfirst=True)
        async def patter_dtmf(self, digit: str) -> None:
            slow.append(digit)
            await asyncio.sleep(0.8 if digit == "1" else 0.0)

    class Late:
        @hookimpl
        async def patter_dtmf(self, digit: str) -> None:
            late.append(digit)

    phone.register(Slow())
    phone.register(Late())
    async with simcall() as call:
        await call.dtmf("1234#")
        await asyncio.sleep(2)
        assert ("".join(slow), "".join(late)) == ("1234#", "1234#")
        await call.dtmf("5")
        await asyncio.sleep(0.1)
        assert ("".join(slow), "".join(late)) == ("1234#5", "1234#5")


async def test_keys_of_the_caller_reach_the_hook_once_each_in_order(phone: Any, simcall: Any) -> None:
    keys: list[tuple[str, str]] = []

    class Listening:
        @hookimpl
        def patter_dtmf(self, call: Any, digit: str) -> None:
            keys.append((call.caller, digit))

    phone.register(Listening())
    async with simcall(caller="+15550001111") as one, simcall(caller="+15550002222") as two:
        await asyncio.gather(one.dtmf("0123456789*#ABCD"), two.dtmf("4455"))
        await asyncio.sleep(0.5)
    assert "".join(digit for caller, digit in keys if caller == "+15550001111") == "0123456789*#ABCD"
    assert "".join(digit for caller, digit in keys if caller == "+15550002222") == "4455"


# -- transfers

ALLOWED = [
    (None, None, {OTHER: True, "+4930123456": True}),
    ((), None, {OTHER: False, "+4930123456": False}),
    (None, (), {OTHER: False, "+4930123456": False}),
    ((OTHER,), None, {OTHER: True, "+15550007778": False}),
    (None, ("+1555",), {OTHER: True, "+4930123456": False}),
    (("+4930123456",), ("+1555",), {OTHER: True, "+4930123456": True, "+4930123457": False}),
    ((), ("+1555",), {OTHER: True, "+4930123456": False}),
]


@pytest.mark.parametrize(("numbers", "prefixes", "cases"), ALLOWED)
async def test_the_lists_hold_for_every_transfer(
    simcall: Any, numbers: Any, prefixes: Any, cases: Any
) -> None:
    limits = {"transfer_allowed_numbers": numbers, "transfer_allowed_prefixes": prefixes}
    for number, allowed in cases.items():
        async with simcall(**limits) as call:
            if allowed:
                await call.call.transfer(number)
                await call.ended()
            else:
                with pytest.raises(InputError, match="may not be transferred"):
                    await call.call.transfer(number)
        assert [to for _, to in call.carrier.transferred if to == number] == [number] * allowed
        call.carrier.transferred.clear()

        tools = [CallTool("transfer_call", {"number": number})]
        async with simcall(replies=[Reply(tools=tools), "I may not."], **limits) as call:
            await call.caller_says("A human, please")
            if allowed:
                assert (await call.ended()).reason == "transferred"
            else:
                await call.agent_says("I may not.")
        assert [to for _, to in call.carrier.transferred] == [number] * allowed
        call.carrier.transferred.clear()


@pytest.mark.parametrize("number", ["5550007777", "the boss", "", "+0555", "sip:", "sip:boss@example.com"])
async def test_a_number_that_is_none_is_told_to_the_model(phone: Any, simcall: Any, number: str) -> None:
    await phone.start(agent(), port=0)
    limit(phone, sip=False)
    wrong = Reply(tools=[CallTool("transfer_call", {"number": number})])
    done = Reply("Goodbye.", tools=[CallTool("end_call", {"reason": "no number"})])
    async with simcall(agent(first_message=""), replies=[wrong, done]) as call:
        await call.caller_says("A human, please")
        summary = await call.ended()
    assert [spec.name for spec in call.scene.model.tools[0]] == ["transfer_call", "end_call"]
    assert '"error"' in call.scene.model.requests[1][-1].content
    assert call.carrier.transferred == []
    assert (summary.reason, call.heard) == ("no number", "Goodbye.")


async def test_a_sip_address_is_a_number_where_the_carrier_takes_it(simcall: Any) -> None:
    tools = [CallTool("transfer_call", {"number": "sip:boss@example.com"})]
    async with simcall(replies=[Reply(tools=tools)]) as call:
        await call.caller_says("The boss, please")
        await call.ended()
    assert call.carrier.transferred == [(call.carrier_call_id, "sip:boss@example.com")]


@pytest.mark.behaviour("CC-12")
@pytest.mark.parametrize("stops", ["before the answer", "after the answer", "by socket loss"])
async def test_a_cold_transfer_is_recorded_as_one(
    phone: Any, simcall: Any, monkeypatch: pytest.MonkeyPatch, stops: str
) -> None:
    async with simcall() as call:

        async def transfer(carrier_call_id: str, number: str) -> None:
            if stops == "by socket loss":
                call.line.drop()
            elif stops == "before the answer":
                call.line.send({"type": "stop"})
            await asyncio.sleep(0.5)
            call.line.send({"type": "stop"})

        monkeypatch.setattr(call.carrier, "transfer", transfer)
        await call.call.transfer(OTHER)
        summary = await call.ended()
    assert (summary.outcome, summary.reason) == (CallStatus.COMPLETED, "transferred")
    record = phone.calls.get(call.call.id)
    assert (record.status, record.reason) == (CallStatus.COMPLETED, "transferred")
    assert call.call.is_transferred
    assert call.carrier.hung_up == []


# -- warm transfers

SUMMARY = "Ms Lee, about order 5512."


@pytest.mark.behaviour("CC-12")
async def test_a_warm_transfer_gives_the_carrier_the_words_and_is_recorded_as_one(
    phone: Any, simcall: Any
) -> None:
    await phone.start(agent(), port=0)
    async with simcall() as call:
        await call.agent_says(GREETING)
        await call.call.transfer(OTHER, summary=f"  {SUMMARY} ", failure_message="Nobody is here.")
        summary = await call.ended()
    assert call.carrier.transferred == [(call.carrier_call_id, OTHER)]
    assert call.carrier.summaries == [(SUMMARY, "Nobody is here.")]
    assert (summary.outcome, summary.reason) == (CallStatus.COMPLETED, "transferred")
    assert call.carrier.hung_up == []
    async with simcall() as second:
        await second.call.transfer(OTHER, summary=SUMMARY)
        await second.ended()
    assert second.carrier.summaries[-1] == (SUMMARY, NOBODY_ANSWERED)


async def test_a_carrier_without_warm_transfers_hands_the_caller_over_all_the_same(
    phone: Any, simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await phone.start(agent(), port=0)
    limit(phone, transfers=("cold",))
    async with simcall() as call:
        await call.call.transfer(OTHER, summary=SUMMARY)
        await call.ended()
    assert (call.carrier.transferred, call.carrier.summaries) == ([(call.carrier_call_id, OTHER)], [])
    assert "fake has no warm transfers; the summary is not told" in caplog.text
    assert SUMMARY not in caplog.text


async def test_a_warm_transfer_keeps_to_the_lists_and_to_its_length(simcall: Any) -> None:
    async with simcall(transfer_allowed_numbers=(OTHER,)) as call:
        with pytest.raises(InputError, match="may not be transferred"):
            await call.call.transfer("+4930123456", summary=SUMMARY)
        for words in ({"summary": "x" * 1001}, {"summary": SUMMARY, "failure_message": "x" * 1001}):
            with pytest.raises(InputError, match="1000 at most"):
                await call.call.transfer(OTHER, **words)
        assert not call.call.is_transferred
    assert (call.carrier.transferred, call.carrier.summaries) == ([], [])


# -- recording


@pytest.mark.behaviour("CC-15")
@pytest.mark.patter_phone(recording=True)
async def test_each_answered_call_is_recorded_once(phone: Any, simcall: Any) -> None:
    await phone.start(agent(), port=0)
    async with simcall() as inbound:
        await inbound.agent_says(GREETING)
    outgoing = Outgoing(phone)
    calling, answered = await outgoing.place()
    async with simcall(dialled=answered) as call:
        await call.agent_says(GREETING)
    await calling
    other, busy = await outgoing.place()
    outgoing.ends(busy, CallStatus.BUSY)
    await other
    unrecorded, dialled = await outgoing.place(recording=False)
    async with simcall(dialled=dialled) as call:
        await call.agent_says(GREETING)
    await unrecorded
    assert outgoing.carrier.recorded == [inbound.carrier_call_id, answered.carrier_call_id]


@pytest.mark.behaviour("CC-15")
async def test_a_call_is_recorded_only_where_it_was_asked_for(phone: Any, simcall: Any) -> None:
    outgoing = Outgoing(phone)
    calling, recorded = await outgoing.place(recording=True)
    async with simcall(dialled=recorded) as call, simcall(agent()) as inbound:
        await call.agent_says(GREETING)
        await inbound.agent_says(GREETING)
    await calling
    assert outgoing.carrier.recorded == [recorded.carrier_call_id]


@pytest.mark.behaviour("CC-15")
@pytest.mark.patter_phone(recording=True)
@pytest.mark.parametrize("fails", ["refuses", "breaks", "hangs"])
async def test_a_recording_that_fails_neither_delays_nor_ends_the_call(
    simcall: Any, phone: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    await phone.start(agent(), port=0)
    began = asyncio.get_running_loop().time
    asked: list[float] = []

    async def start_recording(carrier_call_id: str) -> None:
        asked.append(began())
        if fails == "hangs":
            await asyncio.Event().wait()
        raise ProviderError("no room", provider="fake") if fails == "refuses" else ValueError("a mistake")

    async with simcall(agent()) as plain:
        await plain.agent_says(GREETING)
        as_usual = plain.timeline[0].start - plain.started_at
    monkeypatch.setattr(plain.carrier, "start_recording", start_recording)
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
        assert call.timeline[0].start - call.started_at == pytest.approx(as_usual, abs=1e-6)
        await asyncio.sleep(11)
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert len(asked) == 1
    assert len([record for record in caplog.records if "is not recorded" in record.getMessage()]) == 1
