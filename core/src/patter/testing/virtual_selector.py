"""The selector of the virtual loop: the only place where its time moves."""

from __future__ import annotations

import selectors
from collections.abc import Callable, Mapping
from typing import Any


class JumpingSelector(selectors.BaseSelector):
    """The platform's selector, except that a wait becomes a jump of the loop's clock.

    asyncio calls `select` once per pass of the loop: with 0 when callbacks are ready and, because the timers are
    the virtual loop's own and unknown to asyncio, with None when none are.

    Args:
        advance: is called after each poll, with True if something is ready; moves the clock if it likes, and
            returns the seconds of real time to wait for descriptors, mostly 0.
        give_up: is called with that wait if nothing came of it; raises.
    """

    def __init__(self, advance: Callable[[bool], float], give_up: Callable[[float], None]) -> None:
        self._advance = advance
        self._give_up = give_up
        self._selector = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Poll; then move the clock, or wait in real time, as the loop says."""
        events = self._selector.select(0)
        real_wait_s = self._advance(bool(events) or timeout == 0)
        if real_wait_s > 0:
            events = self._selector.select(real_wait_s)
            if not events:
                self._give_up(real_wait_s)
        return events

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the platform's selector does."""
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As the platform's selector does."""
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As the platform's selector does."""
        return self._selector.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """As the platform's selector does."""
        return self._selector.get_map()

    def close(self) -> None:
        """As the platform's selector does."""
        self._selector.close()
