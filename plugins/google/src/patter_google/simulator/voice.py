"""The simulated model's ears and mouth: tones of one pitch for each utterance."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import numpy as np

#: how long the voice takes for one character, in ms
MS_PER_CHARACTER: Final = 60
#: how much sound is speech, in ms
SPEECH_MS: Final = 60
#: rate of what it says, in Hz
RATE: Final = 24_000
_AMPLITUDE: Final = 8000
_LOUD: Final = 300.0


def utterance(number: int, text: str) -> bytes:
    """What the text sounds like: a tone of its number's pitch, of which 20 ms are whole periods."""
    hertz = 400 + 50 * (number % 57)
    samples = np.arange(RATE * len(text) * MS_PER_CHARACTER // 1000)
    wave = np.sin(2 * np.pi * hertz * samples / RATE) * _AMPLITUDE
    return wave.astype("<i2").tobytes()


class BadAudio(Exception):
    """Audio that cannot be read."""


def samples_of(blob: Any) -> tuple[bytes, int]:
    """The PCM of a blob, and its rate. Raises `BadAudio`."""
    kind = str(blob.get("mimeType", ""))
    name, _, rate = kind.partition(";rate=")
    if name != "audio/pcm" or not (rate or "16000").isdigit():
        raise BadAudio(f"unsupported mime type {kind!r}")
    try:
        pcm = base64.b64decode(str(blob.get("data", "")).replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise BadAudio("Base64 decoding failed") from None
    if len(pcm) % 2:
        raise BadAudio("half a sample")
    return pcm, int(rate or 16_000)


class Ear:
    """Tells whether the caller speaks. `loud_ms` is how long they have been, without a pause."""

    def __init__(self) -> None:
        self.loud_ms = 0.0

    def hear(self, pcm: bytes, rate: int) -> bool:
        """Whether this chunk is loud."""
        samples = np.frombuffer(pcm, "<i2")
        loud = bool(samples.size) and float(np.abs(samples.astype(np.float64)).mean()) > _LOUD
        self.loud_ms = self.loud_ms + samples.size * 1000 / rate if loud else 0.0
        return loud
