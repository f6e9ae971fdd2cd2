"""Streaming conversion between sample rates: constant delay, no bursts, the same samples whatever the chunks.

A windowed-sinc low-pass (Kaiser) is evaluated at the instants of the output samples, which for a rate pair up/down
repeat after `up` outputs and `down` inputs. One matrix holds the filter of each output of such a period (or of some
periods, where they are short), so a chunk is converted by one product of windows of the input with that matrix.

The coefficients are whole multiples of 2**-24 and samples are 16-bit, so each sum is exact in float64 in whichever
order it is taken. That is why chunking cannot change a bit, and why the result is the same on every machine.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from patter.audio.formats import HIGHEST_RATE, LOWEST_RATE

# 16 zero crossings on each side of the filter delay by 2 ms at 8 kHz. With this window and cutoff a telephone channel
# keeps 3.4 kHz within 1 dB, while 4.3 kHz is 70 dB down and what lies above 4.5 kHz 78 dB.
_ZERO_CROSSINGS: Final = 16
_KAISER_BETA: Final = 7.0
_CUTOFF: Final = 0.92
_COEFFICIENT_BITS: Final = 24
# Rates that have next to nothing in common (8000 and 8001 Hz) would need a matrix of gigabytes.
_LARGEST_TERM: Final = 1000
# BLAS puts larger products on several threads, which then spin for work: time that other calls need.
_LARGEST_PRODUCT: Final = 1 << 18
_SHORTEST_BLOCK: Final = 16


class _Table(NamedTuple):
    """The filter of one pair of rates; immutable and shared by all its resamplers."""

    #: rate_out : rate_in in lowest terms
    up: int
    down: int
    #: input samples on each side of an output sample
    reach: int
    #: (window, block): column b gives output b of a block from the window of input samples that begins with it
    matrix: NDArray[np.float64]
    #: input samples from one block to the next
    stride: int

    @property
    def taps(self) -> int:
        return 2 * self.reach


def _phase_filters(up: int, down: int, reach: float) -> NDArray[np.float64]:
    """(up, taps): the low-pass as seen by each output sample of a period."""
    side = ceil(reach)
    offset = np.arange(up) * down % up / up
    distance = np.arange(1 - side, side + 1) - offset[:, np.newaxis]
    cutoff = _CUTOFF * min(1.0, up / down)
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(1 - (distance / reach) ** 2, 0)))
    filters = np.where(np.abs(distance) < reach, np.sinc(cutoff * distance) * window, 0)
    # Each phase passes a constant as it is; otherwise the difference between phases would be heard as a tone.
    scale = float(1 << _COEFFICIENT_BITS)
    whole: NDArray[np.float64] = np.rint(filters / filters.sum(axis=1, keepdims=True) * scale)
    return whole / scale


@lru_cache(maxsize=64)
def _table(rate_in: int, rate_out: int) -> _Table:
    common = gcd(rate_in, rate_out)
    up, down = rate_out // common, rate_in // common
    if max(up, down) > _LARGEST_TERM:
        raise ValueError(f"no conversion from {rate_in} to {rate_out} Hz: their ratio is {up}:{down}")
    reach = _ZERO_CROSSINGS * max(1.0, down / up)
    filters = _phase_filters(up, down, reach)
    periods = max(1, _SHORTEST_BLOCK // min(up, down))
    block, stride, taps = periods * up, periods * down, filters.shape[1]
    matrix = np.zeros(((block - 1) * down // up + taps, block))
    for output in range(block):
        start = output * down // up
        matrix[start : start + taps, output] = filters[output % up]
    matrix.setflags(write=False)
    return _Table(up, down, ceil(reach), matrix, stride)


class Resampler:
    """Converts one stream of int16 samples from one rate to another. One object per call and direction.

    Output sample n belongs to the instant n / rate_out of the input, and comes as soon as the filter has seen what it
    needs, `delay_ms` later: never a burst, never a pause, no drift. N input samples give ceil(N * rate_out / rate_in)
    samples, of which `flush` returns the last. With equal rates arrays pass through as they are.

    Raises:
        ValueError: a rate outside 8000..48000 Hz, or a ratio without small terms (up to 1000).
    """

    __slots__ = ("_history", "_phase", "_table", "rate_in", "rate_out")

    def __init__(self, rate_in: int, rate_out: int) -> None:
        for rate in (rate_in, rate_out):
            if not LOWEST_RATE <= rate <= HIGHEST_RATE:
                raise ValueError(f"sample rates are from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {rate!r}")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self._table = None if rate_in == rate_out else _table(rate_in, rate_out)
        self.reset()

    @property
    def delay_ms(self) -> float:
        """How much audio, in ms, is held back at any time; at most 2 ms and one sample where one side has 8 kHz."""
        return 0.0 if self._table is None else self._table.reach * 1000 / self.rate_in

    def reset(self) -> None:
        """Forget the audio so far, including what is held back."""
        # The stream begins in silence. `_history` begins at the start of a period, in which `_phase` output samples
        # have been given.
        self._history: NDArray[np.float64] = np.zeros(0 if self._table is None else self._table.reach - 1)
        self._phase = 0

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Convert the next samples; what does not fit into 16 bits is clipped.

        Raises:
            TypeError: the samples are not int16.
            ValueError: the array has more than one dimension.
        """
        if pcm.dtype != np.int16:
            raise TypeError(f"samples are int16, not {pcm.dtype}")
        if pcm.ndim != 1:
            raise ValueError(f"samples are an array of one dimension, not of shape {pcm.shape}")
        table = self._table
        return pcm if table is None else self._convert(table, pcm)

    def flush(self) -> NDArray[np.int16]:
        """Return what is held back; the next `process` begins a new stream."""
        if self._table is None:
            return np.zeros(0, np.int16)
        tail = self._convert(self._table, np.zeros(self._table.reach, np.int16))
        self.reset()
        return tail

    def _convert(self, table: _Table, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        window, block = table.matrix.shape
        known = self._history.size + pcm.size
        # Outputs of this and the following periods whose taps all lie in the known samples.
        ready = max(0, -((table.taps - 1 - known) * table.up // table.down))
        # Two rows at least: BLAS has another routine for one, which takes threads for much smaller products.
        rows = max(2, -(-ready // block))
        samples = np.zeros(max(known, (rows - 1) * table.stride + window))
        samples[: self._history.size] = self._history
        samples[self._history.size : known] = pcm
        pitch = samples.itemsize
        windows = np.ndarray((rows, window), np.float64, samples, 0, (table.stride * pitch, pitch))
        converted = _product(windows, table.matrix).reshape(-1)[self._phase : ready]
        periods, self._phase = divmod(ready, table.up)
        self._history = samples[periods * table.down : known].copy()
        np.rint(converted, out=converted)
        np.clip(converted, -32768, 32767, out=converted)
        return converted.astype(np.int16)


def _product(windows: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """`windows @ matrix`, in pieces small enough for one thread."""
    rows = max(2, _LARGEST_PRODUCT // matrix.size)
    if len(windows) <= rows:
        return np.ascontiguousarray(windows) @ matrix
    pieces = [np.ascontiguousarray(windows[at : at + rows]) @ matrix for at in range(0, len(windows), rows)]
    return np.concatenate(pieces)
