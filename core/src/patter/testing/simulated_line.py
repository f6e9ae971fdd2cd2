"""The carrier's end of one call's media: an in-memory connection, a playout buffer at real time, marks and clear."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from patter.audio.formats import AudioFormat


@dataclass(slots=True)
class PlayedAudio:
    """A stretch of agent audio as the caller hears it, in s of the loop's clock; a clear cuts its end."""

    start: float
    end: float
    audio: bytes


class Listener(Protocol):
    """Who hears the line."""

    def plays(self, played: PlayedAudio) -> None:
        """Audio will be heard from `played.start` on, unless it is cleared."""

    def cleared(self, t: float) -> None:
        """What was not heard by then never will be."""


class SimulatedLine:
    """A `patter.server.connection.CarrierConnection` whose other end is a carrier that behaves.

    Audio is played in the order and at the rate of its bytes, each message where the one before it ends or at once
    when the buffer is empty. A mark is echoed `echo_s` after the audio before it was played; a clear empties the
    buffer and echoes the marks in it at once.

    Args:
        audio_format: of the stream.
        listener: told what the caller hears.
        echo_s: delay of the echo of a mark, in s.
    """

    def __init__(self, audio_format: AudioFormat, listener: Listener, *, echo_s: float = 0.0) -> None:
        self.format = audio_format
        self.echo_s = echo_s
        self.clears: list[float] = []
        self.marks_received = 0
        self.media_messages = 0
        self.closed_with: int | None = None
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._inbound: deque[str] = deque()
        self._wake = asyncio.Event()
        self._gone = False
        self._plays_until = 0.0
        self._playing: deque[PlayedAudio] = deque()
        self._marks: dict[str, asyncio.TimerHandle] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._unsent: deque[str] = deque()
        self._buffer_bytes = 0

    # -- for the engine (CarrierConnection)

    async def receive_text(self) -> str | None:
        """The next message to Patter; None once the connection is gone."""
        while not self._inbound:
            if self._gone:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._inbound.popleft()

    async def send_text(self, text: str) -> None:
        """Take a message from Patter; waits while the line is stalled and its buffer is full."""
        if not self._flowing.is_set() and self.unsent_bytes() + len(text) <= self._buffer_bytes:
            self._unsent.append(text)
            return
        await self._flowing.wait()
        if not self._gone:
            self._take(text)

    def _take(self, text: str) -> None:
        message = json.loads(text)
        match message["type"]:
            case "media":
                self._play(base64.b64decode(message["audio"]))
            case "mark":
                self._mark(message["name"])
            case "clear":
                self._clear()

    def unsent_bytes(self) -> int:
        """What waits in the buffer of a stalled line."""
        return sum(map(len, self._unsent))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Patter closes the connection; idempotent."""
        if self.closed_with is None:
            self.closed_with = code
        self.drop()

    # -- for the carrier's side

    @property
    def is_open(self) -> bool:
        """Whether the connection is up."""
        return not self._gone

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to Patter; lost when the connection is gone."""
        self.send_raw(json.dumps(message))

    def send_raw(self, text: str) -> None:
        """Send any text to Patter, malformed if you like."""
        if not self._gone:
            self._inbound.append(text)
            self._wake.set()

    def drop(self) -> None:
        """The connection is gone, without a word; what Patter has not read yet it still reads."""
        if not self._gone:
            self._gone = True
            for timer in self._marks.values():
                timer.cancel()
            self._marks.clear()
            self._wake.set()
            self._flowing.set()

    def stall(self, buffer_bytes: int = 0) -> None:
        """Take no more data from Patter until `resume()`, but for so many bytes that are sent on then."""
        self._buffer_bytes = buffer_bytes
        self._flowing.clear()

    def resume(self) -> None:
        """Take data again."""
        while self._unsent and not self._gone:
            self._take(self._unsent.popleft())
        self._flowing.set()

    # -- the playout buffer

    def _play(self, audio: bytes) -> None:
        self.media_messages += 1
        start = max(self._loop.time(), self._plays_until)
        self._plays_until = start + self.format.duration_ms(len(audio)) / 1000
        played = PlayedAudio(start, self._plays_until, audio)
        self._playing.append(played)
        while self._playing[0].end < self._loop.time():
            self._playing.popleft()
        self._listener.plays(played)

    def _mark(self, name: str) -> None:
        self.marks_received += 1
        due = max(self._loop.time(), self._plays_until) + self.echo_s
        self._marks[name] = self._loop.call_at(due, self._echo, name)

    def _echo(self, name: str) -> None:
        timer = self._marks.pop(name, None)
        if timer is not None:
            timer.cancel()
            self.send({"type": "mark", "name": name})

    def _clear(self) -> None:
        now = self._loop.time()
        self.clears.append(now)
        for played in self._playing:
            played.end = min(played.end, max(now, played.start))
        self._playing.clear()
        self._plays_until = now
        self._listener.cleared(now)
        for name in tuple(self._marks):
            self._echo(name)
