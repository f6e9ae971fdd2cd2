"""A recogniser that understands the tones of a simulated caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from patter.audio.formats import MULAW_8K, PCM16_8K, PCM16_16K, AudioFormat
from patter.call.heard import whole_words
from patter.providers.context import ProviderContext
from patter.providers.stt import STT, Final, Interim, SpeechStarted, STTEvent, UtteranceEnd
from patter.testing.scene import RecogniserScript, Utterance, scene_of
from patter.testing.tones import FRAME_MS, ToneReader, nearest_number

#: silence after which the endpointing form closes an utterance, in ms
ENDPOINT_MS = 300


class FakeSTT(STT):
    """Knows from the scene what each of the caller's tones means, and understands as much as it has heard.

    Answers `finalize()` with what the caller has said since the last final. `endpoints` lets it close utterances by
    itself, after 300 ms of silence.
    """

    def __init__(self, context: ProviderContext, *, endpoints: bool = False) -> None:
        self._script: RecogniserScript = scene_of(context).recogniser
        self._script.made += 1
        self._endpoints = endpoints
        self._reader: ToneReader | None = None
        self._results: asyncio.Queue[STTEvent | Exception | None] = asyncio.Queue()
        self._answers: set[asyncio.TimerHandle] = set()
        self._heard: dict[int, int] = {}
        self._interim = ""
        self._silence_ms = 0
        self._closed = False

    def input_formats(self) -> Sequence[AudioFormat]:
        """µ-law and PCM at 8 kHz, PCM at 16 kHz."""
        return (MULAW_8K, PCM16_8K, PCM16_16K)

    async def connect(self, audio_format: AudioFormat) -> None:
        """Open; a closed one may be opened again, as after a reconnect."""
        self._closed = False
        self._results = asyncio.Queue()
        self._reader = ToneReader(audio_format)
        self._script.connections += 1
        self._script.report = self._report

    def send_audio(self, chunk: bytes) -> None:
        """Take the next audio; a plain function."""
        if self._reader is None or self._closed:
            return
        for pitch in self._reader.feed(chunk):
            self._hear(pitch)

    def _hear(self, pitch: int | None) -> None:
        if pitch is None:
            self._silence_ms += FRAME_MS
            if self._endpoints and self._silence_ms == ENDPOINT_MS and self._heard:
                self._close_utterance(from_finalize=False)
            return
        self._silence_ms = 0
        number = nearest_number(pitch, len(self._script.utterances) - 1)
        if number < 0:
            return
        if not self._heard:
            self._put(SpeechStarted())
        self._heard[number] = self._heard.get(number, 0) + FRAME_MS
        text = self._understood()
        if self._script.interims and text != self._interim:
            self._interim = text
            self._put(Interim(text, stable_chars=len(text)))

    def _understood(self) -> str:
        utterances = self._script.utterances
        parts = [_prefix(utterances[number], heard_ms) for number, heard_ms in self._heard.items()]
        return " ".join(part for part in parts if part)

    async def finalize(self) -> None:
        """Answer with what was said since the last final."""
        self._script.finalizes += 1
        self._close_utterance(from_finalize=True)

    def _close_utterance(self, *, from_finalize: bool) -> None:
        final = Final(self._understood(), from_finalize=from_finalize)
        self._heard.clear()
        self._interim = ""
        if self._script.delay_s <= 0:
            self._put(final)
            return
        handle = asyncio.get_running_loop().call_later(self._script.delay_s, self._put, final)
        self._answers.add(handle)

    def _put(self, event: STTEvent) -> None:
        if not self._script.silent:
            self._report(event)

    def _report(self, event: STTEvent | Exception) -> None:
        if isinstance(event, (Interim, Final, SpeechStarted, UtteranceEnd)):
            self._script.events.append(event)
        self._results.put_nowait(event)

    async def receive(self) -> AsyncIterator[STTEvent]:
        """What is understood, until `close()`."""
        while not self._closed and (event := await self._results.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None:
        """End `receive()`."""
        for answer in self._answers:
            answer.cancel()
        self._answers.clear()
        if not self._closed:
            self._closed = True
            self._script.report = None
            self._results.put_nowait(None)


def _prefix(utterance: Utterance, heard_ms: int) -> str:
    """The words that are over by then; all of them once the whole utterance was heard."""
    if heard_ms >= utterance.duration_ms:
        return utterance.understood
    length = sum(len(word) + 1 for word in utterance.understood.split())
    return whole_words(utterance.understood, length * heard_ms / utterance.duration_ms)
