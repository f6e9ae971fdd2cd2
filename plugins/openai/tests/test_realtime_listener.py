"""The simulated engine for somebody who really speaks: any voice is heard, and answered at length."""

from __future__ import annotations

import asyncio

import numpy as np
from simulated_realtime import SESSION, collect, of_kind

import patter_openai
from patter.audio.g711 import encode
from patter.environment import Environment
from patter.plugins import PluginManager, import_attribute, resolve
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_openai.realtime import OpenAIRealtime
from patter_openai.realtime_config import OpenAIRealtimeConfig


def test_it_takes_turns_with_whoever_makes_a_sound():
    record = resolve(PluginManager((patter_openai,), autoload=False), "realtime", "openai-realtime").record
    listener = import_attribute(record.simulator)

    async def main():
        async with listener() as settings:
            context = ProviderContext(Environment(), SharedObjectPool(), "call_1")
            engine = OpenAIRealtime(OpenAIRealtimeConfig(**settings), context)
            await engine.connect(SESSION)
            for number in (1, 2):
                await noise(engine)
                events = await collect(engine, of_kind("response_done"))
                texts = [event.text for event in events if event.kind == "transcript_input" and event.final]
                said = "".join(event.text for event in events if event.kind == "transcript_output")
                audio = b"".join(event.audio for event in events)
                assert texts == [f"(speech {number})"]
                assert said.startswith(f"I heard (speech {number}).")
                assert 3000 < engine.audio_formats()[1].duration_ms(len(audio)) < 8000
            await engine.close()

    run_virtual(main(), network=MemoryNetwork())


async def noise(engine):
    """700 ms that are no tone, then silence."""
    takes, _ = engine.audio_formats()
    loud = np.random.default_rng(1).integers(-6000, 6000, takes.rate * 7 // 10).astype(np.int16)
    audio = encode(loud, takes.encoding) + takes.silence(takes.rate)
    step = takes.bytes_for_ms(20)
    for start in range(0, len(audio), step):
        await engine.send_audio(audio[start : start + step])
        await asyncio.sleep(0.02)
