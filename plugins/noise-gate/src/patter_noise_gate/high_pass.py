"""A streaming second-order high-pass without a loop over samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: samples that are filtered at once
BLOCK = 80


class HighPass:
    """Butterworth, 12 dB per octave below `cutoff_hz`; adds no delay to what it lets through.

    A recursive filter is linear in its input and its two memory values. What a block of samples makes of both is
    therefore a matrix each, worked out once; a block then costs two small products.
    """

    def __init__(self, cutoff_hz: float, rate: int) -> None:
        feed, back = _coefficients(cutoff_hz, rate)
        step = np.array([[-back[0], 1.0], [-back[1], 0.0]])  # memory to memory, over one sample
        enter = np.array([feed[1] - back[0] * feed[0], feed[2] - back[1] * feed[0]])  # input to memory
        powers = [np.eye(2)]
        for _ in range(BLOCK):
            powers.append(step @ powers[-1])
        response = np.array([feed[0], *((power @ enter)[0] for power in powers[: BLOCK - 1])])
        lag = np.arange(BLOCK)[:, None] - np.arange(BLOCK)[None, :]
        self._from_input = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0)
        self._from_memory = np.array([power[0] for power in powers[:BLOCK]])
        self._memory_from_memory = powers
        # the column of the last sample comes last, so that a shorter block uses the last columns
        self._memory_from_input = np.array([power @ enter for power in reversed(powers[:BLOCK])]).T
        self._memory = np.zeros(2)

    def process(self, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        """As many samples as came in; any number."""
        filtered = np.empty_like(samples)
        for start in range(0, len(samples), BLOCK):
            block = samples[start : start + BLOCK]
            size = len(block)
            filtered[start : start + size] = (
                self._from_input[:size, :size] @ block + self._from_memory[:size] @ self._memory
            )
            self._memory = (
                self._memory_from_memory[size] @ self._memory
                + self._memory_from_input[:, BLOCK - size :] @ block
            )
        return filtered

    def reset(self) -> None:
        """Forget the audio so far."""
        self._memory = np.zeros(2)


def _coefficients(cutoff_hz: float, rate: int) -> tuple[list[float], list[float]]:
    """Of input and of output (without its leading 1), by the bilinear transform of the analogue filter."""
    k = math.tan(math.pi * cutoff_hz / rate)
    norm = 1 / (1 + math.sqrt(2) * k + k * k)
    return [norm, -2 * norm, norm], [2 * (k * k - 1) * norm, (1 - math.sqrt(2) * k + k * k) * norm]
