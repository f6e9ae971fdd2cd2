# SPDX-License-Identifier: GPL-3.0-or-later
"""The voice of one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from patter.audio.formats import AudioFormat, Encoding
from patter.errors import ProviderDisconnected
from patter.providers.context import ProviderContext
from patter.providers.tts import TTS
from patter_espeak.buffer import AudioBuffer
from patter_espeak.config import EspeakConfig
from patter_espeak.engine import SHARED_KEY, Engine
from patter_espeak.library import VoiceSettings
from patter_espeak.text import pieces

# espeak-ng's plain "en" is British.
_VOICE_OF_LANGUAGE = {"en": "en-us"}


class EspeakTTS(TTS):
    """Speech from espeak-ng. All voices of a `Patter` share one engine and one thread, and none of their state."""

    def __init__(self, config: EspeakConfig, context: ProviderContext) -> None:
        """Raises `ConfigError` when espeak-ng is not installed."""
        self._engine = context.shared.get(SHARED_KEY, Engine)
        self._settings = _settings(config, context)
        self._speaking: set[AudioBuffer] = set()
        self._closed = False

    @classmethod
    async def preload(cls, config: EspeakConfig, context: ProviderContext) -> None:
        """Load the engine before the first call. Raises `ConfigError` if it, or the voice, is missing."""
        engine = context.shared.get(SHARED_KEY, Engine)
        await asyncio.to_thread(engine.select, _settings(config, context))

    def output_format(self) -> AudioFormat:
        """16-bit mono at the rate the engine answered when it started (22,050 Hz in espeak-ng 1.52)."""
        return AudioFormat(Encoding.PCM16, self._engine.sample_rate)

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Audio of `text` as it is spoken; a long text is said in pieces, between which other calls have their turn.

        Raises `ConfigError` for a voice that the engine does not have.
        """
        for piece in pieces(text):
            if self._closed:
                raise ProviderDisconnected("this espeak voice is closed", provider="espeak")
            buffer = self._engine.speak(piece, self._settings)
            self._speaking.add(buffer)
            try:
                while (chunk := await buffer.get()) is not None:
                    yield chunk
            finally:
                self._speaking.discard(buffer)
                self._engine.release(buffer)

    async def warmup(self) -> None:
        """Select the voice once, so that its dictionary is in memory."""
        await asyncio.to_thread(self._engine.select, self._settings)

    async def close(self) -> None:
        """Stop what is being said. The engine belongs to the phone and goes on for other calls."""
        self._closed = True
        for buffer in list(self._speaking):
            self._engine.release(buffer)


def _settings(config: EspeakConfig, context: ProviderContext) -> VoiceSettings:
    voice = config.voice or _VOICE_OF_LANGUAGE.get(context.language, context.language)
    return VoiceSettings(voice, config.rate, config.pitch, config.volume)
