"""How loud the line is when nobody speaks."""

from __future__ import annotations

import math
from collections import deque

#: what counts as digital silence, in dB relative to full scale
LOWEST_DB = -90.0
# Nobody speaks for two seconds without a gap that the smoothing below lets through.
SPAN_S = 0.5
SPANS = 4
SMOOTHING_S = 0.03


class NoiseFloor:
    """The least smoothed level of the last two seconds: minimum statistics, as noise suppressors use them.

    Unlike an average it needs no decision about what is speech, and finds a noise that grew louder within two
    seconds and one that fell silent at once.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._power: float | None = None
        self._spans: deque[float] = deque(maxlen=SPANS)
        self._lowest = math.inf
        self._samples = 0

    @property
    def level_db(self) -> float | None:
        """In dB relative to full scale; None during the first half second."""
        if not self._spans:
            return None
        return max(decibels(min(self._lowest, *self._spans)), LOWEST_DB)

    def hear(self, power: float, samples: int) -> None:
        """Take the mean square of so many samples, relative to full scale."""
        if self._power is None:
            self._power = power
        self._power += (power - self._power) * -math.expm1(-samples / (SMOOTHING_S * self._rate))
        self._lowest = min(self._lowest, self._power)
        self._samples += samples
        if self._samples >= SPAN_S * self._rate:
            self._spans.append(self._lowest)
            self._lowest, self._samples = self._power, 0


def decibels(power: float) -> float:
    """10 · log10, and `LOWEST_DB` for nothing."""
    return 10 * math.log10(power) if power > 0 else LOWEST_DB
