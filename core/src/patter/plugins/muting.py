"""Which implementations stay silent for the rest of a call (CF-07, CF-10)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

logger = logging.getLogger(__name__)

FAILURES_IN_A_ROW = 3
SLOW_EVALUATIONS = 3
#: plain code that takes longer than this stops every call of the process for that long, in s
SLOW_S = 0.005


@dataclass(frozen=True, slots=True)
class Muted:
    """A hook or strategy that is no longer asked in this call, and why."""

    what: str
    plugin: str
    reason: str


class Muting:
    """Counts failures and slow evaluations of the hooks and strategies of one call.

    `key` tells implementations apart and is of no other meaning; `what` and `plugin` are for people.
    """

    __slots__ = ("_failures", "_label", "_muted", "_slow")

    def __init__(self, label: str = "") -> None:
        self._label = label
        self._failures: dict[object, int] = {}
        self._slow: dict[object, int] = {}
        self._muted: dict[object, Muted] = {}

    def is_muted(self, key: object) -> bool:
        """Whether that implementation must not be asked any more."""
        return key in self._muted

    @property
    def muted(self) -> tuple[Muted, ...]:
        """What was muted so far, in the order in which it happened."""
        return tuple(self._muted.values())

    def succeeded(self, key: object) -> None:
        """A run without failure: the row of failures is broken."""
        self._failures.pop(key, None)

    def failed(self, key: object, what: str, plugin: str) -> None:
        """A failure or time-out; the third in a row mutes."""
        self._failures[key] = self._failures.get(key, 0) + 1
        if self._failures[key] >= FAILURES_IN_A_ROW:
            self._mute(key, Muted(what, plugin, f"failed {FAILURES_IN_A_ROW} times in a row"))

    def took(self, key: object, what: str, plugin: str, seconds: float) -> None:
        """How long plain code ran; the third time over `SLOW_S` mutes."""
        if seconds <= SLOW_S:
            return
        self._slow[key] = self._slow.get(key, 0) + 1
        if self._slow[key] >= SLOW_EVALUATIONS:
            reason = f"took over {SLOW_S * 1000:g} ms {SLOW_EVALUATIONS} times, last {seconds * 1000:.1f} ms"
            self._mute(key, Muted(what, plugin, reason))

    def _mute(self, key: object, entry: Muted) -> None:
        if key in self._muted:
            return
        self._muted[key] = entry
        place = f" in {self._label}" if self._label else ""
        logger.warning("%s of plugin %s is muted%s: it %s", entry.what, entry.plugin, place, entry.reason)
