"""The caller's audio on its way to the STT, and `finalize` in its place behind it.

A recogniser whose `send_audio` is a plain function gets each frame in the reader's step. One with an ``async def`` is
fed by this call's sender task behind a backlog of at most 2 s, of which the oldest is dropped and counted (LC-05).
While the STT connects, the backlog holds the caller's first words.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.stt import STT

BACKLOG_MS = 2000


class STTFeed:
    """Feeds one STT at a time; `attach` again after a reconnect."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self.dropped_frames = 0
        self._most_bytes = audio_format.bytes_for_ms(BACKLOG_MS)
        self._stt: STT | None = None
        self._direct = False
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._finalize = False
        self._wake = asyncio.Event()

    def attach(self, stt: STT) -> None:
        """The STT is connected: the backlog goes first."""
        self._stt = stt
        self._direct = not inspect.iscoroutinefunction(stt.send_audio)
        if self._direct:
            while self._backlog:
                stt.send_audio(self._backlog.popleft())
            self._backlog_bytes = 0
        self._wake.set()

    def detach(self) -> None:
        """The STT is gone; frames are kept for the next one."""
        self._stt = None

    def send(self, chunk: bytes) -> None:
        """Take a frame; never waits."""
        if self._direct and self._stt is not None:
            self._stt.send_audio(chunk)
            return
        self._backlog.append(chunk)
        self._backlog_bytes += len(chunk)
        while self._backlog_bytes > self._most_bytes:
            self._backlog_bytes -= len(self._backlog.popleft())
            self.dropped_frames += 1
        if self._stt is not None:
            self._wake.set()

    def finalize(self) -> None:
        """Close the utterance once the audio so far is sent."""
        self._finalize = True
        self._wake.set()

    async def run(self) -> None:
        """The sender task: until cancelled. Raises what the STT raises."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._stt is not None and (self._backlog or self._finalize):
                stt = self._stt
                if self._backlog:
                    chunk = self._backlog.popleft()
                    self._backlog_bytes -= len(chunk)
                    sending = stt.send_audio(chunk)
                    if sending is not None:
                        await sending
                else:
                    self._finalize = False
                    await stt.finalize()
