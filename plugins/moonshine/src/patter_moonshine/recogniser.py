"""The recogniser of one call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from patter.audio.formats import MULAW_8K, PCM16_8K, PCM16_16K, AudioFormat
from patter.errors import PatterError, ProviderDisconnected
from patter.providers.context import ProviderContext
from patter.providers.stt import STT, Final, Interim, STTEvent
from patter_moonshine.config import MoonshineConfig
from patter_moonshine.segment import Segment, is_silent
from patter_moonshine.worker import SHARED_KEY, Job, Outcome, Worker

# Less than this is no word.
_SHORTEST_MS = 100.0


@dataclass(slots=True)
class _Utterance:
    """A segment on its way to one final: the texts of its parts in order, None while a part is being decoded."""

    number: int
    parts: list[str | None] = field(default_factory=list)
    closed: bool = False

    def text(self) -> str:
        return " ".join(part for part in self.parts if part)

    def is_complete(self) -> bool:
        return self.closed and None not in self.parts


class MoonshineSTT(STT):
    """Cuts a call's audio to its VAD and has each segment recognised by the worker that all calls share.

    It never closes an utterance by itself: `speech_started()` opens a segment, `finalize()` closes it, and each
    `finalize()` is answered by one `Final`, in order.
    """

    def __init__(self, config: MoonshineConfig, context: ProviderContext) -> None:
        self._config = config
        self._worker = _worker(context)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._format: AudioFormat | None = None
        self._segment: Segment | None = None
        self._utterances: deque[_Utterance] = deque()
        self._numbers = 0
        self._interims_wanted = False
        self._since_interim_ms = 0.0
        self._interval_ms = float(config.interim_interval_ms)
        self._events: deque[STTEvent] = deque()
        self._error: PatterError | None = None
        self._closed = False
        self._wake = asyncio.Event()

    @classmethod
    async def preload(cls, config: MoonshineConfig, context: ProviderContext) -> None:
        """Import the library and load the model before the first call. Raises `ConfigError` if it is missing."""
        await _worker(context).ready()

    def input_formats(self) -> Sequence[AudioFormat]:
        """The carrier's µ-law as it is, or linear samples."""
        return (MULAW_8K, PCM16_8K, PCM16_16K)

    async def connect(self, audio_format: AudioFormat) -> None:
        """Wait for the model, which `preload` has normally loaded. Raises `ConfigError` if it is missing."""
        if audio_format not in self.input_formats():
            raise ValueError(f"Moonshine takes {self.input_formats()}, not {audio_format}")
        if self._closed:
            raise ProviderDisconnected("this Moonshine recogniser is closed", provider="moonshine")
        await self._worker.ready()
        self._loop = asyncio.get_running_loop()
        self._format = audio_format
        self._segment = Segment(audio_format, self._config)

    async def warmup(self) -> None:
        """Load the model; nothing is recognised."""
        await self._worker.ready()

    def send_audio(self, chunk: bytes) -> None:
        """Keep the audio; a long segment is split and an open one decoded for an interim when it is time."""
        if self._segment is None or self._format is None or self._closed:
            return
        self._segment.append(chunk)
        if not self._segment.open:
            return
        part = self._segment.take_part()
        if part is not None:
            self._decode_part(self._utterances[-1], part)
        self._since_interim_ms += self._format.duration_ms(len(chunk))
        if self._interims_wanted and self._since_interim_ms >= self._interval_ms:
            self._decode_interim(self._utterances[-1])

    def speech_started(self) -> None:
        """Open a segment that begins before the VAD noticed the speech; an open one goes on."""
        if self._segment is None or self._segment.open or self._closed:
            return
        self._segment.start()
        self._numbers += 1
        self._utterances.append(_Utterance(self._numbers))
        self._since_interim_ms = 0.0

    def interims_wanted(self, wanted: bool) -> None:
        """Decode the open segment again and again only while somebody looks at the words."""
        self._interims_wanted = wanted

    async def finalize(self) -> None:
        """Close the segment; one `Final` follows, an empty one if nothing was said or no segment is open."""
        if self._closed:
            return
        if self._segment is None or not self._segment.open:
            # The final of a closed segment that is still being decoded is the answer to this one too.
            if not self._utterances:
                self._emit(Final("", from_finalize=True))
            return
        utterance = self._utterances[-1]
        utterance.closed = True
        self._decode_part(utterance, self._segment.finish())

    async def receive(self) -> AsyncIterator[STTEvent]:
        """Interims and finals until `close()`. Raises `ProviderError` when the engine fails or is overloaded."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._error is not None:
                raise self._error
            if self._closed:
                return
            self._wake.clear()
            await self._wake.wait()

    async def close(self) -> None:
        """Forget this call's jobs and audio. The worker belongs to the phone and goes on for other calls."""
        self._closed = True
        self._worker.cancel(self)
        self._utterances.clear()
        self._events.clear()
        self._segment = None
        self._wake.set()

    def _decode_part(self, utterance: _Utterance, audio: bytes) -> None:
        assert self._format is not None
        position = len(utterance.parts)
        utterance.parts.append(None)
        if self._format.duration_ms(len(audio)) < _SHORTEST_MS or is_silent(audio, self._format):
            self._part_done(utterance, position, Outcome("", 0.0))
        else:
            self._submit(utterance, audio, position)

    def _decode_interim(self, utterance: _Utterance) -> None:
        assert self._segment is not None
        self._since_interim_ms = 0.0
        self._submit(utterance, self._segment.so_far(), None)

    def _submit(self, utterance: _Utterance, audio: bytes, position: int | None) -> None:
        """Queue a part of an utterance (by its position), or the rest of it for an interim (None)."""
        assert self._format is not None
        done = (
            partial(self._interim_done, utterance)
            if position is None
            else partial(self._part_done, utterance, position)
        )
        job = Job(
            self, utterance.number, audio, self._format, position is None, partial(self._from_thread, done)
        )
        try:
            self._worker.submit(job)
        except PatterError as error:
            self._fail(error)

    def _from_thread(self, done: partial[None], outcome: Outcome) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(done, outcome)
        except RuntimeError:  # the loop has ended without closing its calls
            self._closed = True

    def _part_done(self, utterance: _Utterance, position: int, outcome: Outcome) -> None:
        if self._closed:
            return
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        utterance.parts[position] = outcome.text
        while self._utterances and self._utterances[0].is_complete():
            self._emit(Final(self._utterances.popleft().text(), from_finalize=True))

    def _interim_done(self, utterance: _Utterance, outcome: Outcome) -> None:
        self._interval_ms = max(float(self._config.interim_interval_ms), 2 * 1000 * outcome.seconds)
        if self._closed or utterance.closed:
            return
        if outcome.error is not None:
            self._fail(outcome.error)
            return
        text = " ".join(part for part in (utterance.text(), outcome.text) if part)
        if text:
            self._emit(Interim(text))

    def _emit(self, event: STTEvent) -> None:
        # An interim that nobody has read yet is out of date: at most one waits.
        if self._events and isinstance(self._events[-1], Interim):
            self._events.pop()
        self._events.append(event)
        self._wake.set()

    def _fail(self, error: PatterError) -> None:
        self._error = error
        self._wake.set()


def _worker(context: ProviderContext) -> Worker:
    return context.shared.get(SHARED_KEY, lambda: Worker(context.environment.clock))
