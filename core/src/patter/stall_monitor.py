"""Sees when plain code keeps the event loop from running, and says whose code it is (CF-10).

While it lasts, every call of the process is silent. Nothing on the loop could tell, so a thread watches: a timer of
the loop says every few milliseconds that it goes on, and when that does not come the thread looks at the stack of the
loop's thread. The timer runs while calls are up and costs them nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from patter.blocking_stack import blocking_stack
from patter.environment import Clock, SystemClock
from patter.log_lines import Lines

logger = logging.getLogger(__name__)

#: how long `stop` waits for the thread's end, in s
STOP_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Stall:
    """The event loop stood still for `duration_s`; `who` kept it, `stack` is where, as Python prints it."""

    who: str
    stack: str
    duration_s: float


class StallMonitor:
    """Watches one event loop from a thread of its own.

    Every block of at least 1.25 times the threshold is seen, none that is shorter than the threshold. In virtual time
    it does nothing: there the clock stands still while code runs.

    Args:
        clock: the phone's clock; anything but the operating system's is taken for a virtual one.
        threshold_s: how late the loop may be, in s.
        on_stall: called on the loop, once a stall is over.

    Attributes:
        stalls: how often the loop stood still.
        longest_s: the longest of these, in s.
    """

    def __init__(
        self, clock: Clock, threshold_s: float = 0.1, on_stall: Callable[[Stall], object] | None = None
    ) -> None:
        self.stalls = 0
        self.longest_s = 0.0
        self._clock = clock
        self._threshold = threshold_s
        self._beat_s = threshold_s / 4
        self._on_stall = on_stall
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._loop_thread = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wanted = False
        self._stopping = False
        # written by the loop alone and read by the thread: when the next beat is due; None while nobody watches
        self._due: float | None = None
        self._wake = threading.Event()

    # -- on the loop

    def start(self) -> None:
        """Watch the running loop; harmless when it is watched already. Call `stop` before the loop ends."""
        loop = asyncio.get_running_loop()
        if self._thread is not None or _is_virtual(self._clock, loop):
            return
        self._loop, self._loop_thread = loop, threading.get_ident()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="patter stall monitor", daemon=True)
        self._thread.start()
        if self._wanted:
            self._beat()

    def stop(self) -> None:
        """End the thread; harmless when there is none."""
        thread, self._thread = self._thread, None
        self._disarm()
        if thread is None:
            return
        self._stopping = True
        self._wake.set()
        thread.join(STOP_S)
        self._loop = None

    def watch(self) -> None:
        """Calls are up: from now on the loop must not stand still."""
        if not self._wanted:
            self._wanted = True
            if self._thread is not None:
                self._beat()

    def rest(self) -> None:
        """No call is up: it may."""
        self._wanted = False
        self._disarm()

    def _beat(self) -> None:
        assert self._loop is not None
        asleep = self._due is None
        self._due = self._clock.monotonic() + self._beat_s
        self._timer = self._loop.call_later(self._beat_s, self._beat)
        if asleep:
            self._wake.set()

    def _disarm(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- in the thread

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        while not self._stopping and not loop.is_closed():
            due = self._due
            if due is None:
                self._sleep(None)
                continue
            left = due + self._threshold - self._clock.monotonic()
            if left > 0:
                self._sleep(left)
            elif loop.is_running():
                self._stalled(loop, due)
            else:
                self._sleep(self._threshold)  # between two runs of one loop nothing can stall

    def _sleep(self, seconds: float | None) -> None:
        """Wait; less when the loop has something to say. The caller looks at everything again."""
        self._wake.wait(seconds)
        self._wake.clear()

    def _stalled(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        """The beat of `due` has not come: report it now, while it lasts, and again when it is over."""
        stack = blocking_stack(self._loop_thread)
        late = self._clock.monotonic() - due
        logger.warning(
            "the event loop stands still for %.0f ms already; every call waits for %s%s",
            late * 1000,
            stack.who,
            Lines(stack.lines),
        )
        while self._due == due and not self._stopping and not loop.is_closed():
            self._sleep(self._beat_s)
        beat = self._due
        ended = self._clock.monotonic() if beat is None else beat - self._beat_s
        stall = Stall(stack.who, stack.lines, ended - due)
        self.stalls += 1
        self.longest_s = max(self.longest_s, stall.duration_s)
        logger.warning(
            "the event loop goes on after %.0f ms; it had waited for %s", stall.duration_s * 1000, stall.who
        )
        if self._on_stall is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._on_stall, stall)


def _is_virtual(clock: Clock, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether time is a test's: a clock that is not the system's, or a loop whose clock can be held."""
    return not isinstance(clock, SystemClock) or hasattr(loop, "hold_clock")
