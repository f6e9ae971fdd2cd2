"""The caller's audio on its way to the STT, and `finalize` in its place behind it.

A recogniser whose `send_audio` is a plain function gets each frame in the reader's step. One with an ``async def`` is
fed by this call's sender task behind a backlog of at most 2 s, of which the oldest is dropped and counted (LC-05).
While the STT connects, the backlog holds the caller's first words.

An STT that raises on audio is closed, which its receiver notices and heals; the frame goes to the next one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.stt import STT

logger = logging.getLogger(__name__)

BACKLOG_MS = 2000
#: closing an STT that failed may take this long, in s
CLOSE_S = 1.0


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
        self._broken: STT | None = None
        self._wake = asyncio.Event()

    def attach(self, stt: STT) -> None:
        """The STT is connected: the backlog goes first."""
        self._stt = stt
        self._direct = not inspect.iscoroutinefunction(stt.send_audio)
        while self._direct and self._stt is stt and self._backlog:
            chunk = self._backlog.popleft()
            self._backlog_bytes -= len(chunk)
            self._send_now(stt, chunk)
        self._wake.set()

    def detach(self) -> None:
        """The STT is gone; frames are kept for the next one."""
        self._stt = None

    def send(self, chunk: bytes) -> None:
        """Take a frame; never waits."""
        if self._direct and self._stt is not None:
            self._send_now(self._stt, chunk)
            return
        self._backlog.append(chunk)
        self._backlog_bytes += len(chunk)
        while self._backlog_bytes > self._most_bytes:
            self._backlog_bytes -= len(self._backlog.popleft())
            self.dropped_frames += 1
        if self._stt is not None:
            self._wake.set()

    def _send_now(self, stt: STT, chunk: bytes) -> None:
        try:
            stt.send_audio(chunk)
        except Exception as error:
            self._failed(stt, error, chunk)

    def finalize(self) -> None:
        """Close the utterance once the audio so far is sent."""
        self._finalize = True
        self._wake.set()

    async def run(self) -> None:
        """The sender task: until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._broken is not None:
                broken, self._broken = self._broken, None
                await _close(broken)
            while self._stt is not None and (self._backlog or self._finalize):
                await self._send_next(self._stt)

    async def _send_next(self, stt: STT) -> None:
        chunk = b""
        try:
            if self._backlog:
                chunk = self._backlog.popleft()
                self._backlog_bytes -= len(chunk)
                sending = stt.send_audio(chunk)
                if sending is not None:
                    await sending
            else:
                self._finalize = False
                await stt.finalize()
        except Exception as error:
            self._failed(stt, error, chunk)

    def _failed(self, stt: STT, error: Exception, chunk: bytes) -> None:
        logger.warning(
            "the STT failed on the caller's audio and is closed: %s: %s", type(error).__name__, error
        )
        if chunk:
            self._backlog.appendleft(chunk)
            self._backlog_bytes += len(chunk)
        else:
            self._finalize = True
        if self._stt is stt:
            self._stt = None
            self._broken = stt
            self._wake.set()


async def _close(stt: STT) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await stt.close()
    except Exception as error:
        logger.warning("closing the STT failed: %s: %s", type(error).__name__, error)
