# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import threading
import time

import pytest

from patter.errors import ProviderError, ProviderTimeout
from patter_espeak import buffer as module
from patter_espeak.buffer import AudioBuffer


async def read(buffer):
    chunks = []
    while (chunk := await buffer.get()) is not None:
        chunks.append(chunk)
    return b"".join(chunks)


def in_thread(function, *arguments):
    return asyncio.create_task(asyncio.to_thread(function, *arguments))


def test_audio_arrives_whole_and_in_order_though_the_buffer_is_small():
    async def scenario():
        buffer = AudioBuffer(asyncio.get_running_loop(), limit=64)
        sent = [bytes([number]) * 16 for number in range(200)]

        def speak():
            accepted = [buffer.put(chunk) for chunk in sent]
            buffer.finish()
            return accepted

        speaking = in_thread(speak)
        assert await read(buffer) == b"".join(sent)
        assert all(await speaking)

    asyncio.run(scenario())


def test_a_full_buffer_holds_the_thread_and_never_holds_more_than_its_limit_and_a_chunk():
    async def scenario():
        buffer = AudioBuffer(asyncio.get_running_loop(), limit=100)
        accepted = []

        def speak():
            accepted.extend(buffer.put(bytes(60)) for _ in range(6))
            buffer.finish()

        speaking = in_thread(speak)
        sizes = []
        while (chunk := await buffer.get()) is not None:
            sizes.append(len(chunk))
            await asyncio.sleep(0.01)
        await speaking
        assert sum(sizes) == 360
        assert max(sizes) <= 160

    asyncio.run(scenario())


def test_closing_frees_a_waiting_thread_at_once():
    async def scenario():
        buffer = AudioBuffer(asyncio.get_running_loop(), limit=1)
        full = threading.Event()

        def speak():
            buffer.put(b"xx")
            full.set()
            return buffer.put(b"yy")

        speaking = in_thread(speak)
        await asyncio.to_thread(full.wait)
        started = time.perf_counter()
        buffer.close()
        assert await speaking is False
        assert time.perf_counter() - started < module.PATIENCE_S / 2
        assert await buffer.get() is None

    asyncio.run(scenario())


def test_a_reader_that_stops_reading_loses_the_synthesis_and_frees_the_engine(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)

    async def scenario():
        buffer = AudioBuffer(asyncio.get_running_loop(), limit=1)
        assert await in_thread(buffer.put, b"xx")
        assert await in_thread(buffer.put, b"yy") is False
        buffer.finish()
        assert await buffer.get() == b"xx"
        with pytest.raises(ProviderTimeout, match="not read"):
            await buffer.get()

    asyncio.run(scenario())


def test_an_error_comes_after_the_audio_before_it():
    async def scenario():
        buffer = AudioBuffer(asyncio.get_running_loop(), limit=10)
        buffer.put(b"ab")
        buffer.finish(ProviderError("broken"))
        assert await buffer.get() == b"ab"
        with pytest.raises(ProviderError, match="broken"):
            await buffer.get()

    asyncio.run(scenario())


def test_a_loop_that_is_gone_stops_the_speaker():
    async def scenario():
        buffer = AudioBuffer(asyncio.get_running_loop(), limit=10)
        reading = asyncio.create_task(buffer.get())
        await asyncio.sleep(0)
        reading.cancel()
        return buffer

    buffer = asyncio.run(scenario())
    buffer.put(b"ab")
    assert buffer.closed
    assert buffer.put(b"cd") is False
