"""Long talks with an engine in which everything happens at random: nothing is lost, repeated, stuck or left over."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from realtime_calls import Told, agent

from patter import tool
from patter.testing import CallTool, EngineReply

MODES: tuple[dict[str, Any], ...] = (
    {},
    {"barge_in_mode": "confirm"},
    {"barge_in_mode": "pause"},
    {"engine": "fake-greeter"},
)


@tool(reassurance={"message": "One moment please", "after_ms": 300})
async def look_up(seconds: float) -> str:
    """Look something up."""
    await asyncio.sleep(seconds)
    return "found"


def reply(chance: random.Random, number: int) -> EngineReply:
    """Something that the engine says, long or short, whole or broken off."""
    text = f"This is answer number {number}. " + "And so on it goes. " * chance.randrange(4)
    kind = chance.choice(["whole"] * 5 + ["failed", "cancelled", "silent", "tools", "tools alone", "hangs"])
    pace: dict[str, Any] = {"piece_s": chance.choice([0.001, 0.01, 0.1]), "delay_s": chance.uniform(0, 0.5)}
    tools = [
        CallTool("look_up", {"seconds": chance.choice([0.0, 0.2, 1.0])})
        for _ in range(chance.randrange(1, 3))
    ]
    return {
        "whole": EngineReply(text, **pace),
        "failed": EngineReply(text, status="failed", after_ms=500, **pace),
        "cancelled": EngineReply(text, status="cancelled", after_ms=500, **pace),
        "silent": EngineReply(text, silent=True, **pace),
        "tools": EngineReply(text, tools=tools, **pace),
        "tools alone": EngineReply("", silent=True, tools=tools, **pace),
        "hangs": EngineReply(text, hangs=True, after_ms=300, **pace),
    }[kind]


async def happen(call: Any, chance: random.Random, number: int) -> None:
    """One thing, and some time."""
    match chance.choice(["speech"] * 6 + ["quick speech", "say", "interrupt", "drop"]):
        case "speech":
            await call.caller_says(f"Sentence {number}.")
        case "quick speech":
            await call.caller_says(f"Word {number}.", duration_ms=120)
        case "say":
            call.call.say(f"Announcement {number}.")
        case "interrupt":
            call.call.interrupt()
        case "drop" if call.scene.engine.engine is not None:
            call.scene.engine.engine.drop()
    await asyncio.sleep(chance.choice([0.0, 0.1, 0.5, 1.0, 4.0]))


@pytest.mark.parametrize("mode", range(len(MODES)))
@pytest.mark.parametrize("seed", range(5))
async def test_a_talk_in_which_everything_happens(simcall: Any, told: Told, seed: int, mode: int) -> None:
    chance = random.Random(seed * 100 + mode)
    call = simcall(agent(tools=(look_up,), **MODES[mode]), ring_s=chance.choice([0.0, 1.0]))
    script = call.scene.engine
    script.transcript_s = chance.choice([0.0, 0.3, 1.0])
    script.replies.extend(reply(chance, number) for number in range(20))
    async with call:
        for number in range(12):
            if call.summary is not None:
                break
            await happen(call, chance, number)
        await asyncio.sleep(25.0)
        if call.summary is None:
            assert call.call.agent_state == "listening", "nothing is stuck"
    said = [line for line in call.transcript if line.role == "user" and not line.backchannel]
    lines = [line.text for line in said]
    understood = [text for text in script.understood if text]
    assert len(lines) == len(set(lines))
    for text in understood:
        assert sum(text in line for line in lines) <= 1, text
    assert call.summary.metrics["stuck_repairs"] == 0
    assert call.summary.leaks == ()
    assert script.problems == []
    if mode != 2:  # what was paused is heard in pieces
        for line in call.transcript:
            if line.role == "assistant" and not line.interrupted and line.text.startswith("Announcement"):
                assert line.text in call.heard
    assert told.order.count("agent_speech_started") == told.order.count("agent_speech_ended")
