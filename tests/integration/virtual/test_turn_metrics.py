"""The figures of turns in whole calls: what they are, who is told of them, and that their parts add up."""

from __future__ import annotations

import asyncio
import os
from random import Random
from typing import Any

import pytest

from patter import PipelineHooks, tool
from patter.metrics import CallMetrics, TurnMetrics
from patter.testing import CallTool, Reply
from patter.testing.scene import VoiceFault

#: whole calls with delays that are drawn
MANY = int(os.environ.get("PATTER_MANY_CALLS", "0")) or 60


class Slow(PipelineHooks):
    """Takes its time before the model, and before the voice."""

    def __init__(self, turn_s: float = 0.0, request_s: float = 0.0, voice_s: float = 0.0) -> None:
        self.turn_s, self.request_s, self.voice_s = turn_s, request_s, voice_s

    async def after_transcribe(self, text: str, context: Any) -> str:
        await asyncio.sleep(self.turn_s)
        return text

    async def before_llm(self, messages: Any, context: Any) -> Any:
        await asyncio.sleep(self.request_s)
        return messages

    async def before_synthesize(self, text: str, context: Any) -> str:
        await asyncio.sleep(self.voice_s)
        return text


def check_sums(figures: CallMetrics) -> int:
    """The parts of every turn add up to its total within 1 ms, and that to its latency; returns how many turns."""
    for turn in figures.turns:
        result = turn.breakdown
        assert abs(sum(part.ms for part in result.parts) - result.total_ms) <= 1.0, turn
        assert all(part.ms >= 0 for part in result.parts), turn
        if turn.latency_ms is not None:
            silence = result.total_ms - turn.latency_ms
            assert -1.0 <= silence <= result.ms("endpointing") + 1.0, turn
    return len(figures.turns)


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
