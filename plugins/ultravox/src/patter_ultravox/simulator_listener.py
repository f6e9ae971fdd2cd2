"""The simulated model for somebody who really speaks, in real time: it takes turns and answers, and knows no words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from patter.simulators.hosted import SMALL_TALK
from patter_ultravox.simulator import SimulatedTurn, Simulator

_TURNS: Final = tuple(SimulatedTurn(*one) for one in SMALL_TALK)


@asynccontextmanager
async def listener() -> AsyncIterator[Mapping[str, Any]]:
    """The settings that lead to it, while it runs.

    The first thing it hears is "(speech 1)" to it. Its answers last about 4 s, long enough to be interrupted.
    """
    async with Simulator(_TURNS) as simulator:
        yield {"base_url": simulator.base_url, "api_key": simulator.key}
