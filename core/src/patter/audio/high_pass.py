"""A high-pass on a stream of samples: mains hum, handling noise and direct current out, speech untouched.

A Butterworth filter of second order. A recursive filter wants a loop over samples; here a block of N samples is one
product instead: its output is a triangular matrix of the impulse response times the block, plus what the two numbers
of state that the block before left still ring. Any N up to `BLOCK` uses a corner of the same matrices, so that the
result does not depend on how the stream is cut.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patter.audio.formats import HIGHEST_RATE, LOWEST_RATE

#: cutoffs that leave speech whole: fundamentals of deep voices begin near 85 Hz
LOWEST_CUTOFF_HZ: Final = 20.0
HIGHEST_CUTOFF_HZ: Final = 400.0
#: samples of one product; longer chunks are cut. BLAS would put larger ones on several threads
BLOCK: Final = 80
# A state below this is inaudible by 200 dB; left alone, it would fade into subnormal numbers, which are slow.
_FADED: Final = 1e-6


class _Table(NamedTuple):
    """The filter of one cutoff and rate; immutable and shared by all its streams."""

    #: shape (BLOCK, BLOCK): output i from input j
    response: NDArray[np.float64]
    #: shape (BLOCK, 2): output i from the state before the block
    ringing: NDArray[np.float64]
    #: shape (2, BLOCK): the state from input j, where the block ends with the last of them
    taken: NDArray[np.float64]
    #: shape (BLOCK + 1, 2, 2): what so many samples leave of a state
    kept: NDArray[np.float64]


@lru_cache(maxsize=16)
def _table(cutoff_hz: float, rate: int) -> _Table:
    # The bilinear transform of the Butterworth prototype, as a direct form II transposed in state space.
    warped = math.tan(math.pi * cutoff_hz / rate)
    scale = 1 / (1 + math.sqrt(2) * warped + warped * warped)
    a1, a2 = 2 * scale * (warped * warped - 1), scale * (1 - math.sqrt(2) * warped + warped * warped)
    step = np.array([[-a1, 1.0], [-a2, 0.0]])
    intake = np.array([scale * (-2 - a1), scale * (1 - a2)])
    kept = np.empty((BLOCK + 1, 2, 2))
    kept[0] = np.eye(2)
    for count in range(BLOCK):
        kept[count + 1] = step @ kept[count]
    ringing = kept[:BLOCK, 0, :]
    impulse = np.concatenate([[scale], ringing[: BLOCK - 1] @ intake])
    lag = np.arange(BLOCK)[:, None] - np.arange(BLOCK)[None, :]
    response = np.where(lag >= 0, impulse[np.maximum(lag, 0)], 0.0)
    taken = np.ascontiguousarray((kept[:BLOCK][::-1] @ intake).T)
    tables = (response, np.ascontiguousarray(ringing), taken, kept)
    for array in tables:
        array.setflags(write=False)
    return _Table(*tables)


class HighPass:
    """Filters one stream of int16 samples; no sample is held back. One object per call and direction.

    At the cutoff the level is 3 dB lower, below it falls by 12 dB an octave.

    Args:
        cutoff_hz: from 20 to 400 Hz.
        rate: of the stream, in Hz.

    Raises:
        ValueError: a cutoff or a rate outside its range.
    """

    __slots__ = ("_state", "_table", "cutoff_hz", "rate")

    def __init__(self, cutoff_hz: float, rate: int) -> None:
        if not LOWEST_CUTOFF_HZ <= cutoff_hz <= HIGHEST_CUTOFF_HZ:
            raise ValueError(
                f"the cutoff of a high-pass is from {LOWEST_CUTOFF_HZ:g} to {HIGHEST_CUTOFF_HZ:g} Hz, not {cutoff_hz!r}"
            )
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"sample rates are from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {rate!r}")
        self.cutoff_hz = cutoff_hz
        self.rate = rate
        self._table = _table(float(cutoff_hz), rate)
        self.reset()

    def reset(self) -> None:
        """Forget the audio so far."""
        self._state: NDArray[np.float64] = np.zeros(2)

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Filter the next samples; the result has as many, and what does not fit into 16 bits is clipped.

        Raises:
            TypeError: the samples are not int16.
        """
        if pcm.dtype != np.int16:
            raise TypeError(f"samples are int16, not {pcm.dtype}")
        filtered = np.empty(pcm.size)
        for start in range(0, pcm.size, BLOCK):
            self._block(pcm[start : start + BLOCK].astype(np.float64), filtered[start : start + BLOCK])
        np.rint(filtered, out=filtered)
        np.clip(filtered, -32768, 32767, out=filtered)
        return filtered.astype(np.int16)

    def _block(self, samples: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        table, count = self._table, samples.size
        np.matmul(table.response[:count, :count], samples, out=out)
        out += table.ringing[:count] @ self._state
        state = table.kept[count] @ self._state + table.taken[:, BLOCK - count :] @ samples
        self._state = state if np.abs(state).max() > _FADED else np.zeros(2)
