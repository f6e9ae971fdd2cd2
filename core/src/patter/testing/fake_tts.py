"""A voice that speaks in tones: deterministic, 60 ms a character, with real chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from patter.audio.formats import AudioFormat, Encoding
from patter.providers.context import ProviderContext
from patter.providers.tts import TTS
from patter.simulators.tones import speech_ms, tone
from patter.testing.scene import VoiceFault, scene_of


class FakeTTS(TTS):
    """Speaks each text as a tone whose pitch says which synthesis it is; see `patter.simulators.tones`.

    Args:
        context: the surroundings of the call.
        encoding: ``mulaw``, ``alaw`` or ``pcm16``.
        rate: in Hz.
        chunk_bytes: size of the chunks; an odd one cuts samples of two bytes in halves.
        delay_ms: before the first chunk.
        chunk_delay_ms: before each further chunk.
    """

    def __init__(
        self,
        context: ProviderContext,
        *,
        encoding: str = "mulaw",
        rate: int = 8000,
        chunk_bytes: int = 800,
        delay_ms: int = 0,
        chunk_delay_ms: int = 0,
    ) -> None:
        self._script = scene_of(context).voice
        self._script.made += 1
        self._format = AudioFormat(Encoding(encoding), rate)
        self._chunk_bytes = max(1, chunk_bytes)
        self._delay_s = delay_ms / 1000
        self._chunk_delay_s = chunk_delay_ms / 1000

    def output_format(self) -> AudioFormat:
        """As it was asked for; µ-law at 8 kHz by default."""
        return self._format

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """The tone of this text, in chunks."""
        if not text.strip():
            return
        number, fault = self._script.begin(text)
        self._script.open_streams += 1
        try:
            await asyncio.sleep(self._delay_s + fault.delay_s)
            audio, broken = self._audio(number, text, fault)
            for start in range(0, len(audio), self._chunk_bytes):
                if start and self._chunk_delay_s:
                    await asyncio.sleep(self._chunk_delay_s)
                yield audio[start : start + self._chunk_bytes]
            if broken is not None:
                raise broken
        finally:
            self._script.open_streams -= 1

    def _audio(self, number: int, text: str, fault: VoiceFault) -> tuple[bytes, Exception | None]:
        audio = tone(number, speech_ms(text), self._format)
        if fault.error is None:
            return audio, None
        return audio[: self._format.bytes_for_ms(fault.after_ms)], fault.error

    async def close(self) -> None:
        """Nothing to release."""
