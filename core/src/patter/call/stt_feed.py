"""The caller's audio on its way to the STT, and `finalize` in its place behind it.

A recogniser whose `send_audio` is a plain function gets each frame in the reader's step. One with an ``async def`` is
fed by this call's sender task behind a backlog of at most 2 s, of which the oldest is dropped and counted (LC-05).
While the STT connects, and while a lost one is replaced, the backlog holds what the caller says.

What an STT has taken is never sent to another: only audio on which it raised, or with which it was still busy when it
was lost, goes to the next one, before all newer audio (SP-02). An STT that raises on audio is closed, which its
receiver notices and heals.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from typing import TYPE_CHECKING

from patter.audio.convert import Converter
from patter.metrics.cost_meter import AudioUse

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.stt import STT

logger = logging.getLogger(__name__)

BACKLOG_MS = 2000
#: closing an STT that failed may take this long, in s
CLOSE_S = 1.0


class STTFeed:
    """Feeds one STT at a time; `attach` again after a reconnect.

    Attributes:
        format: format of the audio that it is given.
        dropped_frames: frames that no STT took in time.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self.format = audio_format
        self.dropped_frames = 0
        self._most_bytes = audio_format.bytes_for_ms(BACKLOG_MS)
        self._stt: STT | None = None
        self._direct = False
        self._converter: Converter | None = None
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._sending: bytes | None = None
        self._busy: asyncio.Timeout | None = None
        self._finalize = False
        self._unanswered = False
        self._broken: STT | None = None
        self._heard = AudioUse(audio_format)
        self._wake = asyncio.Event()

    # -- the STT

    @property
    def is_attached(self) -> bool:
        """Whether an STT takes audio."""
        return self._stt is not None

    @property
    def owes_final(self) -> bool:
        """Whether a final is asked for, or about to be, that has not come."""
        return self._finalize or self._unanswered

    def attach(
        self, stt: STT, audio_format: AudioFormat | None = None, heard: AudioUse | None = None
    ) -> None:
        """The STT is connected, for audio in that format: the backlog goes first. What it takes is added to `heard`."""
        self._stt = stt
        self._heard = heard or AudioUse(audio_format or self.format)
        self._direct = not inspect.iscoroutinefunction(stt.send_audio)
        changed = audio_format is not None and audio_format != self.format
        self._converter = Converter(self.format, audio_format) if audio_format and changed else None
        while self._direct and self._stt is stt and self._backlog:
            self._send_now(stt, self._next())
        self._wake.set()

    def detach(self, *, ask_again: bool = True) -> None:
        """The STT is gone; frames are kept for the next one.

        `ask_again`: the next one is asked for the final that this one still owes.
        """
        self._stt = None
        if self._sending is not None:
            sending, self._sending = self._sending, None
            self._put_back(sending)
        if self._busy is not None:
            # A send to a dead socket may hang for ever, and the next STT would get nothing.
            busy, self._busy = self._busy, None
            busy.reschedule(asyncio.get_running_loop().time())
        self._finalize = self._finalize or (self._unanswered and ask_again)
        self._unanswered = False

    def answered(self) -> None:
        """A final came: none is owed any more."""
        self._unanswered = False

    # -- the caller

    def send(self, chunk: bytes) -> None:
        """Take a frame; never waits."""
        if self._direct and self._stt is not None:
            self._send_now(self._stt, chunk)
            return
        self._backlog.append(chunk)
        self._backlog_bytes += len(chunk)
        self._trim()
        if self._stt is not None:
            self._wake.set()

    def finalize(self) -> None:
        """Close the utterance once the audio so far is sent."""
        self._finalize = True
        self._wake.set()

    # -- the way

    def _trim(self) -> None:
        while self._backlog_bytes > self._most_bytes:
            self._next()
            self.dropped_frames += 1

    def _next(self) -> bytes:
        chunk = self._backlog.popleft()
        self._backlog_bytes -= len(chunk)
        return chunk

    def _put_back(self, chunk: bytes) -> None:
        self._backlog.appendleft(chunk)
        self._backlog_bytes += len(chunk)
        self._trim()

    def _send_now(self, stt: STT, chunk: bytes) -> None:
        try:
            audio = self._converted(chunk)
            stt.send_audio(audio)
        except Exception as error:
            self._put_back(chunk)
            self._failed(stt, error)
        else:
            self._heard.bytes += len(audio)

    def _converted(self, chunk: bytes) -> bytes:
        return chunk if self._converter is None else self._converter.process(chunk)

    async def run(self) -> None:
        """The sender task: until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._broken is not None:
                broken, self._broken = self._broken, None
                await _close(broken)
            if self._stt is not None:
                await self._feed(self._stt)

    async def _feed(self, stt: STT) -> None:
        """Send what waits, for as long as this STT is there."""
        try:
            async with asyncio.timeout(None) as self._busy:
                while self._stt is stt and (self._backlog or self._finalize):
                    await self._send_next(stt)
        except TimeoutError:
            pass  # `detach` cut it off
        finally:
            self._busy = None

    async def _send_next(self, stt: STT) -> None:
        if not self._backlog:
            await self._ask_final(stt)
            return
        chunk = self._sending = self._next()
        heard = self._heard
        try:
            audio = self._converted(chunk)
            sending = stt.send_audio(audio)
            if sending is not None:
                await sending
            heard.bytes += len(audio)
        except Exception as error:
            if self._stt is stt:
                self._put_back(chunk)
                self._failed(stt, error)
        finally:
            self._sending = None

    async def _ask_final(self, stt: STT) -> None:
        self._finalize, self._unanswered = False, True
        try:
            await stt.finalize()
        except Exception as error:
            if self._stt is stt:
                self._finalize, self._unanswered = True, False
                self._failed(stt, error)

    def _failed(self, stt: STT, error: Exception) -> None:
        logger.warning(
            "the STT failed on the caller's audio and is closed: %s: %s", type(error).__name__, error
        )
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
