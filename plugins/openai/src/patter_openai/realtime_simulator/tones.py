"""The sounds of the simulated engine: each text is a tone, and its pitch says which one.

They are the tones in which the callers and voices of `patter.testing` speak, so that both understand each other. That
kit is not imported: nobody should have to load it to hear this engine.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

from patter.audio.formats import AudioFormat
from patter.audio.g711 import encode

#: what one frame of a tone lasts, in ms; whole periods of every pitch fit into it
FRAME_MS: Final = 20
#: how long one character takes, in ms
MS_PER_CHARACTER: Final = 60
#: how many pitches there are; numbers repeat after them
PITCHES: Final = 57

_LOWEST_HZ: Final = 400
_STEP_HZ: Final = 50
_AMPLITUDE: Final = 8000


def speech_ms(text: str) -> int:
    """How long a text takes, in ms."""
    return max(1, len(text)) * MS_PER_CHARACTER


@cache
def _frame(pitch: int, audio_format: AudioFormat) -> bytes:
    samples = np.arange(audio_format.rate * FRAME_MS // 1000)
    wave = np.sin(2 * np.pi * (_LOWEST_HZ + pitch * _STEP_HZ) * samples / audio_format.rate)
    return encode((wave * _AMPLITUDE).astype(np.int16), audio_format.encoding)


def tone(number: int, duration_ms: int, audio_format: AudioFormat) -> bytes:
    """The audio of text `number`, in whole frames."""
    return _frame(number % PITCHES, audio_format) * (duration_ms // FRAME_MS)


def pitch_of(pcm: Any, rate: int) -> int:
    """The pitch, from 0, that is nearest to what sounds loudest in the int16 samples of a frame."""
    loudest = int(np.abs(np.fft.rfft(pcm.astype(np.float64))).argmax())
    pitch = round((loudest * rate / int(pcm.size) - _LOWEST_HZ) / _STEP_HZ)
    return min(PITCHES - 1, max(0, pitch))
