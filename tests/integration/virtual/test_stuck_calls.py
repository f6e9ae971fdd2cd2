"""Calls that would be silent for ever: the watchdog frees them, and counts."""

from __future__ import annotations

import asyncio
from typing import Any

from patter import tool
from patter.testing.scene import CallTool, Reply


async def test_a_model_that_falls_silent_in_its_answer_does_not_silence_the_call(simcall: Any) -> None:
    replies = [Reply("Let me have a look at the clock. It shows", hangs=True), "Here I am again."]
    async with simcall(first_message="Hello.", replies=replies) as call:
        await call.agent_says("Hello.")
        await call.caller_says("What is the time?")
        await call.agent_says("Let me have a look at the clock.")
        # the turn is as good as lost; what came before it is heard, and stays in the transcript
        await call.quiet(58_000, within_s=70)
        assert call.call.agent_state == "speaking"
        await call.quiet(6_000)
        assert call.call.agent_state == "listening"
        assert call.scene.model.open_streams == 0
        await call.caller_says("Are you there?")
        await call.agent_says("Here I am again.")
        (failure,) = call.failures
        assert (failure.kind, failure.reference) == ("core", "reply 2")
        call.failures.clear()
    assert call.summary.metrics["stuck_repairs"] == 1
    said = [(line.role, line.text) for line in call.transcript]
    assert said == [
        ("assistant", "Hello."),
        ("user", "What is the time?"),
        ("assistant", "Let me have a look at the clock."),
        ("user", "Are you there?"),
        ("assistant", "Here I am again."),
    ]


async def test_a_slow_call_in_which_all_is_well_needs_no_repair(simcall: Any) -> None:
    @tool(timeout_s=120)
    async def look_up() -> str:
        """Search the archive."""
        await asyncio.sleep(100)
        return "found"

    replies = [Reply("One moment. ", tools=[CallTool("look_up")]), Reply("Found it.", delay_s=14)]
    async with simcall(replies=replies, tools=[look_up]) as call:
        await asyncio.sleep(300)
        await call.caller_says("Please look it up.")
        await call.agent_says("One moment.")
        await call.agent_says("Found it.", within_s=200)
        await asyncio.sleep(30)
    assert call.summary.metrics["stuck_repairs"] == 0
