"""One timer source for all calls of an event loop, on a 10 ms grid.

Each tick steps the playout of the calls that are due and runs the collected VAD windows. It never awaits: a call's own
writer task does the sending, so that only that call can be slowed by its socket.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import TYPE_CHECKING, Protocol

from patter.environment import Clock

if TYPE_CHECKING:
    from patter.stall_monitor import StallMonitor

logger = logging.getLogger(__name__)

GRID_S = 0.010


class Paced(Protocol):
    """A call as the pacer sees it."""

    #: when `step` must be called next, in s of the clock; None while nothing is scheduled
    due: float | None

    def step(self, t: float) -> None:
        """Do what is due; must not block or raise."""

    def failed(self, error: Exception) -> None:
        """`step` raised and is called no more."""


class Batch(Protocol):
    """Work collected over all calls."""

    def step(self) -> bool:
        """Do some of it; True when more is due. Must not raise: for one that does nothing more is done."""


class Pacer:
    """Runs while calls or batches are registered, and the stall monitor with it; idle otherwise."""

    def __init__(self, clock: Clock, stalls: StallMonitor | None = None) -> None:
        self._clock = clock
        self._stalls = stalls
        self._calls: set[Paced] = set()
        self._batches: list[Batch] = []
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0
        # Not that of the call which starts the timer: it is the timer of all calls.
        self._context = contextvars.copy_context()

    def add(self, call: Paced) -> None:
        """Step a call from now on."""
        self._calls.add(call)
        if self._timer is None:
            self._next = self._clock.monotonic()
            self._arm()
            if self._stalls is not None:
                self._stalls.watch()

    def remove(self, call: Paced) -> None:
        """Step it no more; harmless when it is not there."""
        self._calls.discard(call)
        if not self._calls:
            self.close()

    def add_batch(self, batch: Batch) -> None:
        """Run a batch on each tick."""
        self._batches.append(batch)

    def remove_batches(self) -> None:
        """Run none any more."""
        self._batches.clear()

    def _arm(self) -> None:
        now = self._clock.monotonic()
        # after a stall the grid starts again at once: ticks are never made up for
        self._next = max(self._next + GRID_S, now)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._next - now, self._tick, context=self._context)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        for call in tuple(self._calls):
            if call.due is not None and call.due <= now:
                try:
                    call.step(now)
                except Exception as error:
                    logger.exception("the pacer's step of a call failed; the call is stepped no more")
                    self._calls.discard(call)
                    call.failed(error)
        self._run_batches()
        if self._calls:
            self._arm()
        else:
            self.close()

    def _run_batches(self) -> None:
        more = [self._run(batch) for batch in tuple(self._batches)]
        if any(more):
            asyncio.get_running_loop().call_soon(self._run_batches)

    def _run(self, batch: Batch) -> bool:
        try:
            return batch.step()
        except Exception:
            logger.exception("work collected over all calls failed; it is done no more")
            self._batches = [other for other in self._batches if other is not batch]
            return False

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stalls is not None:
            self._stalls.rest()
