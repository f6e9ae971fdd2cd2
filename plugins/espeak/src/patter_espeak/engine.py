# SPDX-License-Identifier: GPL-3.0-or-later
"""The one thread in which the engine speaks for all calls."""

from __future__ import annotations

import asyncio
import queue
import threading
from dataclasses import dataclass

from patter.errors import InternalError, PatterError, ProviderDisconnected
from patter_espeak.buffer import AudioBuffer
from patter_espeak.library import Library, VoiceSettings, load

SHARED_KEY = "espeak.engine"
# The longest piece at the slowest rate stays below it, so that a slow call does not hold up the others.
BUFFER_S = 60
_BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class _Job:
    text: str
    settings: VoiceSettings
    buffer: AudioBuffer


class Engine:
    """Says one piece after the other, in the order in which calls ask. It holds nothing of a call but its jobs.

    A call asks for its next piece only when it has read the last one, so that calls take turns.
    """

    def __init__(self) -> None:
        """Load the library. Raises `ConfigError` when it is missing."""
        self._library: Library = load()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._open: set[AudioBuffer] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def sample_rate(self) -> int:
        """Samples per second, as the engine answered at its start."""
        return self._library.sample_rate

    def speak(self, text: str, settings: VoiceSettings) -> AudioBuffer:
        """Have one piece of text said; its audio arrives in the buffer. Called on an event loop."""
        if self._closed:
            raise ProviderDisconnected("the espeak-ng engine is closed", provider="espeak")
        limit = BUFFER_S * self.sample_rate * _BYTES_PER_SAMPLE
        buffer = AudioBuffer(asyncio.get_running_loop(), limit)
        self._open.add(buffer)
        self._start()
        self._jobs.put(_Job(text, settings, buffer))
        return buffer

    def release(self, buffer: AudioBuffer) -> None:
        """The reader is done with it, early or not."""
        buffer.close()
        self._open.discard(buffer)

    def select(self, settings: VoiceSettings) -> None:
        """Try a voice; blocks while the engine speaks. Raises `ConfigError` if there is none of that name."""
        self._library.select(settings)

    async def close(self) -> None:
        """Stop speaking and end the thread. Idempotent."""
        self._closed = True
        for buffer in list(self._open):
            self.release(buffer)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join, 1.0)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="patter-espeak", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.buffer.closed:
                job.buffer.finish(self._speak(job))

    def _speak(self, job: _Job) -> PatterError | None:
        try:
            self._library.speak(job.text, job.settings, job.buffer.put)
        except PatterError as error:
            return error
        except (
            Exception
        ) as error:  # the thread serves every call: it must outlive a defect met by one of them
            return InternalError(f"espeak-ng's thread failed: {error!r}")
        return None
