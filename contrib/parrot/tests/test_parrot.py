from __future__ import annotations

import asyncio

import pytest

import patter_parrot
from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.environment import Environment
from patter.errors import ConfigError, ProviderDisconnected
from patter.plugins.building import SharedObjectPool, build
from patter.plugins.manager import PluginManager
from patter.plugins.resolving import resolve
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeEngine, RealtimeSession
from patter.testing.virtual_loop import run_virtual
from patter_parrot.engine import Parrot

FRAME_S = 0.02


def parrot(reference="parrot", carrier_format=MULAW_8K):
    """As a call gets it: registered, resolved and built."""
    manager = PluginManager(environ={"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"})
    manager.register(patter_parrot, "parrot")
    context = ProviderContext(Environment(), SharedObjectPool(), carrier_format=carrier_format)
    engine = build(manager, resolve(manager, "realtime", reference), context)
    assert isinstance(engine, RealtimeEngine)
    return engine


async def listen(engine, heard):
    loop = asyncio.get_running_loop()
    async for event in engine.receive():
        heard.append((loop.time(), event.kind, event.audio))


@pytest.mark.parametrize(
    ("reference", "delay_s"), [("parrot", 0.5), ("parrot?delay_ms=120", 0.12), ("parrot?delay_ms=0", 0)]
)
def test_repeats_each_frame_after_the_delay(reference, delay_s):
    async def main():
        engine = parrot(reference)
        await engine.connect(RealtimeSession("Repeat."))
        heard, said = [], []
        listening = asyncio.create_task(listen(engine, heard))
        for number in range(100):
            frame = bytes([number]) * 160
            said.append((asyncio.get_running_loop().time(), frame))
            await engine.send_audio(frame)
            await asyncio.sleep(FRAME_S)
        await asyncio.sleep(1)
        await engine.close()
        await listening
        return heard, said

    heard, said = run_virtual(main())
    assert [event[1] for event in heard] == ["session_ready", *["audio"] * 100, "closed"]
    for (at, _, audio), (said_at, frame) in zip(heard[1:-1], said, strict=True):
        assert audio == frame
        assert at - said_at == pytest.approx(delay_s, abs=0.001)


def test_speaks_the_carriers_format():
    async def main():
        assert parrot(carrier_format=PCM16_16K).audio_formats() == (PCM16_16K, PCM16_16K)
        assert parrot(carrier_format=None).audio_formats() == (MULAW_8K, MULAW_8K)

    run_virtual(main())


def test_what_nobody_fetches_is_bounded():
    async def main():
        engine = parrot()
        await engine.connect(RealtimeSession(""))
        for number in range(2000):
            await engine.send_audio(number.to_bytes(2, "big") * 80)
        heard = []
        listening = asyncio.create_task(listen(engine, heard))
        await asyncio.sleep(1)
        await engine.close()
        await listening
        return [audio for _, kind, audio in heard if kind == "audio"]

    frames = run_virtual(main())
    assert len(frames) == 500  # 10 s
    assert frames[-1][:2] == (1999).to_bytes(2, "big")


def test_its_life():
    async def main():
        engine = parrot()
        with pytest.raises(ProviderDisconnected, match="connect"):
            await engine.send_audio(b"a")
        await engine.close()
        await engine.close()
        await engine.send_audio(b"a")
        heard = []
        await listen(engine, heard)
        assert [kind for _, kind, _ in heard] == ["session_ready", "closed"]
        with pytest.raises(ProviderDisconnected):
            await engine.connect(RealtimeSession(""))

    run_virtual(main())


@pytest.mark.parametrize("delay_ms", [-1, 5001])
def test_a_delay_that_cannot_be_meant_is_refused(delay_ms):
    with pytest.raises(ConfigError, match="delay_ms"):
        Parrot(delay_ms)
