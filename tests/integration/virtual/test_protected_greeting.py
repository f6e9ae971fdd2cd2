"""The matrix of the greeting: whatever the engine does and whenever the caller speaks, it is heard once, whole.

Each cell is an engine, a way in which its server misbehaves, the moments at which the caller says "Hello?", and a session
that was opened while the phone rang or is opened at pickup; the seeds draw what else differs between two calls. A cell
that an engine cannot have, because its record declares no flag for it, is skipped with that reason.
"""

from __future__ import annotations

import os
import random
from typing import Any

import gemini_greetings
import hosted_greetings
import openai_greetings
import pytest
from greeting_cells import CELLS, SPEAKS_AT_MS, skipped

#: two in every run; ``GREETING_SEEDS=20`` plays them all
SEEDS = range(1, 1 + int(os.environ.get("GREETING_SEEDS", "2")))

#: the plugin of each engine, and who plays a call of its cells
ENGINES = {
    "openai-realtime": ("openai", openai_greetings.play),
    "elevenlabs-convai": ("elevenlabs", hosted_greetings.play_elevenlabs),
    "gemini-live": ("google", gemini_greetings.play),
    "ultravox": ("ultravox", hosted_greetings.play_ultravox),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("adopted", [False, True], ids=["cold", "adopted"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(name, marks=pytest.mark.patter_plugins(plugin), id=name)
        for name, (plugin, _) in ENGINES.items()
    ],
)
async def test_the_greeting_is_heard_once_and_whole(
    simcall: Any, engine: str, cell: str, adopted: bool, seed: int
) -> None:
    plugin, play = ENGINES[engine]
    if reason := skipped(plugin, engine, cell, adopted=adopted):
        pytest.skip(reason)
    for speaks_at_ms in SPEAKS_AT_MS:
        drawn = random.Random(f"{engine} {cell} {speaks_at_ms} {adopted} {seed}")
        await play(simcall, cell, speaks_at_ms, drawn, adopted=adopted)
