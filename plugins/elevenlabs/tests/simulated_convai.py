"""An engine connected to its simulator, in virtual time."""

from __future__ import annotations

import asyncio

from patter.audio.formats import MULAW_8K
from patter.environment import Environment
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeSession
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import tone
from patter.testing.virtual_loop import run_virtual
from patter_elevenlabs.convai import ElevenLabsConvai
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_elevenlabs.simulator import SimulatedAgent, Simulator

KEY = "test-key-4711"
HELLO = "Good morning, this is the bakery."
SESSION = RealtimeSession("You are a receptionist.", first_message=HELLO)
FRAME_S = 0.02


def virtually(body, agent=None, faults=None, **settings):
    """Run `body(engine, simulator)` in virtual time, both ends in one memory network."""

    async def main():
        async with Simulator(agent, faults=faults, key=KEY, host="agent.example", port=80) as simulator:
            engine = engine_of(simulator, **settings)
            try:
                return await body(engine, simulator)
            finally:
                await engine.close()

    return run_virtual(main(), network=MemoryNetwork())


def engine_of(simulator, **settings):
    values = {
        "agent_id": simulator.agent.agent_id,
        "api_key": KEY,
        "base_url": simulator.base_url,
        **settings,
    }
    context = ProviderContext(Environment(), SharedObjectPool(), "call_1", MULAW_8K)
    return ElevenLabsConvai(ElevenLabsConvaiConfig(**values), context)


def agent(**settings):
    return SimulatedAgent(**settings)


def now():
    return asyncio.get_running_loop().time()


async def say(engine, duration_ms=300, audio_format=MULAW_8K, then_s=0.0):
    """The caller speaks, in frames of 20 ms as they are recorded."""
    audio = tone(40, duration_ms, audio_format)
    step = audio_format.bytes_for_ms(20)
    for start in range(0, len(audio), step):
        await engine.send_audio(audio[start : start + step])
        await asyncio.sleep(FRAME_S)
    await asyncio.sleep(then_s)


class Listener:
    """Keeps what an engine says, with the time at which it said it."""

    def __init__(self, engine):
        self.events = []
        self.times = []
        self.task = asyncio.ensure_future(self._listen(engine))

    async def _listen(self, engine):
        async for event in engine.receive():
            self.events.append(event)
            self.times.append(now())

    @property
    def kinds(self):
        """The kinds in order, runs of audio as one and usage left out."""
        kinds = []
        for event in self.events:
            if event.kind != "usage" and not (event.kind == "audio" and kinds[-1:] == ["audio"]):
                kinds.append(event.kind)
        return kinds

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    def time_of(self, kind):
        return next(at for event, at in zip(self.events, self.times, strict=True) if event.kind == kind)

    @property
    def audio(self):
        return b"".join(event.audio for event in self.of("audio"))

    async def until(self, kind, count=1, limit_s=60.0):
        """Wait for the `count`-th event of a kind."""
        async with asyncio.timeout(limit_s):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0.01)


def responses_of(events):
    """Ids in the order of their starts; asserts what holds for every response of every engine."""
    started, done = [], []
    for event in events:
        if event.kind == "response_started":
            assert event.response_id not in started
            started.append(event.response_id)
        elif event.kind == "response_done":
            assert event.response_id in started
            assert event.response_id not in done
            done.append(event.response_id)
        elif event.response_id is not None:
            assert event.response_id in started
            assert event.response_id not in done
    return started, done
