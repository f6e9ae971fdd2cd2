"""The simulated model for somebody who really speaks: any voice is heard, and answered at length."""

from __future__ import annotations

import asyncio

import numpy as np
from simulated_live import SESSION

import patter_google
from patter.audio.formats import MULAW_8K, PCM16_16K, PCM16_24K
from patter.environment import Environment
from patter.plugins import PluginManager, import_attribute, resolve
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.testing.engine_listener import EngineListener
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_google.live import GeminiLive
from patter_google.live_config import GeminiLiveConfig


def test_it_takes_turns_with_whoever_makes_a_sound():
    record = resolve(PluginManager((patter_google,), autoload=False), "realtime", "gemini-live").record
    listener = import_attribute(record.simulator)

    async def main():
        async with listener() as settings:
            context = ProviderContext(Environment(), SharedObjectPool(), "call_1", MULAW_8K)
            engine = GeminiLive(GeminiLiveConfig(**settings), context)
            await engine.connect(SESSION)
            heard = EngineListener(engine)
            for number in (1, 2):
                before = len(heard.audio)
                await noise(engine)
                await heard.until("response_done", number)
                assert heard.texts("transcript_input")[-1] == f"(speech {number})"
                assert heard.texts("transcript_output")[-1].startswith(f"I heard (speech {number}).")
                assert 3000 < PCM16_24K.duration_ms(len(heard.audio) - before) < 8000
            await engine.close()

    run_virtual(main(), network=MemoryNetwork())


async def noise(engine):
    """700 ms that are no tone, then silence."""
    loud = np.random.default_rng(1).integers(-6000, 6000, 16_000 * 7 // 10).astype("<i2").tobytes()
    audio = loud + PCM16_16K.silence(16_000)
    for start in range(0, len(audio), 640):
        await engine.send_audio(audio[start : start + 640])
        await asyncio.sleep(0.02)
