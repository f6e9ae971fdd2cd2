"""The simulated agent's ears and mouth: tones of one pitch for each utterance."""

from __future__ import annotations

from typing import Final

import numpy as np

from patter.audio.formats import AudioFormat
from patter.audio.g711 import decode, encode

#: how long the voice takes for one character, in ms
MS_PER_CHARACTER: Final = 60
#: how much sound is speech, in ms
SPEECH_MS: Final = 60
_LOUD: Final = 300.0
_AMPLITUDE: Final = 8000


def utterance(number: int, text: str, audio_format: AudioFormat) -> bytes:
    """What the text sounds like: a tone of its number's pitch, of which 20 ms are whole periods."""
    hertz = 400 + 50 * (number % 57)
    samples = np.arange(audio_format.rate * len(text) * MS_PER_CHARACTER // 1000)
    wave = np.sin(2 * np.pi * hertz * samples / audio_format.rate) * _AMPLITUDE
    return encode(wave.astype(np.int16), audio_format.encoding)


class Ear:
    """Tells whether the caller speaks. `loud_ms` is how long they have been, without a pause."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self.loud_ms = 0.0

    def hear(self, chunk: bytes) -> bool:
        """Whether this chunk is loud."""
        whole = len(chunk) // self._format.bytes_per_sample * self._format.bytes_per_sample
        samples = decode(chunk[:whole], self._format.encoding)
        loud = bool(samples.size) and float(np.abs(samples.astype(np.float64)).mean()) > _LOUD
        self.loud_ms = self.loud_ms + self._format.duration_ms(whole) if loud else 0.0
        return loud
