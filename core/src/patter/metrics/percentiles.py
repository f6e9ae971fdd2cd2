"""Averages and percentiles of the components of latency (MX-05)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """What many values of one component look like, in ms; all None where there is no value."""

    count: int = 0
    average: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile by linear interpolation between order statistics (type 7 of Hyndman and Fan).

    Raises `ValueError` without a value, or for a percentage outside 0 to 100.
    """
    if not values:
        raise ValueError("a percentile needs at least one value")
    if not 0 <= percent <= 100:
        raise ValueError(f"a percentile is one of 0 to 100, not {percent!r}")
    return _of_ordered(sorted(values), percent)


def _of_ordered(ordered: Sequence[float], percent: float) -> float:
    position = (len(ordered) - 1) * percent / 100
    below = int(position)
    if below + 1 == len(ordered):
        return ordered[below]
    return ordered[below] + (ordered[below + 1] - ordered[below]) * (position - below)


def distribution(values: Iterable[float | None]) -> Distribution:
    """The average and percentiles; None and zero are no measurement and are left out."""
    ordered = sorted(value for value in values if value)
    if not ordered:
        return Distribution()
    p50, p90, p95, p99 = (round(_of_ordered(ordered, percent), 1) for percent in (50, 90, 95, 99))
    return Distribution(len(ordered), round(sum(ordered) / len(ordered), 1), p50, p90, p95, p99)
