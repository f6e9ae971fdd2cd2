"""The engine behind ``parrot``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import ConfigError, ProviderDisconnected
from patter.providers.context import ProviderContext
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeSession

#: audio that nobody fetches is forgotten, the oldest first, beyond this, in s
LONGEST_BACKLOG_S: Final = 10.0


class Parrot(RealtimeEngine):
    """Gives back every chunk of the caller's audio `delay_ms` after it came, in the carrier's own encoding.

    Raises `ConfigError` for a delay outside 0 to 5000 ms.
    """

    def __init__(self, delay_ms: int = 500, context: ProviderContext | None = None) -> None:
        if not 0 <= delay_ms <= 5000:
            raise ConfigError(f"parrot: delay_ms must lie between 0 and 5000, not {delay_ms}")
        self._delay_s = delay_ms / 1000
        self._format = (context.carrier_format if context else None) or MULAW_8K
        self._heard: deque[tuple[float, bytes]] = deque()
        self._heard_bytes = 0
        self._news = asyncio.Event()
        self._connected = False
        self._closed = False

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """The carrier's format, both ways."""
        return self._format, self._format

    async def connect(self, session: RealtimeSession) -> None:
        """Begin to listen. A parrot follows no instructions and uses no tools."""
        if self._closed:
            raise ProviderDisconnected("the parrot was closed before it was connected", provider="parrot")
        self._connected = True

    async def send_audio(self, chunk: bytes) -> None:
        """Hear a chunk; raises `ProviderDisconnected` before `connect()`, and does nothing after `close()`."""
        if self._closed or not chunk:
            return
        if not self._connected:
            raise ProviderDisconnected("connect() the parrot before it hears audio", provider="parrot")
        self._heard.append((asyncio.get_running_loop().time() + self._delay_s, bytes(chunk)))
        self._heard_bytes += len(chunk)
        while self._format.duration_ms(self._heard_bytes) > LONGEST_BACKLOG_S * 1000:
            self._forget()
        self._news.set()

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """``session_ready``, then the audio, and ``closed`` at the end."""
        yield RealtimeEvent("session_ready")
        while not self._closed:
            wait_s = self._heard[0][0] - asyncio.get_running_loop().time() if self._heard else None
            if wait_s is not None and wait_s <= 0:
                yield RealtimeEvent("audio", audio=self._forget())
                continue
            await self._sleep(wait_s)
        yield RealtimeEvent("closed")

    async def close(self) -> None:
        """Forget everything and end `receive()`. Idempotent."""
        self._closed = True
        self._heard.clear()
        self._heard_bytes = 0
        self._news.set()

    def _forget(self) -> bytes:
        _, chunk = self._heard.popleft()
        self._heard_bytes -= len(chunk)
        return chunk

    async def _sleep(self, seconds: float | None) -> None:
        """Until something happens, at most so long."""
        self._news.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass
