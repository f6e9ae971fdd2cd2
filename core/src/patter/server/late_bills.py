"""Asks vendors after calls what they billed, until they know or it is no use any more (CO-08).

It has no task of its own: whoever looks after the phone's calls now and then calls `look()`. Nothing that goes wrong
here changes anything: the figures that are there stay.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from patter.providers.billing import ReportedBill

logger = logging.getLogger(__name__)

#: when a vendor is asked, at the earliest, in s after the call's end
ASK_AFTER_S: Final = (5.0, 30.0, 120.0, 600.0, 3600.0)
#: what the questions of one look may take together, in s
ASK_S: Final = 10.0
#: questions at a time
MOST_AT_ONCE: Final = 8
#: calls whose vendors are still to be asked; of more the oldest are given up
MOST_EXPECTED: Final = 1000

Ask = Callable[[], Awaitable[ReportedBill | None]]
Told = Callable[[ReportedBill], None]


@dataclass(slots=True)
class _Expected:
    ask: Ask
    told: Told
    ended_t: float
    times: int = 0

    @property
    def due(self) -> float:
        return self.ended_t + ASK_AFTER_S[self.times]


class LateBills:
    """The bills of one phone that are still to come."""

    def __init__(self) -> None:
        self._expected: deque[_Expected] = deque(maxlen=MOST_EXPECTED)

    def __len__(self) -> int:
        """How many are expected."""
        return len(self._expected)

    def expect(self, ask: Ask, told: Told, t: float) -> None:
        """Ask from now on, which is monotonic `t`, in s; `told` gets each answer until one has an amount."""
        self._expected.append(_Expected(ask, told, t))

    async def look(self, t: float) -> None:
        """Ask for the bills that are due at monotonic `t`. Takes 10 s at most; no exception gets out."""
        due = [one for one in self._expected if one.due <= t]
        for one in due:
            self._expected.remove(one)
        questions = asyncio.Semaphore(MOST_AT_ONCE)
        limit = asyncio.get_running_loop().time() + ASK_S

        async def ask(one: _Expected) -> None:
            async with questions:
                in_time = asyncio.get_running_loop().time() < limit  # else it is asked at the next look
                known = in_time and await _known(one, limit)
            one.times += in_time
            if not known and one.times < len(ASK_AFTER_S):
                self._expected.append(one)

        await asyncio.gather(*(ask(one) for one in due))

    def clear(self) -> None:
        """Ask nobody any more."""
        self._expected.clear()


async def _known(expected: _Expected, limit: float) -> bool:
    """Whether the vendor told the amount, before that moment of the loop's clock."""
    try:
        async with asyncio.timeout_at(limit):
            bill = await expected.ask()
        if bill is None:
            return False
        for figure in (bill.seconds, bill.amount):
            if figure is not None and not (math.isfinite(figure) and figure >= 0):
                raise ValueError("a bill with a figure that is none")
        expected.told(bill)
    except Exception as error:
        logger.debug("a vendor's bill could not be had: %s", type(error).__name__)
        return False
    return bill.amount is not None
