"""From speech probabilities to edges of speech. Pure: no clock, no audio, no model.

Shared by the batched VADs whose model answers one probability per window.
"""

from __future__ import annotations

from dataclasses import dataclass

from patter.providers.vad import VADDetector, VADEvent


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """Two thresholds and two durations.

    Speech starts at `activation` and ends below `deactivation`; a probability between the two changes nothing.
    """

    activation: float
    deactivation: float
    min_speech_ms: float
    min_silence_ms: float


class ProbabilityDetector(VADDetector):
    """Edges of one call's speech, by hysteresis (SP-14).

    - `speech_start` comes once speech (a window of at least `activation`, then none below `deactivation`) has lasted
      `min_speech_ms`; its position is where the first of those windows began.
    - `speech_end` comes once `min_silence_ms` have passed since the first window below `deactivation` without one
      of at least `activation`; its position is where that first window began.

    An event's confidence is the probability of the window that decided it. Windows need not follow each other
    without a gap: everything counts from the positions given.
    """

    __slots__ = (
        "_hysteresis",
        "_min_silence",
        "_min_speech",
        "_rate",
        "_silence",
        "_speaking",
        "_start",
        "_window",
    )

    def __init__(self, hysteresis: Hysteresis, *, rate: int, window_samples: int) -> None:
        self._hysteresis = hysteresis
        self._rate = rate
        self._window = window_samples
        self._min_speech = hysteresis.min_speech_ms * rate / 1000
        self._min_silence = hysteresis.min_silence_ms * rate / 1000
        self.reset()

    def feed(self, probability: float, sample_position: int) -> VADEvent | None:
        """Take the probability of the window that ends at `sample_position`."""
        if self._speaking:
            return self._look_for_end(probability, sample_position)
        return self._look_for_start(probability, sample_position)

    def reset(self) -> None:
        """Forget everything heard so far; speech under way ends without an event."""
        self._speaking = False
        self._start: int | None = None
        self._silence: int | None = None

    def _look_for_start(self, probability: float, position: int) -> VADEvent | None:
        if probability < self._hysteresis.deactivation:
            self._start = None
        elif self._start is None and probability >= self._hysteresis.activation:
            self._start = position - self._window
        if self._start is None or position - self._start < self._min_speech:
            return None
        self._speaking = True
        return VADEvent("speech_start", self._start, probability)

    def _look_for_end(self, probability: float, position: int) -> VADEvent | None:
        if probability >= self._hysteresis.activation:
            self._silence = None
            return None
        if probability >= self._hysteresis.deactivation:
            return None
        if self._silence is None:
            self._silence = position - self._window
        if position - self._silence < self._min_silence:
            return None
        end, start = self._silence, self._start or 0
        self.reset()
        return VADEvent("speech_end", end, probability, (end - start) * 1000 / self._rate)
