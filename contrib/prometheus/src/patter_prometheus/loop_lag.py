"""How late the event loop is: every call waits for what keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

#: how often it is measured, in s
PERIOD_S: Final = 0.5


class LoopLag:
    """Tells how much later than asked a timer of the running loop comes, in s, as long as it runs."""

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measure on the running loop; harmless when it does already."""
        if self._timer is None:
            self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + PERIOD_S
        self._timer = loop.call_at(due, self._due, loop, due)

    def _due(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._tell(max(0.0, loop.time() - due))
        self._arm(loop)
