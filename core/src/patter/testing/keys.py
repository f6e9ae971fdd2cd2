"""Reads keys off the audio of a call, as the receiver at the far end does.

Written from the recommendation alone, without a look at how Patter makes the tones: a key is one low and one high tone
of ITU-T Q.23 at a time, each far louder than the other three of its group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from patter.audio.g711 import decode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.audio.formats import AudioFormat

LOW: Final = (697, 770, 852, 941)
HIGH: Final = (1209, 1336, 1477, 1633)
KEYS: Final = ("123A", "456B", "789C", "*0#D")
#: what is looked at together, in ms: enough to tell 697 from 770 Hz
WINDOW_MS: Final = 20
STEP_MS: Final = 5
#: a receiver need not take what is shorter (ITU-T Q.24), in ms
SHORTEST_MS: Final = 40
#: mean magnitude below which there is no tone
SILENCE: Final = 300.0
#: by how much a tone must exceed the others of its group, in power
CLEARLY: Final = 4.0
#: by how much the two tones of a key may differ
MOST_TWIST: Final = 10.0


@dataclass(frozen=True, slots=True)
class HeardKey:
    """A key, and when it sounded, in ms from the beginning of the audio, to about 10 ms."""

    key: str
    start_ms: float
    end_ms: float


def read_keys(audio: bytes, audio_format: AudioFormat) -> list[HeardKey]:
    """The keys in a piece of audio, in order."""
    samples = decode(audio, audio_format.encoding).astype(np.float64)
    window, step = audio_format.rate * WINDOW_MS // 1000, audio_format.rate * STEP_MS // 1000
    if samples.size < window:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(samples, window)[::step]
    turns = 2j * np.pi * np.outer(LOW + HIGH, np.arange(window)) / audio_format.rate
    strengths = np.abs(windows @ (np.hanning(window) * np.exp(-turns)).T) ** 2
    sounds = np.abs(windows).mean(axis=1) >= SILENCE
    heard: list[HeardKey] = []
    before = ""
    for number in range(len(windows)):
        key = _key(strengths[number]) if sounds[number] else ""
        start_ms = number * step * 1000 / audio_format.rate
        if key and key == before:
            heard[-1] = HeardKey(key, heard[-1].start_ms, start_ms + WINDOW_MS)
        elif key:
            heard.append(HeardKey(key, start_ms, start_ms + WINDOW_MS))
        before = key
    return [one for one in heard if one.end_ms - one.start_ms >= SHORTEST_MS]


def _key(strengths: NDArray[Any]) -> str:
    """The key of tones of that power; "" for none."""
    low, high = strengths[:4], strengths[4:]
    twist = max(low.max(), high.max()) / max(min(low.max(), high.max()), 1.0)
    clear = all(group.max() >= CLEARLY * np.partition(group, -2)[-2] for group in (low, high))
    return KEYS[int(low.argmax())][int(high.argmax())] if clear and twist <= MOST_TWIST else ""
