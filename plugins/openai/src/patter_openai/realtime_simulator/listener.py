"""The simulated engine for somebody who really speaks, in real time: it takes turns and answers, and knows no words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from patter_openai.realtime_simulator.model import Asked
from patter_openai.realtime_simulator.server import RealtimeSimulator


@asynccontextmanager
async def listener() -> AsyncIterator[Mapping[str, Any]]:
    """The settings that lead to it, while it runs.

    The first thing it hears is "(speech 1)" to it. Its answers last about 4 s, long enough to be interrupted.
    """
    heard = count(1)

    def understand(pitches: Sequence[int]) -> str:
        return f"(speech {next(heard)})"

    async with RealtimeSimulator(_answer, understand=understand) as simulator:
        yield {"base_url": simulator.base_url, "api_key": simulator.key}


def _answer(asked: Asked) -> str:
    said = next((text for role, text in reversed(asked.heard) if role == "user" and text), "nothing")
    return f"I heard {said}. I am a simulator: I speak in tones and know no words."
