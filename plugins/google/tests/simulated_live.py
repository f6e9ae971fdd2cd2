"""An engine connected to its simulator, in virtual time."""

from __future__ import annotations

import asyncio

from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.environment import Environment
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeSession
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import tone
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter_google.live import GeminiLive
from patter_google.live_config import GeminiLiveConfig
from patter_google.simulator import SimulatedTurn, Simulator

KEY = "test-key-4711"
HELLO = "Good morning, this is the bakery."
SESSION = RealtimeSession("You are a receptionist.", first_message=HELLO)
LED = RealtimeSession("You are a receptionist.", patter_decides=True)
FRAME_S = 0.02


def virtually(body, turns=None, faults=None, terms=None, **settings):
    """Run `body(engine, simulator)` in virtual time, both ends in one memory network."""

    async def main():
        shared = SharedObjectPool()
        environment = Environment.seeded(1, VirtualClock(asyncio.get_running_loop()))
        context = ProviderContext(environment, shared, "call_1", MULAW_8K)
        async with Simulator(
            turns or (SimulatedTurn(),), faults=faults, terms=terms, key=KEY, host="live.example", port=80
        ) as simulator:
            engine = engine_of(simulator, context, **settings)
            try:
                return await body(engine, simulator)
            finally:
                await engine.close()
                await shared.close()

    return run_virtual(main(), network=MemoryNetwork())


def engine_of(simulator, context, **settings):
    values = {"api_key": KEY, "base_url": simulator.base_url, **settings}
    return GeminiLive(GeminiLiveConfig(**values), context)


def now():
    return asyncio.get_running_loop().time()


async def say(engine, duration_ms=300, then_s=0.0, number=40):
    """The caller speaks, in frames of 20 ms as they are recorded."""
    audio = tone(number, duration_ms, PCM16_16K)
    step = PCM16_16K.bytes_for_ms(20)
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
        """The kinds in order, runs of one kind as one, and without usage and the pieces of transcripts."""
        kinds = []
        for event in self.events:
            piece = event.kind.startswith("transcript") and not event.final
            if event.kind != "usage" and not piece and kinds[-1:] != [event.kind]:
                kinds.append(event.kind)
        return kinds

    def of(self, kind):
        return [event for event in self.events if event.kind == kind]

    def texts(self, kind):
        """The whole texts of a transcript."""
        return [event.text for event in self.of(kind) if event.final]

    @property
    def audio(self):
        return b"".join(event.audio for event in self.of("audio"))

    async def until(self, kind, count=1, limit_s=60.0):
        """Wait for the `count`-th event of a kind."""
        async with asyncio.timeout(limit_s):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0.01)


def responses_of(events):
    """Ids in the order of their starts and ends; asserts what holds for every response of every engine."""
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
