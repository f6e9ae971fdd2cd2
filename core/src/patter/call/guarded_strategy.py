"""A barge-in strategy under watch: one that is slow three times in a call is asked no more (CF-10)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from patter.providers.barge_in import BargeInEvent, BargeInStrategy, Verdict

if TYPE_CHECKING:
    from patter.environment import Clock

logger = logging.getLogger(__name__)

SLOW_S = 0.005
SLOW_TIMES = 3


class GuardedStrategy(BargeInStrategy):
    """Measures each evaluation; sync code cannot be cut short, so it is muted afterwards and answers "not yet"."""

    def __init__(self, strategy: BargeInStrategy, name: str, clock: Clock) -> None:
        self._strategy = strategy
        self.name = name
        self._now = clock.monotonic
        self._slow = 0

    def evaluate(self, event: BargeInEvent) -> bool | Verdict:
        """The strategy's answer; its exceptions pass, for the machine names and counts them."""
        if self._slow >= SLOW_TIMES:
            return False
        began = self._now()
        try:
            return self._strategy.evaluate(event)
        except Exception:
            logger.error("barge-in strategy %s raised", self.name)
            raise
        finally:
            if self._now() - began > SLOW_S:
                self._slow += 1
                if self._slow == SLOW_TIMES:
                    logger.error(
                        "barge-in strategy %s took over 5 ms three times and is muted for this call",
                        self.name,
                    )

    def reset(self) -> None:
        """Pass it on; a strategy of another making may have none."""
        reset = getattr(self._strategy, "reset", None)
        if reset is not None:
            reset()
