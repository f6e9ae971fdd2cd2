"""What the simulator does wrong when it is asked to, and its playout buffer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from strict_server import Media, StrictServer, inbound, simulated, until

from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_twilio.simulated_playback import Playback
from patter_twilio.simulator import (
    Faults,
    SimulatedCall,
    StreamFaults,
)

# -- misbehaviour of the stream --------------------------------------------------------------------------------------


def faulty(
    faults: StreamFaults, media: Media | None, check: Callable[[StrictServer, SimulatedCall], Awaitable[None]]
) -> None:
    async def scenario() -> None:
        server = StrictServer(media)
        async with simulated(server, Faults(stream=faults)) as twilio:
            await check(server, await inbound(twilio))

    run_virtual(scenario(), network=MemoryNetwork())


def test_broken_messages_and_duplicates_are_mixed_in() -> None:
    async def check(server: StrictServer, call: SimulatedCall) -> None:
        await until(lambda: len(server.events("media")) >= 8)
        assert server.events("broken")
        assert server.events("surprise")
        chunks = [m["media"]["chunk"] for m in server.events("media")]
        assert chunks[:4] == ["1", "2", "3", "3"]

    faulty(StreamFaults(malformed_every=1, duplicate_every=3), None, check)


def test_frames_can_come_in_bunches_without_getting_slower() -> None:
    async def check(server: StrictServer, call: SimulatedCall) -> None:
        loop = asyncio.get_running_loop()
        await until(lambda: server.events("media"))
        assert len(server.events("media")) % 5 == 0
        before, count = loop.time(), len(server.events("media"))
        await until(lambda: len(server.events("media")) >= count + 10)
        assert 0.1 < loop.time() - before < 0.6

    faulty(StreamFaults(bunch=5), None, check)


@pytest.mark.parametrize("by_fault", [True, False])
def test_a_stream_can_break_off_without_stop_or_close(by_fault: bool) -> None:
    async def check(server: StrictServer, call: SimulatedCall) -> None:
        if not by_fault:
            await call.drop_media()
        await call.wait_closed()
        await until(lambda: server.socket is not None and server.socket.closed)
        assert not server.events("stop")
        assert 31921 not in call.errors

    faulty(StreamFaults(drop_after_s=0.1 if by_fault else None), None, check)


def test_marks_can_be_late_or_lost() -> None:
    async def scenario() -> None:
        async def media(socket: web.WebSocketResponse) -> None:
            for name in ("a", "b", "c"):
                await server.send(socket, "mark", name=name)

        server = StrictServer(media)
        faults = Faults(stream=StreamFaults(mark_delay_s=0.1, lose_marks_every=2))
        async with simulated(server, faults) as twilio:
            call = await inbound(twilio)
            await until(lambda: len(server.events("mark")) == 2)
            assert [m["mark"]["name"] for m in server.events("mark")] == ["a", "c"]
            stream = call.stream
            assert stream is not None
            assert stream.echoes[0][0] - call.marks[0][0] >= 0.099

    run_virtual(scenario(), network=MemoryNetwork())


# -- the playout buffer, pure ----------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.sampled_from(["audio", "mark", "clear"]), st.integers(0, 4000), st.integers(0, 3000)),
    max_size=30,
)


@given(steps)
def test_playback_never_overlaps_and_ends_at_a_clear(steps: list[tuple[str, int, int]]) -> None:
    playback, now, names = Playback(), 0.0, itertools.count()
    pending: dict[str, float] = {}
    sent = 0
    for kind, wait_samples, size in steps:
        now += wait_samples / 8000
        for name, due_t in list(pending.items()):
            if due_t <= now:
                assert playback.reached(name, due_t)
                del pending[name]
        if kind == "audio":
            playback.queue(b"\x01" * size, now)
            sent += size
        elif kind == "mark":
            name = str(next(names))
            pending[name] = playback.mark(name, now)
            assert pending[name] >= now
        else:
            assert playback.clear(now) == list(pending)
            pending.clear()
            assert playback.ends_t <= now

    heard = playback.heard(1e9)
    assert sum(len(part.audio) for part in heard) <= sent
    for before, after in itertools.pairwise(heard):
        assert before.t + len(before.audio) / 8000 <= after.t + 1e-3
