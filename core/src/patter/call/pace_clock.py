"""The pace clock: which sample of agent audio should sound when, if the carrier plays at once. Pure.

Positions are samples of agent audio counted over the whole call. Times are seconds of the call's monotonic clock.
"""

from __future__ import annotations


class PaceClock:
    """Starts with sent audio and runs in real time; it stands while there is nothing to play.

    Attributes:
        rate: samples a second.
        since: when the sample at `position` sounds; None while the clock stands.
        position: see `since`.
    """

    __slots__ = ("position", "rate", "since")

    def __init__(self, rate: int) -> None:
        self.rate = float(rate)  # which times and positions are reckoned with
        self.since: float | None = None
        self.position = 0

    def start(self, t: float, position: int) -> None:
        """The sample at `position` sounds at t, and what follows it in real time."""
        self.since, self.position = t, position

    def stop(self) -> None:
        """Nothing sounds."""
        self.since = None

    def at(self, t: float) -> int | None:
        """The position that sounds at t, also past the audio there is; None while the clock stands."""
        since = self.since
        return None if since is None else self.position + int((t - since) * self.rate)

    def moment(self, position: int) -> float | None:
        """When a position sounds; None while the clock stands."""
        since = self.since
        return None if since is None else since + (position - self.position) / self.rate

    def start_if_dry(self, t: float, position: int) -> None:
        """Audio from `position` on is about to be sent: start again if all before it has sounded (PL-02)."""
        since = self.since
        if since is None or self.position + (t - since) * self.rate > position:
            self.since, self.position = t, position
