"""The simulated model for somebody who really speaks, in real time: it takes turns and answers, and knows no words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from patter_google.simulator.server import Simulator
from patter_google.simulator.terms import SimulatedTurn

#: more turns than anybody has patience for; the last one stays
_TURNS: Final = tuple(
    SimulatedTurn(
        f"(speech {number})",
        f"I heard (speech {number}). I am a simulator: I speak in tones and know no words.",
    )
    for number in range(1, 101)
)


@asynccontextmanager
async def listener() -> AsyncIterator[Mapping[str, Any]]:
    """The settings that lead to it, while it runs.

    The first thing it hears is "(speech 1)" to it. Its answers last about 4 s, long enough to be interrupted.
    """
    async with Simulator(_TURNS) as simulator:
        yield {"base_url": simulator.base_url, "api_key": simulator.key}
