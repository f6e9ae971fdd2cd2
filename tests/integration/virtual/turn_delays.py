"""What tests of the figures of turns share: hooks and a tool that take their time, and the sum of the parts."""

from __future__ import annotations

import asyncio
from typing import Any

from patter import PipelineHooks, tool
from patter.metrics import CallMetrics


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


@tool
async def lookup() -> str:
    """Look it up."""
    await asyncio.sleep(0.2)
    return "found"
