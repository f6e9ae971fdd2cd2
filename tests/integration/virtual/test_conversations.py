"""Whole calls in virtual time: greetings, answers, many calls at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import Agent, tool
from patter.testing import CallTool, Reply


async def test_the_greeting_is_heard_at_once_and_whole(simcall: Any) -> None:
    async with simcall(first_message="Hello, Acme. How can I help?") as call:
        await call.agent_says("Hello, Acme. How can I help?")
        first = call.timeline[0]

    assert (first.start - call.started_at) * 1000 <= 50
    assert [(entry.role, entry.text) for entry in call.transcript] == [
        ("assistant", "Hello, Acme. How can I help?")
    ]


async def test_a_question_is_answered_and_the_model_knows_what_was_said(simcall: Any) -> None:
    async with simcall(
        system_prompt="You are at {place}.",
        variables={"place": "Acme"},
        first_message="Hello.",
        replies=["From nine to five.", "Goodbye."],
    ) as call:
        await call.agent_says("Hello.")
        await call.caller_says("When are you open?")
        await call.agent_says("From nine to five.")
        await call.quiet(300)
        await call.caller_says("Thank you")
        await call.agent_says("Goodbye.")
        await call.quiet(300)

    first, second = call.scene.model.requests
    assert [(message.role, message.content) for message in first[1:]] == [
        ("assistant", "Hello."),
        ("user", "When are you open?"),
    ]
    assert first[0].role == "system"
    assert "You are at Acme." in first[0].content
    assert [message.content for message in second[1:]] == [
        "Hello.",
        "When are you open?",
        "From nine to five.",
        "Thank you",
    ]
    assert call.summary.metrics["interruptions"] == 0


async def test_the_answer_follows_the_configured_silence_at_once(simcall: Any) -> None:
    async with simcall(min_silence_ms=400, replies=["Yes."]) as call:
        await call.caller_says("Are you there?")
        await call.agent_says("Yes.")
        caller, agent = call.timeline

    assert (agent.start - caller.end) * 1000 == pytest.approx(400, abs=20)


async def test_an_stt_that_ends_utterances_by_itself_needs_no_vad_for_it(simcall: Any) -> None:
    async with simcall(stt="fake-endpointing", replies=["Yes."]) as call:
        await call.caller_says("Are you there?")
        await call.agent_says("Yes.")
        caller, agent = call.timeline

    assert call.scene.recogniser.finalizes == 0
    assert (agent.start - caller.end) * 1000 == pytest.approx(300, abs=20)


async def test_two_calls_in_sequence(simcall: Any, phone: Any) -> None:
    calls = []
    for name in ("Anna", "Bert"):
        async with simcall(first_message=f"Hello {name}.") as call:
            await call.agent_says(f"Hello {name}.")
            await call.caller_says(f"I am {name}")
            await call.agent_says(f"You said: I am {name}")
        calls.append(call)

    assert [call.heard for call in calls] == [
        "Hello Anna. You said: I am Anna",
        "Hello Bert. You said: I am Bert",
    ]
    assert calls[0].call.id != calls[1].call.id
    assert phone.switchboard.lines() == ()


@pytest.mark.parametrize("vad", ["fake", "fake?min_speech_ms=60"])
async def test_ten_calls_at_once_share_nothing(simcall: Any, phone: Any, vad: str) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad=vad, first_message="Hello {name}.")

    async def one(number: int) -> Any:
        call = simcall(agent, parameters={"name": f"number {number}"}, caller=f"+1555000{number:04}")
        await asyncio.sleep(number * 0.013)
        async with call:
            await call.agent_says(f"Hello number {number}.")
            for question in range(3):
                await call.caller_says(f"Question {question} of {number}")
                await call.agent_says(f"You said: Question {question} of {number}")
                await call.quiet(200 + 30 * number)
        return call

    calls = await asyncio.gather(*(one(number) for number in range(10)))

    for number, call in enumerate(calls):
        answers = " ".join(f"You said: Question {question} of {number}" for question in range(3))
        assert call.heard == f"Hello number {number}. {answers}"
        assert [entry.text for entry in call.transcript if entry.role == "user"] == [
            f"Question {question} of {number}" for question in range(3)
        ]
        assert call.call.caller == f"+1555000{number:04}"
        scene = call.scene
        assert (scene.recogniser.made, scene.model.made, scene.voice.made) == (1, 1, 1)
    assert len({call.call.id for call in calls}) == 10
    assert phone.switchboard.lines() == ()


async def test_one_call_ends_in_the_middle_and_the_other_hears_nothing_of_it(simcall: Any) -> None:
    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello.")
    lasting, short = simcall(agent), simcall(agent)
    async with lasting:
        async with short:
            await short.agent_says("Hello.")
            await lasting.caller_says("First")
            await short.caller_hangs_up()
        await lasting.agent_says("You said: First")

    assert lasting.heard.endswith("You said: First")
    assert "First" not in short.heard


async def test_a_tool_is_called_and_its_result_reaches_the_model(simcall: Any) -> None:
    @tool
    async def opening_hours(day: str) -> str:
        """Opening hours for a weekday."""
        await asyncio.sleep(0.7)
        return f"nine to five on {day}"

    asks = Reply("One moment.", tools=[CallTool("opening_hours", {"day": "Monday"})])
    async with simcall(tools=[opening_hours], replies=[asks, "From nine to five."]) as call:
        await call.caller_says("When are you open on Monday?")
        await call.agent_says("One moment. From nine to five.")

    assert "opening_hours" in [spec.name for spec in call.scene.model.tools[0]]
    assistant, result = call.scene.model.requests[1][-2:]
    assert assistant.tool_calls[0].name == "opening_hours"
    assert result.role == "tool"
    assert result.tool_call_id == assistant.tool_calls[0].id
    assert "nine to five on Monday" in result.content


@pytest.mark.parametrize(
    ("encoding", "rate"), [("pcm16", 8000), ("pcm16", 16000), ("pcm16", 24000), ("alaw", 8000)]
)
async def test_a_voice_of_any_format_is_heard_at_its_pitch_and_speed(
    simcall: Any, encoding: str, rate: int
) -> None:
    text = "This sentence has a duration that shows."
    async with simcall(
        tts=f"fake?encoding={encoding}&rate={rate}&chunk_bytes=777", first_message=text
    ) as call:
        await call.agent_says(text[:-1])
        await call.quiet(200)
        (line,) = call.timeline

    assert (line.end - line.start) * 1000 == pytest.approx(len(text) * 60, abs=25)
