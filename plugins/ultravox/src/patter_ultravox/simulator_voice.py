"""The simulated model's ears and mouth: tones of one pitch for each utterance."""

from __future__ import annotations

from typing import Final

import numpy as np

#: how long the voice takes for one character, in ms
MS_PER_CHARACTER: Final = 60
#: how much sound is speech, in ms
SPEECH_MS: Final = 60
_AMPLITUDE: Final = 8000
_LOUD: Final = 300.0


def utterance(number: int, text: str, rate: int) -> bytes:
    """What the text sounds like: a tone of its number's pitch, of which 20 ms are whole periods."""
    hertz = 400 + 50 * (number % 57)
    samples = np.arange(rate * len(text) * MS_PER_CHARACTER // 1000)
    wave = np.sin(2 * np.pi * hertz * samples / rate) * _AMPLITUDE
    return wave.astype("<i2").tobytes()


class Ear:
    """Tells whether the caller speaks. `loud_ms` is how long they have been, without a pause."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self.loud_ms = 0.0

    def hear(self, chunk: bytes) -> bool:
        """Whether this chunk, of whole samples, is loud."""
        samples = np.frombuffer(chunk, "<i2")
        loud = bool(samples.size) and float(np.abs(samples.astype(np.float64)).mean()) > _LOUD
        self.loud_ms = self.loud_ms + samples.size * 1000 / self._rate if loud else 0.0
        return loud
