"""Ears and a voice for a conversation in writing: typed lines come in as transcripts, sentences go out as silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.providers.stt import STT, Interim, SpeechStarted, STTEvent
from patter.providers.stt import Final as FinalTranscript
from patter.providers.tts import TTS

#: how long a written character is "spoken": quick reading, and long enough to be interrupted, in ms
CHARACTER_MS: Final = 10
_CHUNK_MS: Final = 100
_SILENCE: Final = b"\xff"


class TypedEars:
    """Makes the ears of a call, and hands typed lines to those that are in use."""

    def __init__(self) -> None:
        self._current: TypedSTT | None = None

    def make(self) -> STT:
        """Ears that hear what is typed from now on."""
        self._current = TypedSTT()
        return self._current

    def hear(self, text: str) -> None:
        """The caller typed a line; lost while there are no ears."""
        if self._current is not None:
            self._current.hear(text)


class TypedSTT(STT):
    """A line is an utterance of its own, understood as it is typed."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[STTEvent | None] = asyncio.Queue()

    def input_formats(self) -> Sequence[AudioFormat]:
        """µ-law at 8 kHz, of which none ever comes."""
        return (MULAW_8K,)

    async def connect(self, audio_format: AudioFormat) -> None:
        """Nothing to connect."""

    def send_audio(self, chunk: bytes) -> None:
        """The line carries no sound of the caller."""

    def hear(self, text: str) -> None:
        """The caller begins to speak, and has said it all."""
        for event in (SpeechStarted(), Interim(text, stable_chars=len(text)), FinalTranscript(text)):
            self._events.put_nowait(event)

    async def finalize(self) -> None:
        """Nothing is open between lines."""
        self._events.put_nowait(FinalTranscript("", from_finalize=True))

    async def receive(self) -> AsyncIterator[STTEvent]:
        """What was typed, until `close()`."""
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        """End `receive()`."""
        self._events.put_nowait(None)


class WrittenTTS(TTS):
    """Takes as long as it takes to read a sentence, so that the engine plays, paces and interrupts as on a call."""

    def output_format(self) -> AudioFormat:
        """µ-law at 8 kHz."""
        return MULAW_8K

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Silence as long as the text."""
        left_ms = len(text.strip()) * CHARACTER_MS
        while left_ms > 0:
            yield _SILENCE * MULAW_8K.bytes_for_ms(min(left_ms, _CHUNK_MS))
            left_ms -= _CHUNK_MS

    async def close(self) -> None:
        """Nothing to release."""
