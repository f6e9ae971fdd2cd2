"""A tool that keeps failing is left alone for a while (TL-04). Pure: the time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from patter.tools import Tool

#: failures in a row that open the breaker
FAILURES: Final = 5
#: how long it stays open, in ms
OPEN_MS: Final = 30_000
#: what a call is told to wait while the outcome of the trial is not known yet, in ms
TRIAL_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Pass:
    """Leave to run once; its outcome is told with it. `period` counts how often the breaker has changed."""

    period: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """No leave; ask again after that time, in ms."""

    retry_after_ms: int


class CircuitBreaker:
    """Closed, it lets every run through; open, none; once `open_ms` are over, one trial, whose outcome decides.

    Only outcomes of the present period count: what began before the breaker opened says nothing about the trial.
    """

    __slots__ = ("_failed", "_failures", "_open_ms", "_opened_at", "_period", "_trial")

    def __init__(self, failures: int = FAILURES, open_ms: int = OPEN_MS) -> None:
        self._failures = failures
        self._open_ms = open_ms
        self._failed = 0
        self._period = 0
        self._opened_at: float | None = None
        self._trial = False

    @property
    def is_open(self) -> bool:
        """Whether runs are refused, but for a trial."""
        return self._opened_at is not None

    def ask(self, now_ms: float) -> Pass | Refusal:
        """May the tool run? Each `Pass` is answered by one of `succeeded`, `failed` and `given_up`."""
        if self._opened_at is None:
            return Pass(self._period)
        if self._trial:
            return Refusal(TRIAL_MS)
        # to the microsecond: below it, what is left is an error of the arithmetic
        left_ms = round(self._open_ms - (now_ms - self._opened_at), 3)
        if left_ms > 0:
            return Refusal(-int(-left_ms // 1))
        self._trial = True
        return Pass(self._period)

    def succeeded(self, leave: Pass) -> None:
        """It gave a result."""
        if leave.period == self._period:
            self._failed = 0
            if self._trial:
                self._change(None)

    def failed(self, leave: Pass, now_ms: float) -> None:
        """It gave none."""
        if leave.period != self._period:
            return
        self._failed += 1
        if self._trial or self._failed >= self._failures:
            self._change(now_ms)

    def given_up(self, leave: Pass) -> None:
        """Nobody waited for its outcome: another run may be the trial."""
        if leave.period == self._period:
            self._trial = False

    def _change(self, opened_at: float | None) -> None:
        self._opened_at = opened_at
        self._trial = False
        self._failed = 0
        self._period += 1


class CircuitBreakers:
    """The breakers of a phone's tools, each as long as its tool: what fails in one call fails at once in the others."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Tool, CircuitBreaker] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._of)

    def of(self, tool: Tool) -> CircuitBreaker:
        """The breaker of a tool."""
        breaker = self._of.get(tool)
        if breaker is None:
            breaker = self._of[tool] = CircuitBreaker()
        return breaker
