"""The marks of a call and their echoes: where they go, what the carrier confirms by them, and how late. Pure.

Positions are samples of agent audio counted over the whole call. Times are seconds of the call's monotonic clock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from patter.call.pace_clock import PaceClock

#: audio between two marks outside the greeting, in ms (PL-03)
MARK_EVERY_MS = 200
#: echoes from which the lag counts (the median before the third says nothing)
LAG_ECHOES = 3
#: the latest echoes, of which the lag is the median
LAG_WINDOW = 31


class Marks:
    """The marks under way; one goes behind every `every` samples of audio, if the carrier supports marks.

    Attributes:
        due_at: the position from which on audio is followed by a mark in any case; at the end of a sentence one may be.
        confirmed: the furthest position whose mark came back.
        lag: how long after its audio was due a mark comes back, in s: the call's median; 0 before the third echo.
    """

    __slots__ = (
        "_count",
        "_each_chunk",
        "_every",
        "_lags",
        "_supported",
        "_waiting",
        "confirmed",
        "due_at",
        "lag",
    )

    def __init__(self, every: int, *, supported: bool) -> None:
        self.confirmed = 0
        self.lag = 0.0
        self._every = every
        self._supported = supported
        self.due_at = 0
        self._each_chunk = False
        self._waiting: dict[str, tuple[int, float]] = {}
        self._count = 0
        self._lags: deque[float] = deque(maxlen=LAG_WINDOW)

    def __len__(self) -> int:
        """Marks that were sent and neither echoed nor resolved."""
        return len(self._waiting)

    def begin(self, position: int, *, each_chunk: bool) -> None:
        """Another turn begins; an echo that still comes belongs to the one before (PL-05)."""
        self._waiting.clear()
        self._each_chunk = each_chunk
        self.due_at = position + (1 if each_chunk else self._every)

    def go_on(self, position: int) -> None:
        """The turn goes on at that position."""
        self.due_at = position + (1 if self._each_chunk else self._every)

    def behind(self, position: int, clock: PaceClock) -> tuple[str, ...]:
        """What follows the audio up to `position`: a mark, or nothing where the carrier has none."""
        if not self._supported:
            return ()
        self.due_at = position + (1 if self._each_chunk else self._every)
        self._count += 1
        name = f"p{self._count}"
        self._waiting[name] = (position, clock.moment(position) or 0.0)
        return (name,)

    def reached(self, name: str, t: float, sent: int) -> bool:
        """An echo came back while audio up to `sent` was sent; False for one that confirms nothing (PL-05)."""
        mark = self._waiting.pop(name, None)
        if mark is None:
            return False
        position, due_at = mark
        if position > sent:
            position = sent
        if position > self.confirmed:
            self.confirmed = position
        lags = self._lags
        lags.append(t - due_at if t > due_at else 0.0)
        count = len(lags)
        if count >= LAG_ECHOES:  # their median
            ordered, middle = sorted(lags), count // 2
            self.lag = ordered[middle] if count % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        return True

    def withdraw(self, names: Iterable[str]) -> None:
        """These marks will not be sent."""
        for name in names:
            self._waiting.pop(name, None)

    def resolve(self) -> None:
        """No echo of a mark under way confirms anything any more (PL-05, PL-07)."""
        self._waiting.clear()
