"""Adding streams together, and how loud they are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_FULL_SCALE = 32768


def mix(a: NDArray[np.int16], b: NDArray[np.int16], gain: float = 1.0) -> NDArray[np.int16]:
    """`a` plus `gain` times `b`, clipped to 16 bits. The shorter of the two is continued in silence.

    `gain` is a factor, not dB.
    """
    mixed = np.zeros(max(a.size, b.size))
    mixed[: a.size] = a
    mixed[: b.size] += gain * b.astype(np.float64)
    return np.clip(np.rint(mixed), -32768, 32767).astype(np.int16)


def level_dbfs(pcm: NDArray[np.int16]) -> float:
    """The RMS level in dB relative to full scale: a sine of full scale has -3 dB, silence and no samples have -inf."""
    if not pcm.any():
        return -math.inf
    return 20 * math.log10(math.sqrt(np.square(pcm, dtype=np.float64).mean()) / _FULL_SCALE)
