"""The one source of time, randomness and identifiers.

Everything that differs between two runs of the same call comes from here, so that a simulation can replay a call
from a seed. No other module of Patter may ask the operating system for the time or for random numbers.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that never jumps, one that people read."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""


class SystemClock:
    """The clocks of the operating system."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds of the monotonic clock, the same one that asyncio's loops use."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Environment:
    """Clock and randomness of one `Patter`; `random` is the operating system's unless a seed was asked for."""

    clock: Clock = field(default_factory=SystemClock)
    random: random.Random = field(default_factory=random.SystemRandom)

    @classmethod
    def seeded(cls, seed: int, clock: Clock) -> Environment:
        """An environment that repeats itself: for tests and simulation, never for real calls."""
        return cls(clock=clock, random=random.Random(seed))

    def new_id(self, prefix: str) -> str:
        """A fresh identifier such as ``call_5f0c…`` with 96 random bits."""
        return f"{prefix}_{self.random.getrandbits(96):024x}"

    def new_token(self) -> str:
        """A secret of 256 random bits as 64 hex digits, safe in a URL path."""
        return f"{self.random.getrandbits(256):064x}"
