# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounded way of audio from the engine's thread to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

from patter.errors import PatterError, ProviderTimeout

# How long the engine, which all calls share, waits for a call that has stopped reading.
PATIENCE_S = 1.0


class AudioBuffer:
    """Chunks of one synthesis: `put` and `finish` belong to the engine's thread, the rest to the event loop.

    Neither side polls: the thread waits on a condition, the loop on a future that the thread sets through
    ``call_soon_threadsafe``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, limit: int) -> None:
        """`limit` is in bytes of waiting audio; one chunk may exceed it."""
        self._loop = loop
        self._limit = limit
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._finished = False
        self._error: PatterError | None = None
        self._closed = False
        self._wake: asyncio.Event | None = None

    @property
    def closed(self) -> bool:
        """Whether nobody wants the rest."""
        return self._closed

    def put(self, chunk: bytes) -> bool:
        """Add audio, waiting while the buffer is full. False: nobody wants it, stop speaking.

        A reader that takes nothing for `PATIENCE_S` loses the synthesis, because other calls wait for the engine.
        """
        with self._changed:
            while self._waiting >= self._limit and not self._closed:
                waiting = self._waiting
                self._changed.wait(PATIENCE_S)
                if self._waiting == waiting and not self._closed:
                    self._error = ProviderTimeout(
                        f"the audio of a sentence was not read for {PATIENCE_S:g} s", provider="espeak"
                    )
                    return False
            if self._closed:
                return False
            self._chunks.append(chunk)
            self._waiting += len(chunk)
        self._notify()
        return True

    def finish(self, error: PatterError | None = None) -> None:
        """Nothing more will come, because of `error` if there is one."""
        with self._changed:
            self._finished = True
            self._error = self._error or error
        self._notify()

    async def get(self) -> bytes | None:
        """The audio that waits, joined; None at the end. Raises what `finish` was given, after the last audio."""
        while True:
            with self._changed:
                if self._closed:
                    return None
                if self._chunks:
                    audio = b"".join(self._chunks)
                    self._chunks.clear()
                    self._waiting = 0
                    self._changed.notify()
                    return audio
                if self._finished:
                    if self._error is not None:
                        raise self._error
                    return None
                self._wake = wake = asyncio.Event()
            await wake.wait()

    def close(self) -> None:
        """Want nothing more: the engine stops at its next chunk, and `get` answers None."""
        with self._changed:
            self._closed = True
            self._chunks.clear()
            self._waiting = 0
            self._changed.notify()
            wake, self._wake = self._wake, None
        if wake is not None:
            wake.set()

    def _notify(self) -> None:
        with self._changed:
            wake, self._wake = self._wake, None
        if wake is None:
            return
        try:
            self._loop.call_soon_threadsafe(wake.set)
        except RuntimeError:  # the loop has ended without closing its calls
            self._closed = True
