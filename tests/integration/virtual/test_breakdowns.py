"""What the caller waits for in whole calls, part by part: it adds up, whatever takes its time."""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import Any

import pytest
from turn_delays import Slow, check_sums, lookup

from patter import hookimpl, tool
from patter.metrics import CallMetrics
from patter.providers.stt import Final
from patter.testing import CallTool, Reply
from patter.testing.scene import VoiceFault

#: whole calls with delays that are drawn
MANY = int(os.environ.get("PATTER_MANY_CALLS", "0")) or 60


async def test_each_delay_is_in_its_part(simcall: Any) -> None:
    pipeline = Slow(0.11, 0.12, 0.13)
    reply = Reply("One two three four five six seven.", delay_s=0.3, token_delay_s=0.05)
    async with simcall(
        pipeline=pipeline, min_silence_ms=500, replies=[reply], tts="fake?delay_ms=170"
    ) as call:
        call.scene.recogniser.delay_s = 0.21
        await call.caller_says("Count to seven please")
        await call.agent_says("One two three four five six seven.")
        await call.quiet(300)
    (turn,) = call.summary.latency.turns
    result = turn.breakdown
    got = {part.name: part.ms for part in result.parts}
    assert got == {
        "endpointing": pytest.approx(500, abs=1),
        "stt": pytest.approx(210, abs=1),
        "hooks": pytest.approx(110 + 120 + 130, abs=1),
        "tools": 0,
        "llm_first_token": pytest.approx(300, abs=1),
        "first_sentence": pytest.approx(300, abs=1),
        "tts_first_byte": pytest.approx(170, abs=1),
        "conversion": 0,
        "pacing": pytest.approx(0, abs=1),
    }
    assert check_sums(call.summary.latency) == 1
    assert {part.name: (part.provider, part.setting) for part in result.parts} == {
        "endpointing": ("fake", "min_silence_ms"),
        "stt": ("fake", "stt"),
        "hooks": ("pipeline", "pipeline"),
        "tools": ("", "tools"),
        "llm_first_token": ("fake", "llm"),
        "first_sentence": ("fake", "aggressive_first_flush"),
        "tts_first_byte": ("fake", "tts"),
        "conversion": ("fake", "tts"),
        "pacing": ("fake", "max_calls"),
    }


def drawn_delays(random: Random) -> dict[str, Any]:
    """An agent whose providers and hooks take their time, sometimes with tools, faults and other formats."""
    voice = f"fake?delay_ms={random.randrange(0, 400, 7)}&chunk_delay_ms={random.choice((0, 0, 30))}"
    if random.random() < 0.3:
        voice += "&encoding=pcm16&rate=16000"
    options: dict[str, Any] = {
        "tts": voice,
        "min_silence_ms": random.randrange(100, 900, 20),
        "first_message": random.choice(("", "Hello.")),
        "aggressive_first_flush": random.random() < 0.3,
        "barge_in_mode": random.choice(("cancel", "confirm", "pause")),
        "long_turn_message": random.choice(("", "One moment.")),
        "long_turn_message_after_s": 1.0,
    }
    if random.random() < 0.3:
        options.update(stt="fake-endpointing", vad=random.choice(("fake", False)), turn_end="stt")
    if random.random() < 0.6:
        options["pipeline"] = Slow(*(random.choice((0.0, random.random() / 4)) for _ in range(3)))
    return options


def drawn_reply(random: Random) -> Reply:
    tools = [CallTool("look")] if random.random() < 0.2 else []
    said = random.choice(("", "Let me look. ")) if tools else "Yes, we do that. It takes a day or two."
    return Reply(
        said,
        tools=tools,
        delay_s=random.choice((0.0, random.random(), 2 * random.random())),
        token_delay_s=random.choice((0.0, random.random() / 8)),
        error=OSError("gone") if random.random() < 0.05 else None,
    )


async def one_drawn_call(simcall: Any, random: Random) -> CallMetrics:
    @tool
    async def look() -> str:
        """Look something up."""
        await asyncio.sleep(random.random() / 2)
        return "found"

    replies = [drawn_reply(random) for _ in range(6)]
    async with simcall(tools=[look], replies=replies, **drawn_delays(random)) as call:
        call.scene.recogniser.delay_s = random.choice((0.0, random.random() / 2))
        call.scene.voice.faults.extend(random.choice((None, VoiceFault(delay_s=0.3))) for _ in range(3))
        for _ in range(random.randrange(1, 4)):
            await call.caller_says(
                random.choice(("Do you do that?", "And how long does it take?", "-")),
                understood=random.choice((None, None, None, "[Music]")),
                wait=random.random() < 0.8,
            )
            await asyncio.sleep(random.choice((0.0, random.random(), 4.0)))
        if random.random() < 0.6:
            await call.quiet(1500, within_s=120)
    reported: CallMetrics = call.summary.latency
    assert call.summary.metrics["turn_count"] == len(reported.turns)
    return reported


async def test_the_parts_of_every_turn_of_many_calls_add_up(simcall: Any) -> None:
    random = Random(20261123)
    turns = sum([check_sums(await one_drawn_call(simcall, random)) for _ in range(MANY)])
    assert turns > MANY


class SlowDesk:
    """A plugin that looks at each request for a while."""

    @hookimpl
    async def patter_modify_request(self, request: Any) -> None:
        await asyncio.sleep(0.15)


async def test_a_plugin_that_takes_time_is_named(simcall: Any, phone: Any) -> None:
    phone.register(SlowDesk(), name="slow desk")
    async with simcall(replies=["Yes."], pipeline=Slow(turn_s=0.1)) as call:
        await call.caller_says("Are you there?")
        await call.agent_says("Yes.")
        await call.quiet(300)
    (turn,) = call.summary.latency.turns
    longest = {part.name: part for part in turn.breakdown.parts}["hooks"]
    assert (longest.ms, longest.provider) == (250.0, "pipeline, slow desk")


async def test_rounds_of_tools_and_a_late_commit_are_parts(simcall: Any) -> None:
    asks = Reply(tools=[CallTool("lookup")], delay_s=0.1)
    async with simcall(
        tools=[lookup], turn_end="manual", replies=[asks, Reply("We are open.", delay_s=0.3)]
    ) as call:
        await call.caller_says("When are you open?")
        call.scene.recogniser.emit(Final("When are you open?"))
        await asyncio.sleep(1.0)
        call.call.commit_turn()
        await call.agent_says("We are open.")
        await call.quiet(300)
    (turn,) = call.summary.latency.turns
    parts = {part.name: part for part in turn.breakdown.parts}
    # the final came before the VAD noticed the end, so there is no silence before it
    assert parts["endpointing"].ms == pytest.approx(1000.0, abs=1)
    assert parts["endpointing"].setting == "call.commit_turn()"
    assert parts["tools"].ms == pytest.approx(100 + 200, abs=1)
    assert parts["llm_first_token"].ms == pytest.approx(300, abs=1)
    assert check_sums(call.summary.latency) == 1


async def test_what_is_said_in_place_of_a_late_answer_ends_the_wait(simcall: Any) -> None:
    late = Reply("Here it is.", delay_s=2.5)
    async with simcall(
        replies=[late], long_turn_message="One moment.", long_turn_message_after_s=1.0
    ) as call:
        await call.caller_says("What is it?")
        await call.agent_says("One moment.")
        await call.agent_says("Here it is.")
        await call.quiet(300)
    (turn,) = call.summary.latency.turns
    assert turn.latency_ms == pytest.approx(1000.0, abs=1)
    assert turn.breakdown.ms("llm_first_token") == pytest.approx(1000.0, abs=1)
    assert turn.llm_ttft_ms == 2500.0
