"""What waits to be sent: control before audio, and a blocked socket is known by its time."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from patter.call.outbox import Outbox
from patter.call.playout import Chunk
from patter.testing.virtual_loop import VirtualClock, run_virtual


class Words:
    """Messages as plain words."""

    def media(self, payload):
        return f"media {payload.decode()}"

    def mark(self, name):
        return f"mark {name}"

    def clear(self):
        return "clear"


class Connection:
    """Takes messages; while `stuck`, none."""

    def __init__(self):
        self.sent = []
        self.free = asyncio.Event()
        self.free.set()
        self.error = None

    async def send_text(self, text):
        await self.free.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(text)


def chunk(name, *marks):
    return Chunk(1, name.encode(), 0, marks)


@contextlib.asynccontextmanager
async def sending():
    connection, told = Connection(), []
    clock = VirtualClock(asyncio.get_running_loop())
    outbox = Outbox(connection, Words(), clock, lambda chunk, t: told.append((chunk.payload.decode(), t)))
    writer = asyncio.create_task(outbox.run())
    try:
        yield outbox, connection, told
    finally:
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


def test_audio_goes_out_in_order_with_its_marks_and_is_confirmed_when_taken():
    async def scenario():
        async with sending() as (outbox, connection, told):
            outbox.audio(chunk("a", "m1", "m2"))
            outbox.audio(chunk("b"))
            assert told == []
            await asyncio.sleep(0.5)
            assert connection.sent == ["media a", "mark m1", "mark m2", "media b"]
            assert told == [("a", 0.0), ("b", 0.0)]

    run_virtual(scenario())


def test_a_clear_drops_the_audio_that_waits_and_overtakes_it():
    async def scenario():
        async with sending() as (outbox, connection, told):
            outbox.audio(chunk("a"))
            outbox.audio(chunk("b"))
            outbox.clear(tell_carrier=True)
            outbox.audio(chunk("c"))
            await asyncio.sleep(0.1)
            assert connection.sent == ["clear", "media c"]
            assert [name for name, _ in told] == ["c"]

    run_virtual(scenario())


def test_a_clear_that_the_carrier_does_not_know_only_forgets():
    async def scenario():
        async with sending() as (outbox, connection, _):
            outbox.audio(chunk("a"))
            outbox.clear(tell_carrier=False)
            await asyncio.sleep(0.1)
            assert connection.sent == []

    run_virtual(scenario())


def test_after_a_clear_no_audio_of_before_goes_out_although_the_socket_was_blocked():
    async def scenario():
        async with sending() as (outbox, connection, told):
            connection.free.clear()
            for name in "abc":
                outbox.audio(chunk(name))
            await asyncio.sleep(0.3)
            outbox.clear(tell_carrier=True)
            connection.free.set()
            await asyncio.sleep(0.1)
            # "a" was with the socket already; nothing can take it back, and the clear follows it at once.
            assert connection.sent == ["media a", "clear"]
            assert [name for name, _ in told] == ["a"]

    run_virtual(scenario())


def test_how_long_the_socket_blocks_is_told_from_its_first_refusal_on():
    async def scenario():
        loop = asyncio.get_running_loop()
        async with sending() as (outbox, connection, told):
            assert outbox.blocked_s(loop.time()) == 0.0
            connection.free.clear()
            outbox.audio(chunk("a"))
            await asyncio.sleep(1.5)
            assert outbox.blocked_s(loop.time()) == pytest.approx(1.5)
            for name in "bcd":
                outbox.audio(chunk(name))
            assert [taken.payload for taken in outbox.take_audio()] == [b"b", b"c", b"d"]
            await asyncio.sleep(1.0)
            assert outbox.blocked_s(loop.time()) == pytest.approx(2.5)
            connection.free.set()
            await asyncio.sleep(0)
            assert outbox.blocked_s(loop.time()) == 0.0
            assert [name for name, _ in told] == ["a"]
            assert told[0][1] == pytest.approx(2.5)

    run_virtual(scenario())


def test_what_the_connection_raises_ends_the_writer():
    async def scenario():
        connection = Connection()
        connection.error = ConnectionResetError("gone")
        clock = VirtualClock(asyncio.get_running_loop())
        outbox = Outbox(connection, Words(), clock, lambda chunk, t: None)
        writer = asyncio.create_task(outbox.run())
        outbox.audio(chunk("a"))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(writer, 1)

    run_virtual(scenario())
