"""How whole calls end, and what is left of them: nothing. In virtual time."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import pytest

from patter import Agent, tool
from patter.errors import CallRefusedError, ProviderError
from patter.providers.carrier import CallOffer, CallStatus, StatusReport
from patter.testing import CallTool, Reply

LONG = "Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."


async def test_the_caller_hangs_up_in_the_middle_of_a_sentence(simcall: Any) -> None:
    async with simcall(first_message=LONG) as call:
        await call.agent_says("nine to five")
        await call.caller_hangs_up()

    assert call.summary.outcome is CallStatus.COMPLETED
    (entry,) = call.transcript
    assert entry.interrupted
    assert LONG.startswith(entry.text)
    assert abs(len(entry.text) - len(call.heard)) <= len("Saturdays. ")


async def test_the_caller_hangs_up_while_the_model_thinks_and_is_not_forgotten(simcall: Any) -> None:
    async with simcall(replies=[Reply("Too late.", delay_s=5)]) as call:
        await call.caller_says("Is anybody there?")
        await asyncio.sleep(1)
        assert call.scene.model.open_streams == 1
        await call.caller_hangs_up()

    assert call.heard == ""
    assert [entry.text for entry in call.transcript] == ["Is anybody there?"]


async def test_a_lost_connection_ends_the_call(simcall: Any) -> None:
    async with simcall(first_message=LONG) as call:
        await call.agent_says("Our opening")
        summary = await call.drop_connection()

    assert summary.connected
    assert "socket" in summary.reason
    assert call.transcript[0].interrupted


async def test_the_agent_says_goodbye_is_heard_and_hangs_up(simcall: Any) -> None:
    goodbye = Reply("Thank you for calling, goodbye.", tools=[CallTool("end_call", {"reason": "done"})])
    async with simcall(replies=[goodbye, ""]) as call:
        await call.caller_says("That is all")
        summary = await call.ended()

    assert call.heard == "Thank you for calling, goodbye."
    assert summary.outcome is CallStatus.COMPLETED
    assert summary.reason == "done"
    assert call.carrier.hung_up == [call.carrier_call_id]


async def test_a_tool_and_an_application_end_the_call(simcall: Any) -> None:
    @tool
    async def close_the_case(call: Any) -> str:
        """Close the case and hang up."""
        call.end("case closed")
        return "closed"

    async with simcall(tools=[close_the_case], replies=[Reply(tools=[CallTool("close_the_case")])]) as call:
        await call.caller_says("Close it")
        assert (await call.ended()).reason == "case closed"

    async with simcall(first_message=LONG) as call:
        await call.agent_says("Our opening")
        await call.phone.end_call(call.call.id)
        assert (await call.ended()).reason == "hung up by the application"
        await call.phone.end_call(call.call.id)
        await call.phone.end_call("call_unknown")


async def test_the_agent_transfers_the_caller(simcall: Any) -> None:
    to = "+15550007777"
    transfer = Reply("One moment, please.", tools=[CallTool("transfer_call", {"number": to})])
    async with simcall(replies=[transfer]) as call:
        await call.caller_says("A human, please")
        summary = await call.ended()

    assert call.carrier.transferred == [(call.carrier_call_id, to)]
    assert call.carrier.hung_up == []
    assert summary.reason == "transferred"
    assert call.call.is_transferred


async def test_a_transfer_that_is_not_allowed_is_told_to_the_model(simcall: Any) -> None:
    transfer = Reply(tools=[CallTool("transfer_call", {"number": "+15550007777"})])
    async with simcall(transfer_allowed_prefixes=("+4930",), replies=[transfer, "I may not."]) as call:
        await call.caller_says("A human, please")
        await call.agent_says("I may not.")

    assert call.carrier.transferred == []
    assert "may not be transferred" in call.scene.model.requests[1][-1].content


@pytest.mark.patter_phone(max_calls=2)
async def test_a_full_phone_refuses_and_takes_calls_again_when_there_is_room(
    phone: Any, simcall: Any
) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello.")
    async with simcall(agent) as first, simcall(agent) as second:
        await asyncio.gather(first.agent_says("Hello."), second.agent_says("Hello."))
        async with simcall(agent) as refused:
            assert refused.refusal.message == phone.settings.unavailable_message
            assert refused.ends == 1
            assert not refused.summary.connected
            assert "full" in refused.summary.reason
        await first.caller_hangs_up()
        async with simcall(agent) as third:
            await third.agent_says("Hello.")
    assert phone.switchboard.lines() == ()


async def test_an_agent_that_cannot_be_set_up_refuses_the_call(simcall: Any) -> None:
    async with simcall(stt="no-such-stt") as call:
        assert call.refusal.message == call.phone.settings.unavailable_message
        assert call.summary.reason == "set-up failed"
        assert call.ends == 1


async def test_an_answered_call_whose_media_never_comes_has_failed_after_ten_seconds(
    phone: Any, simcall: Any
) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake")
    await phone.start(agent, port=0)
    waiting = simcall()
    answer = await waiting.carrier.host.incoming_call(CallOffer("ghost", "+15550001111", "+15550001234"))
    await asyncio.sleep(9.9)
    entry = phone.switchboard.line(answer.call_id)
    assert entry is not None
    await asyncio.sleep(0.2)
    summary = await entry.done

    assert summary.outcome is CallStatus.FAILED
    assert not summary.connected
    assert phone.switchboard.line(answer.call_id) is None
    assert phone.switchboard.claim("fake", answer.stream_url.rpartition("/")[2]) is None


async def test_a_status_report_ends_a_call_that_was_never_answered(phone: Any, simcall: Any) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake")
    await phone.start(agent, port=0)
    carrier = simcall().carrier
    calling = asyncio.create_task(phone.call("+15550002222", agent))
    await asyncio.sleep(3)
    (dialled,) = carrier.dialled
    carrier.host.call_status(StatusReport(dialled.carrier_call_id, CallStatus.BUSY))
    result = await calling

    assert (result.outcome, result.status) == ("busy", CallStatus.BUSY)
    assert phone.switchboard.lines() == ()


async def test_a_call_that_the_phone_places_is_answered_and_talked_on(phone: Any, simcall: Any) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello, Acme here.")
    await phone.start(agent, port=0)
    calling = asyncio.create_task(phone.call("+15550002222", agent))
    await asyncio.sleep(4)
    (dialled,) = simcall().carrier.dialled
    async with simcall(dialled=dialled) as call:
        await call.agent_says("Hello, Acme here.")
        await call.caller_says("Who is there?")
        await call.agent_says("You said: Who is there?")
    result = await calling

    assert (result.outcome, result.status) == ("answered", CallStatus.COMPLETED)
    assert [entry.text for entry in result.transcript] == [
        "Hello, Acme here.",
        "Who is there?",
        "You said: Who is there?",
    ]
    assert call.call.direction == "outbound"
    assert call.ends == 1


async def test_a_carrier_that_does_not_take_the_call_leaves_nothing(phone: Any, simcall: Any) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake")
    await phone.start(agent, port=0)
    simcall().carrier.refuse_dial = ProviderError("no such number")
    with pytest.raises(ProviderError, match="no such number"):
        await phone.call("+15550002222", agent)
    await asyncio.sleep(0.1)
    assert phone.switchboard.lines() == ()


@pytest.mark.patter_phone(max_calls=1)
async def test_a_full_phone_places_no_call(phone: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
        with pytest.raises(CallRefusedError):
            await phone.call("+15550002222", call.agent)


async def test_disconnecting_ends_the_calls_and_the_phone_can_serve_again(phone: Any, simcall: Any) -> None:
    async with simcall(first_message=LONG) as call:
        await call.agent_says("Our opening")
        await phone.disconnect()
        summary = await call.ended()
    assert summary.reason == "the server is shutting down"
    assert call.line.closed_with is not None

    async with simcall(first_message="Hello again.") as call:
        await call.agent_says("Hello again.")
    await phone.disconnect()
    await phone.disconnect()


@pytest.mark.behaviour("LC-07")
@pytest.mark.patter_phone(max_call_s=60)
async def test_a_call_is_hung_up_at_its_maximum_duration(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with simcall(first_message="Hello.") as call:
        summary = await call.ended(within_s=100)

    assert type(call.phone.settings)().max_call_s == 3600
    assert summary.reason == "the call reached its maximum duration"
    assert summary.duration_s == pytest.approx(60, abs=0.1)
    assert any("maximum duration" in message for message in caplog.messages)
    assert call.carrier.hung_up == [call.carrier_call_id]


@pytest.mark.parametrize("ending", ["stop", "drop", "hang-up", "failure", "disconnect"])
async def test_nothing_of_a_call_is_left_whoever_ends_it_and_whenever(
    phone: Any, simcall: Any, ending: str
) -> None:
    """At every 130 ms of a conversation; the leak check of the simulated call names what is left."""
    loop = asyncio.get_running_loop()
    for cut_ms in range(20, 4000, 130):
        call = simcall(first_message="Hello there.", replies=[Reply(LONG, delay_s=0.3, token_delay_s=0.02)])
        async with call:
            conversation = loop.create_task(_converse(call))
            await asyncio.sleep(cut_ms / 1000)
            if ending == "stop":
                await call.caller_hangs_up()
            elif ending == "drop":
                await call.drop_connection()
            elif ending == "hang-up":
                await phone.end_call(call.call.id)
            elif ending == "disconnect":
                await phone.disconnect()
            else:
                _break(call)
                await call.ended()
            conversation.cancel()
            await asyncio.gather(conversation, return_exceptions=True)
        assert call.ends == 1
        assert call.summary.leaks == ()
    gc.collect()


async def _converse(call: Any) -> None:
    await call.agent_says("Hello there.")
    await call.caller_says("When are you open?")
    await call.agent_says("ten to four")


def _break(call: Any) -> None:
    from patter.errors import ProviderAuthError

    call.scene.recogniser.fail(ProviderAuthError("the key was refused"))


@pytest.mark.behaviour("LC-03")
async def test_a_thousand_calls_leave_descriptors_threads_and_memory_at_their_level(simcall: Any) -> None:
    """After the 500 finished calls that the phone remembers; what each call leaves for 2 s is the test above."""
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hi")

    async def calls(count: int) -> tuple[int, int, int]:
        for number in range(count):
            async with simcall(agent) as call:
                if number % 2:
                    await asyncio.sleep(0.05)
                else:
                    await call.drop_connection()
        gc.collect()
        descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        return len(gc.get_objects()), descriptors, threading.active_count()

    objects, descriptors, threads = await calls(600)
    after, *others = await calls(1000)

    assert after - objects < 1000
    assert others == [descriptors, threads]
