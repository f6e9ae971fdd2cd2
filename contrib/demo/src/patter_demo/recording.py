"""The recording of a call: what the caller said on the left, what the caller heard on the right, on one timeline."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from patter.audio import mulaw_decode, write_stereo
from patter_demo.hearing import RATE, Part

#: a part that begins this close to the end of the one before follows it without a gap, in samples
TOLERANCE = 2


def until(parts: Iterable[Part], t: float) -> list[Part]:
    """What had sounded by `t`."""
    kept: list[Part] = []
    for start, audio in parts:
        count = round((t - start) * RATE)
        if count > 0:
            kept.append((start, audio[:count]))
    return kept


def timeline(parts: Iterable[Part], start: float) -> NDArray[np.int16]:
    """The samples from `start` on, silence where nothing sounds; what lies before `start` is left out."""
    placed: list[tuple[int, NDArray[np.int16]]] = []
    end = 0
    for t, audio in parts:
        samples = mulaw_decode(audio)
        position = round((t - start) * RATE)
        if abs(position - end) <= TOLERANCE:
            position = end
        if position < 0:
            samples, position = samples[-position:], 0
        placed.append((position, samples))
        end = max(end, position + samples.size)
    out = np.zeros(end, np.int16)
    for position, samples in placed:
        out[position : position + samples.size] = samples
    return out


def write_recording(path: Path, caller: Iterable[Part], agent: Iterable[Part], start: float) -> None:
    """Write the stereo WAV file. Raises `OSError`."""
    write_stereo(path, timeline(caller, start), timeline(agent, start), RATE)
