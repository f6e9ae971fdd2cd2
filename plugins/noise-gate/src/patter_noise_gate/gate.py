"""The filter behind ``noise-gate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from patter.errors import InputError
from patter.providers.noise_filter import NoiseFilter
from patter_noise_gate.high_pass import HighPass
from patter_noise_gate.noise_floor import NoiseFloor, decibels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.providers.context import ProviderContext
    from patter_noise_gate.config import NoiseGateConfig

#: one decision is made for so much audio, in s
DECISION_S = 0.010
#: the way from closed to open, in s: short enough for a plosive, long enough not to click
ATTACK_S = 0.002
LOWEST_RATE, HIGHEST_RATE = 8000, 48000
_FULL_SCALE = 32768.0


class NoiseGate(NoiseFilter):
    """High-pass, then a gate that follows the line's own noise.

    It looks at the frame it is given and never ahead, so it adds no delay. For the first half second it only
    listens, and stays open.
    """

    latency_ms = 0.0

    def __init__(self, config: NoiseGateConfig, context: ProviderContext | None = None) -> None:
        self._config = config
        self._closed_gain = 10 ** (-config.reduction_db / 20)
        self._rate = 0
        self.reset()

    def process(self, pcm: NDArray[Any], rate: int) -> NDArray[Any]:
        """Filter one frame; another rate than before starts afresh.

        Raises:
            InputError: samples that are not one row of int16, or a rate outside 8 to 48 kHz.
        """
        if pcm.dtype != np.int16 or pcm.ndim != 1:
            raise InputError(
                f"the noise gate takes one row of int16 samples, not {pcm.dtype} of shape {pcm.shape}"
            )
        if rate != self._rate:
            self._start(rate)
        samples = pcm / _FULL_SCALE
        if self._high_pass is not None:
            samples = self._high_pass.process(samples)
        gains = np.empty(len(samples))
        size = round(DECISION_S * rate)
        for start in range(0, len(samples), size):
            block = samples[start : start + size]
            gains[start : start + size] = self._gains(float(np.mean(block * block)), len(block))
        filtered = np.rint(samples * gains * _FULL_SCALE)
        # the high-pass may overshoot full scale, where int16 would wrap around
        return np.clip(filtered, -32768, 32767).astype(np.int16)

    def reset(self) -> None:
        """Forget the audio so far."""
        if self._rate:
            self._start(self._rate)

    def close(self) -> None:
        """Nothing to release. Idempotent."""

    def _start(self, rate: int) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise InputError(
                f"the noise gate takes audio from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not at {rate} Hz"
            )
        self._rate = rate
        self._high_pass = HighPass(self._config.high_pass_hz, rate) if self._config.high_pass_hz else None
        self._floor = NoiseFloor(rate)
        self._gain = 1.0
        self._hangover = 0  # samples

    def _gains(self, power: float, samples: int) -> float | NDArray[np.float64]:
        """The gain of a block with that mean square, or of each of its samples while the gate moves."""
        target = 1.0 if self._is_open(power, samples) else self._closed_gain
        self._floor.hear(power, samples)
        if target == self._gain:
            return target
        seconds = ATTACK_S if target > self._gain else self._config.release_ms / 1000
        step = (1 - self._closed_gain) / (seconds * self._rate)
        way = np.arange(1, samples + 1) * (step if target > self._gain else -step)
        gains: NDArray[np.float64] = np.clip(
            self._gain + way, min(self._gain, target), max(self._gain, target)
        )
        self._gain = float(gains[-1])
        return gains

    def _is_open(self, power: float, samples: int) -> bool:
        floor = self._floor.level_db
        if floor is None or decibels(power) > floor + self._config.threshold_db:
            self._hangover = self._config.hangover_ms * self._rate // 1000
            return True
        self._hangover = max(self._hangover - samples, 0)
        return self._hangover > 0
