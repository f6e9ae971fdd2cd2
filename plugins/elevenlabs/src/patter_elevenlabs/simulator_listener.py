"""The simulated agent for somebody who really speaks, in real time: it takes turns and answers, and knows no words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from patter.simulators.hosted import SMALL_TALK
from patter_elevenlabs.simulator import SimulatedAgent, SimulatedTurn, Simulator

_TURNS: Final = tuple(SimulatedTurn(*one) for one in SMALL_TALK)


@asynccontextmanager
async def listener() -> AsyncIterator[Mapping[str, Any]]:
    """The settings that lead to it, while it runs.

    The first thing it hears is "(speech 1)" to it. Its answers last about 4 s, long enough to be interrupted.
    """
    agent = SimulatedAgent(turns=_TURNS)
    async with Simulator(agent) as simulator:
        yield {"agent_id": agent.agent_id, "base_url": simulator.base_url, "api_key": simulator.key}
