"""Which finals count, by the ledger's own words (TN-05, TN-06): written without a look at the turn machine."""

from __future__ import annotations

from functools import lru_cache

from patter.testing.simulation.draw import CAPTIONS

REPEAT_S = 2.0


@lru_cache(maxsize=4096)
def said(text: str) -> str:
    """The words alone, as two finals are compared."""
    return " ".join(text.replace(".", " ").replace("!", " ").lower().split())


class AcceptedFinals:
    """Finals in the order in which they come."""

    def __init__(self) -> None:
        self._last = ""
        self._last_at = 0.0

    def speech_started(self) -> None:
        """What comes now is said anew."""
        self._last = ""

    def accepts(self, text: str, t: float) -> bool:
        """Whether it counts."""
        words = said(text)
        if not words or text in CAPTIONS:
            return False
        repeated = words == self._last and t - self._last_at < REPEAT_S
        self._last, self._last_at = words, t
        return not repeated
