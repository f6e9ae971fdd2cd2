"""The one thread that recognises for all calls, and the one bounded queue in front of it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from patter.audio.formats import AudioFormat
from patter.environment import Clock
from patter.errors import InternalError, PatterError, ProviderDisconnected, RateLimitedError
from patter_moonshine.model import Model

logger = logging.getLogger(__name__)

SHARED_KEY = "moonshine.worker"
# Waiting jobs of all calls: about 25 s of work for two cores, far beyond what a caller would wait for.
QUEUE_LIMIT = 256


class Recogniser(Protocol):
    """What the thread needs of a model."""

    def text_of(self, audio: bytes, audio_format: AudioFormat) -> str:
        """The text of the audio; blocks."""

    def close(self) -> None:
        """Free it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a job: its text, or why there is none; `seconds` of decoding."""

    text: str
    seconds: float
    error: PatterError | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Audio to recognise. `deliver` is called in the worker's thread and must only hand the outcome on."""

    owner: Hashable
    segment: int
    audio: bytes
    audio_format: AudioFormat
    interim: bool
    deliver: Callable[[Outcome], None]


class Worker:
    """Runs jobs one at a time, finals before interims, each kind in the order of asking.

    When the queue is full the oldest interim makes room and is counted. A final is never dropped: with `limit` finals
    waiting the machine is overloaded, and whoever asks for one more is told.
    """

    def __init__(
        self, clock: Clock, *, load: Callable[[], Recogniser] = Model, limit: int = QUEUE_LIMIT
    ) -> None:
        self._clock = clock
        self._load = load
        self._limit = limit
        self._changed = threading.Condition()
        self._finals: deque[Job] = deque()
        self._interims: deque[Job] = deque()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loaded: Future[None] = Future()
        self._loaded.set_running_or_notify_cancel()  # a waiter that is cancelled must not cancel it for the others
        self.dropped_interims = 0

    async def ready(self) -> None:
        """Start the thread if need be and wait until the model is loaded. Raises `ConfigError` if it cannot be."""
        with self._changed:
            if self._closed:
                raise ProviderDisconnected("the Moonshine worker is closed", provider="moonshine")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="patter-moonshine", daemon=True)
                self._thread.start()
        await asyncio.wrap_future(self._loaded)

    def submit(self, job: Job) -> None:
        """Queue a job. An interim takes the place of a waiting one of the same owner.

        Raises `RateLimitedError` when the queue is full of finals, and `ProviderDisconnected` after `close()`.
        """
        with self._changed:
            if self._closed:
                raise ProviderDisconnected("the Moonshine worker is closed", provider="moonshine")
            if job.interim:
                self._add_interim(job)
            else:
                self._add_final(job)
            self._changed.notify()

    def cancel(self, owner: Hashable) -> None:
        """Forget the waiting jobs of one call."""
        with self._changed:
            self._finals = deque(job for job in self._finals if job.owner != owner)
            self._interims = deque(job for job in self._interims if job.owner != owner)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._finals) + len(self._interims)

    async def close(self) -> None:
        """Drop what waits, end the thread and free the model. Idempotent; ends within a decode (at most 0.5 s)."""
        with self._changed:
            self._closed = True
            self._finals.clear()
            self._interims.clear()
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join, 1.0)

    def _add_interim(self, job: Job) -> None:
        for index, waiting in enumerate(self._interims):
            if waiting.owner == job.owner:
                self._interims[index] = job
                return
        if self._make_room():
            self._interims.append(job)
        else:
            self.dropped_interims += 1

    def _add_final(self, job: Job) -> None:
        # An interim of a segment is worth nothing once its final is asked for.
        self._interims = deque(waiting for waiting in self._interims if waiting.owner != job.owner)
        if not self._make_room():
            raise RateLimitedError(
                f"{self._limit} utterances wait for Moonshine: this machine cannot recognise so many calls",
                provider="moonshine",
            )
        self._finals.append(job)

    def _make_room(self) -> bool:
        if self.waiting < self._limit:
            return True
        if not self._interims:
            return False
        self._interims.popleft()
        self.dropped_interims += 1
        return True

    def _run(self) -> None:
        try:
            model = self._load()
        except PatterError as error:
            self._loaded.set_exception(error)
            return
        except Exception as error:  # awaited by a call, which must learn of it
            self._loaded.set_exception(InternalError(f"Moonshine's thread failed to start: {error!r}"))
            return
        self._loaded.set_result(None)
        try:
            while (job := self._next()) is not None:
                job.deliver(self._outcome(model, job))
        finally:
            model.close()

    def _next(self) -> Job | None:
        with self._changed:
            while not (self._closed or self._finals or self._interims):
                self._changed.wait()
            if self._closed:
                return None
            return self._finals.popleft() if self._finals else self._interims.popleft()

    def _outcome(self, model: Recogniser, job: Job) -> Outcome:
        started = self._clock.monotonic()
        text, failure = "", None
        try:
            text = model.text_of(job.audio, job.audio_format)
        except PatterError as error:
            failure = error
        except (
            Exception
        ) as error:  # the thread serves every call: it must outlive a defect met by one of them
            logger.exception("a segment could not be recognised")
            failure = InternalError(f"Moonshine's thread failed: {error!r}")
        return Outcome(text, self._clock.monotonic() - started, failure)
