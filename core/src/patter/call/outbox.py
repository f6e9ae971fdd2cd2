"""What waits to be sent to the carrier, and the one task that sends it.

Control messages (clear) never wait behind audio: a clear drops the audio before it. A socket that takes no data
blocks this task and nothing else; how long is read off `blocked_s` (LC-11).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.connection import CarrierConnection
    from patter.call.playout import Chunk
    from patter.environment import Clock
    from patter.providers.carrier import MediaProtocol


class Outbox:
    """Messages of one call in the order of sending."""

    def __init__(
        self,
        connection: CarrierConnection,
        protocol: MediaProtocol,
        clock: Clock,
        on_sent: Callable[[Chunk, float], None],
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._clock = clock
        self._on_sent = on_sent
        self._audio: deque[Chunk] = deque()
        self._control: deque[str] = deque()
        self._wake = asyncio.Event()
        self._sending_since: float | None = None

    def audio(self, chunk: Chunk) -> None:
        """Send a chunk and the marks behind it."""
        self._audio.append(chunk)
        self._wake.set()

    def clear(self, *, tell_carrier: bool) -> None:
        """Forget the audio that waits, and empty the carrier's buffer if it can."""
        self._audio.clear()
        if tell_carrier:
            self._control.append(self._protocol.clear())
            self._wake.set()

    def take_audio(self) -> tuple[Chunk, ...]:
        """Take back the audio that waits behind the message being sent."""
        chunks = tuple(self._audio)
        self._audio.clear()
        return chunks

    def blocked_s(self, t: float) -> float:
        """For how long the socket has refused to take the current message, in s."""
        return t - self._sending_since if self._sending_since is not None else 0.0

    async def run(self) -> None:
        """Send until cancelled. Raises what the connection raises."""
        send = self._connection.send_text
        media, mark = self._protocol.media, self._protocol.mark
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._control or self._audio:
                self._sending_since = self._clock.monotonic()
                if self._control:
                    await send(self._control.popleft())
                    continue
                chunk = self._audio.popleft()
                await send(media(chunk.payload))
                for name in chunk.marks:
                    await send(mark(name))
                self._on_sent(chunk, self._clock.monotonic())
            self._sending_since = None
