"""Voice activity detection, in two forms (SP-13).

Simple: one object per call with `process_frame`. Batched: one model per process whose `infer` takes the windows of
many calls at once, and per call a pure detector that turns probabilities into events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

VADEventKind = Literal["speech_start", "speech_end", "silence"]


@dataclass(frozen=True, slots=True)
class VADEvent:
    """An edge of speech.

    `sample_position` counts samples of the audio fed, from its start: where speech began, or where the silence began
    that ended it; never wall-clock time. `duration_ms` is the length of the speech (at `speech_end`).
    """

    kind: VADEventKind
    sample_position: int
    confidence: float = 0.0
    duration_ms: float = 0.0


class VAD(ABC):
    """The simple form; holds the state of one call."""

    @abstractmethod
    def process_frame(self, pcm: NDArray[Any], rate: int) -> VADEvent | None:
        """Take one frame of int16 samples, 10 to 40 ms at 8 or 16 kHz; at most one event."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything heard so far."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""


class VADDetector(ABC):
    """The pure per-call part of a batched VAD."""

    @abstractmethod
    def feed(self, probability: float, sample_position: int) -> VADEvent | None:
        """Take the probability of the window that ends at `sample_position`."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything heard so far."""


class VADModel(ABC):
    """The batched form: one per process and event loop, without state of any call.

    Core keeps for each call its pending samples, its context (the last `context_samples` of the previous window,
    zeros at first) and its state, and hands them over in matrices.
    """

    #: sample rates it takes, best first
    rates: tuple[int, ...]
    #: shape of one call's state, for example ``(2, 128)``; float32, zeros at first
    state_shape: tuple[int, ...]

    @abstractmethod
    def window_samples(self, rate: int) -> int:
        """Samples of one window, without context."""

    @abstractmethod
    def context_samples(self, rate: int) -> int:
        """Samples of the previous window put before each window."""

    @abstractmethod
    def infer(
        self, windows: NDArray[Any], states: NDArray[Any], rate: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Judge B windows at once.

        `windows` is float32 ``[B, context + window]`` scaled to ±1, `states` float32 ``[B, *state_shape]``. Returns
        probabilities ``[B]`` and new states of the same shape. A row's result does not depend on the other rows.
        """

    @abstractmethod
    def detector(self, rate: int) -> VADDetector:
        """A fresh detector for one call."""

    @abstractmethod
    def close(self) -> None:
        """Release the model. Idempotent."""
