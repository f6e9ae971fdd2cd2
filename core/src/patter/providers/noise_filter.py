"""Noise filters on the caller's audio, before the VAD."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NoiseFilter(ABC):
    """One filter for one call and one direction."""

    #: delay added to the audio, in ms
    latency_ms: float = 0.0

    @abstractmethod
    def process(self, pcm: NDArray[Any], rate: int) -> NDArray[Any]:
        """Filter one frame of int16 samples; the result has the same length (SP-18)."""

    @abstractmethod
    def reset(self) -> None:
        """Forget the audio so far."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent."""
