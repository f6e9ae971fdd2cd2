"""An engine without a call, in virtual time: somebody who speaks to it, and somebody who notes what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.environment import Environment
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeEventKind
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import FRAME_MS, tone
from patter.testing.virtual_loop import VirtualClock, run_virtual

Server = TypeVar("Server")
Engine = TypeVar("Engine", bound=RealtimeEngine)


def run_engine(
    body: Callable[[Engine, Server], Awaitable[None]],
    server: AbstractAsyncContextManager[Server],
    make: Callable[[Server, ProviderContext], Engine],
    carrier_format: AudioFormat | None = MULAW_8K,
) -> None:
    """Run `body(engine, server)` in virtual time, both ends in one memory network, and close the engine."""

    async def main() -> None:
        shared = SharedObjectPool()
        environment = Environment.seeded(1, VirtualClock(asyncio.get_running_loop()))
        async with server as running:
            engine = make(running, ProviderContext(environment, shared, "call_1", carrier_format))
            try:
                await body(engine, running)
            finally:
                await engine.close()
                await shared.close()

    run_virtual(main(), network=MemoryNetwork())


def now() -> float:
    """The time, in s of the running loop's clock."""
    return asyncio.get_running_loop().time()


async def say_to(
    engine: RealtimeEngine, duration_ms: int = 300, *, then_s: float = 0.0, number: int = 40
) -> None:
    """The caller speaks, in frames of 20 ms as they are recorded, and then is silent, which sends nothing."""
    takes, _ = engine.audio_formats()
    for _ in range(duration_ms // FRAME_MS):
        sending = engine.send_audio(tone(number, FRAME_MS, takes))
        if sending is not None:
            await sending
        await asyncio.sleep(FRAME_MS / 1000)
    await asyncio.sleep(then_s)


class EngineListener:
    """Reads an engine to its end, on a task of its own.

    Attributes:
        events: what it said.
        times: when, in s of the loop's clock.
        task: ends with the session.
    """

    def __init__(self, engine: RealtimeEngine) -> None:
        self.events: list[RealtimeEvent] = []
        self.times: list[float] = []
        self.task = asyncio.ensure_future(self._listen(engine))

    async def _listen(self, engine: RealtimeEngine) -> None:
        async for event in engine.receive():
            self.events.append(event)
            self.times.append(now())

    @property
    def kinds(self) -> list[RealtimeEventKind]:
        """The kinds in order, runs of one kind as one, and without usage and the pieces of transcripts."""
        kinds: list[RealtimeEventKind] = []
        for event in self.events:
            piece = event.kind.startswith("transcript") and not event.final
            if event.kind != "usage" and not piece and kinds[-1:] != [event.kind]:
                kinds.append(event.kind)
        return kinds

    @property
    def audio(self) -> bytes:
        """All of the agent's."""
        return b"".join(event.audio for event in self.events)

    def of(self, kind: RealtimeEventKind) -> list[RealtimeEvent]:
        """The events of that kind."""
        return [event for event in self.events if event.kind == kind]

    def texts(self, kind: RealtimeEventKind) -> list[str]:
        """The whole texts of a transcript."""
        return [event.text for event in self.of(kind) if event.final]

    def time_of(self, kind: RealtimeEventKind) -> float:
        """When the first event of that kind came."""
        return next(at for event, at in zip(self.events, self.times, strict=True) if event.kind == kind)

    async def until(self, kind: RealtimeEventKind, count: int = 1, limit_s: float = 60.0) -> None:
        """Wait for the `count`-th event of that kind. Raises `TimeoutError`."""
        async with asyncio.timeout(limit_s):
            while len(self.of(kind)) < count:  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(0.01)


def responses_of(events: Iterable[RealtimeEvent]) -> tuple[list[str | None], list[str | None]]:
    """Ids in the order of their starts and ends; asserts what holds for every response of every engine."""
    started: list[str | None] = []
    done: list[str | None] = []
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
