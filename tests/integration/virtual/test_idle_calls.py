"""Callers who say nothing: the agent asks whether they are there, and hangs up (TN-22)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from patter import Agent, ConfigError, tool
from patter.providers.carrier import CallStatus
from patter.testing.scene import CallTool, Reply

PROMPT = "Are you still there?"


def spoken(call: Any) -> list[tuple[str, str, float, float]]:
    """Who said what, from when to when, in s from the ringing."""
    start = call.started_at
    return [(one.who, one.text, one.start - start, one.end - start) for one in call.timeline]


@pytest.mark.behaviour("TN-22")
async def test_a_caller_who_says_nothing_is_asked_once_and_hung_up(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="patter"):
        async with simcall(first_message="Hello.", idle_prompt_s=8, idle_hangup_s=20) as call:
            await call.ended(within_s=60)
    greeting, prompt = spoken(call)
    assert (greeting[1], prompt[1]) == ("Hello.", PROMPT)
    assert prompt[2] == pytest.approx(greeting[3] + 8, abs=0.05)
    assert call.summary.outcome is CallStatus.COMPLETED
    assert call.summary.reason == "nobody said anything for 20 s"
    assert call.summary.duration_s == pytest.approx(greeting[3] + 20, abs=0.05)
    assert any(call.summary.reason in record.getMessage() for record in caplog.records)
    assert [(line.role, line.text, line.interrupted) for line in call.transcript] == [
        ("assistant", "Hello.", False),
        ("assistant", PROMPT, False),
    ]


@pytest.mark.behaviour("TN-22")
async def test_speech_keys_and_replies_start_the_count_again(simcall: Any) -> None:
    async with simcall(idle_prompt_s=8, idle_hangup_s=20, replies=["Fine."]) as call:
        await asyncio.sleep(7)
        await call.dtmf("5")
        pressed = asyncio.get_running_loop().time() - 0.1
        await call.quiet(7000)
        await call.caller_says("A noise.", understood="")
        spoke = asyncio.get_running_loop().time()
        await call.quiet(7500)
        assert spoke - pressed > 6
        await call.caller_says("How are you?")
        await call.agent_says("Fine.")
        answered = asyncio.get_running_loop().time()
        await call.agent_says(PROMPT)
        said = [one for one in spoken(call) if one[1] == PROMPT]
        (fine,) = (one for one in spoken(call) if one[1] == "Fine.")
        assert said[0][2] == pytest.approx(fine[3] + 8, abs=0.1)
        assert answered
        await call.ended(within_s=30)
    assert call.summary.duration_s == pytest.approx(fine[3] + 20, abs=0.1)


@pytest.mark.behaviour("TN-22")
async def test_a_slow_tool_or_model_is_no_silence_and_neither_is_a_tool_of_a_reply_given_up(
    simcall: Any,
) -> None:
    @tool(timeout_s=60)
    async def look_up() -> str:
        """Search the archive."""
        await asyncio.sleep(30)
        return "found"

    replies = [
        Reply("One moment. ", tools=[CallTool("look_up")]),
        Reply("Found it.", delay_s=12),
        Reply("Again. ", tools=[CallTool("look_up")]),
    ]
    async with simcall(idle_prompt_s=5, idle_hangup_s=14, replies=replies, tools=[look_up]) as call:
        await call.caller_says("Please look it up.")
        await call.agent_says("One moment.")
        assert PROMPT not in await call.agent_says("Found it.", within_s=60)
        await call.caller_says("And once more.")
        await call.agent_says("Again.")
        await asyncio.sleep(1.0)
        begun = asyncio.get_running_loop().time()
        call.call.interrupt()
        await call.agent_says(PROMPT, within_s=60)
        prompt = spoken(call)[-1]
        # the tool goes on for about 28 s, and 5 s after its end nobody has said anything
        assert 33 <= prompt[2] + call.started_at - begun <= 35
        call.call.end()
        await call.ended()


@pytest.mark.behaviour("TN-22")
async def test_the_prompt_is_interrupted_like_any_speech(simcall: Any) -> None:
    question = "Hello, {name}, I cannot hear you any more, are you still there at the other end of the line?"
    async with simcall(
        idle_prompt_s=5,
        idle_prompt=question,
        variables={"name": "Ada"},
        replies=["Good."],
    ) as call:
        await call.agent_says("Hello, Ada")
        await asyncio.sleep(1.0)
        await call.caller_says("Yes I am here.")
        await call.agent_says("Good.")
    first, second, third = call.transcript
    assert (first.role, first.interrupted) == ("assistant", True)
    assert question.replace("{name}", "Ada").startswith(first.text)
    assert (second.role, second.text) == ("user", "Yes I am here.")
    assert (third.role, third.text) == ("assistant", "Good.")
    assert call.summary.metrics["interruptions"] == 1


@pytest.mark.behaviour("TN-22")
async def test_nothing_is_asked_of_anybody_by_default(simcall: Any) -> None:
    agent = Agent()
    assert (agent.idle_prompt_s, agent.idle_prompt, agent.idle_hangup_s) == (None, PROMPT, None)
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
        await call.quiet(600_000, within_s=700)
    assert len(call.transcript) == 1


def test_the_call_must_not_end_before_the_caller_was_asked() -> None:
    with pytest.raises(ConfigError, match=r"idle_hangup_s: .*must be more than idle_prompt_s, which is 10 s"):
        Agent(idle_prompt_s=10, idle_hangup_s=10)
    assert Agent(idle_hangup_s=5).idle_hangup_s == 5
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="idle_prompt_s"):
            Agent(idle_prompt_s=wrong)


@pytest.mark.behaviour("TN-09")
async def test_a_turn_that_nobody_heard_is_told_to_observers_and_written_nowhere(simcall: Any) -> None:
    replies = [Reply("Never heard.", delay_s=3.0), "A pizza it is."]
    reports: list[Any] = []
    async with simcall(first_message="Hello.", replies=replies) as call:
        call.call.on("turn_ended", reports.append)
        await call.agent_says("Hello.")
        await call.caller_says("I want.")
        await asyncio.sleep(1.0)
        await call.caller_says("A pizza.")
        await call.agent_says("A pizza it is.")
        await call.quiet(100)
    told = [(report.text, report.heard_text, report.interrupted) for report in reports]
    assert told == [
        ("Hello.", "Hello.", False),
        ("[interrupted]", "", True),
        ("A pizza it is.", "A pizza it is.", False),
    ]
    assert not any("interrupted" in line.text for line in call.transcript)
    sent = [message.content for request in call.scene.model.requests for message in request]
    assert not any("[interrupted]" in text for text in sent)
    assert not any("[interrupted]" in message.content for message in call.summary.history)
