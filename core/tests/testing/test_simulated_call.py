"""The simulated call as a tool: what it waits for, what it tells, what it finds left over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import Agent
from patter.errors import ConfigError
from patter.testing import Reply, SimulatedCall


async def test_what_was_heard_is_waited_for_piece_by_piece(simcall: Any) -> None:
    async with simcall(first_message="One and one and two.") as call:
        first = await call.agent_says("one")
        at = call.timeline[-1].end
        await call.agent_says("two.")
        assert first == "One and one"
        assert at == pytest.approx(11 * 0.06, abs=0.03)
        with pytest.raises(AssertionError, match="agent says 'One', within 1 s"):
            await call.agent_says("One", within_s=1)


async def test_a_failure_says_who_said_what_and_when(simcall: Any) -> None:
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
        await call.quiet(100)
        await call.caller_says("Is it you?")
        with pytest.raises(AssertionError) as failure:
            await call.agent_says("Never", within_s=3)

    lines = str(failure.value).splitlines()
    assert lines[0] == "expected that the agent says 'Never', within 3 s"
    assert [line.split(maxsplit=3)[3:] for line in lines[2:]] == [
        ["agent   Hello."],
        ["caller  Is it you?"],
        ["agent   You said: Is it you?"],
    ]


async def test_waiting_ends_with_the_call(simcall: Any) -> None:
    async with simcall(replies=[Reply("Never.", delay_s=5)]) as call:
        await call.caller_says("Hello?")
        asyncio.get_running_loop().call_later(1, call.line.drop)
        with pytest.raises(
            AssertionError, match=r"but the call is over\nthe call ended as completed: the media socket"
        ):
            await call.agent_says("Never.")


async def test_a_refused_call_says_so(simcall: Any) -> None:
    async with simcall(stt="unknown-to-all") as call:
        with pytest.raises(AssertionError, match="no media: it was refused: We are sorry"):
            await call.caller_says("Hello?")


async def test_silence_is_measured_from_the_onset_of_the_last_words(simcall: Any) -> None:
    text = "This is a text that is long enough to be interrupted."
    async with simcall(first_message=text, barge_in_mode="confirm", replies=["Good."]) as call:
        with pytest.raises(AssertionError, match="has said nothing"):
            _ = call.silent_after_ms
        await call.agent_says("This is a")
        await call.caller_says("okay")
        assert call.silent_after_ms == float("inf")
        await call.agent_says("Good.")
        # four characters, the silence that ends a turn, and two frames
        assert call.silent_after_ms == pytest.approx(240 + 400, abs=60)
        await call.quiet(500)
        await call.caller_says("Bye", wait=False)
        assert call.silent_after_ms == 0


async def test_what_a_call_leaves_behind_is_named(simcall: Any) -> None:
    call = simcall(first_message="Hello.")
    await call.connect()
    await call.agent_says("Hello.")
    left = asyncio.create_task(asyncio.sleep(100), name=f"{call.call.id} forgotten")
    call.scene.voice.open_streams += 1
    with pytest.raises(AssertionError) as failure:
        await call.__aexit__(None, None, None)
    left.cancel()

    assert "the call left over: " in str(failure.value)
    assert f"task {call.call.id} forgotten" in str(failure.value)
    assert "a synthesis of the TTS" in str(failure.value)


async def test_the_exception_of_a_test_is_not_hidden_by_the_end_of_its_call(simcall: Any) -> None:
    with pytest.raises(LookupError):
        async with simcall(first_message="Hello.") as call:
            raise LookupError
    await asyncio.sleep(3)
    assert call.phone.switchboard.lines() == ()


async def test_options_of_agents_and_calls_are_told_apart(simcall: Any, phone: Any) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="I am the phone's.")
    await phone.start(agent, port=0)
    async with simcall() as call:
        await call.agent_says("I am the phone's.")
    async with simcall(first_message="I am not.", limit_s=5) as call:
        await call.agent_says("I am not.")
    with pytest.raises(TypeError, match="not both"):
        simcall(agent, first_message="Both.")
    with pytest.raises(TypeError):
        simcall(no_such_option=1)
    with pytest.raises(ConfigError):
        simcall(barge_in_mode="shout")


def test_a_call_needs_a_phone_that_serves(phone: Any) -> None:
    with pytest.raises(RuntimeError, match="not serving with carrier='fake'"):
        _ = SimulatedCall(phone).carrier


@pytest.mark.patter_phone(carrier="fake?encoding=pcm16&rate=16000")
async def test_a_wide_line_is_heard_and_understood(simcall: Any) -> None:
    async with simcall(first_message="Hello, this is a test.") as call:
        await call.agent_says("Hello, this is a")
        await call.quiet(200)
        await call.caller_says("Over a wide line")
        await call.agent_says("You said: Over a wide"[:-1])


async def test_the_caller_may_be_misunderstood_and_may_make_noises(simcall: Any) -> None:
    async with simcall() as call:
        await call.caller_says("I scream", understood="ice cream")
        await call.agent_says("You said: ice cream")
        await call.quiet(300)
        await call.caller_says("(cough)", understood="")
        await call.quiet(2000)

    assert len(call.scene.model.requests) == 1


async def test_two_runs_with_one_seed_are_alike(simcall: Any) -> None:
    timelines = []
    for _ in range(2):
        async with simcall(first_message="Hello.") as call:
            await call.agent_says("Hello.")
            await call.caller_says("What now?")
            await call.agent_says("You said: What now?")
        timelines.append(
            [(one.who, one.text, round((one.start - call.started_at) * 1000)) for one in call.timeline]
        )

    assert timelines[0] == timelines[1]
