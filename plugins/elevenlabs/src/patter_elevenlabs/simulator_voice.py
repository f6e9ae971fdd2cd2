"""The simulated agent's ears and mouth: tones of one pitch for each utterance."""

from __future__ import annotations

from typing import Final

import numpy as np

from patter.audio.formats import AudioFormat
from patter.audio.g711 import decode
from patter.testing.tones import speech_ms, tone

#: how much sound is speech, in ms
SPEECH_MS: Final = 60
_LOUD: Final = 300.0


def utterance(number: int, text: str, audio_format: AudioFormat) -> bytes:
    """What the text sounds like."""
    return tone(number, speech_ms(text), audio_format)


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
