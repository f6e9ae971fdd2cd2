"""The teardown ledger: everything a call opens is entered when it is made and released exactly once.

Whichever of hang-up, socket drop, status callback, crash or shutdown comes first, `close_all` releases what is left,
newest first, each within its own time. What did not come free is a leak and is named in the call's summary.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

#: `close()` of a provider ends within this (LC-09), in s
CLOSE_S = 1.0


@dataclass(slots=True, eq=False)
class LedgerEntry:
    """One open thing."""

    name: str
    release: Callable[[], Awaitable[None] | None]
    released: bool = False


class Ledger:
    """What one call has open."""

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []

    def enter(self, name: str, release: Callable[[], Awaitable[None] | None]) -> LedgerEntry:
        """Note that something is open and how to release it."""
        entry = LedgerEntry(name, release)
        self._entries.append(entry)
        return entry

    async def release(self, entry: LedgerEntry) -> None:
        """Release one entry now; harmless when that has happened."""
        if entry.released:
            return
        entry.released = True
        result = entry.release()
        if result is not None:
            async with asyncio.timeout(CLOSE_S):
                await result
        self._entries.remove(entry)

    async def close_all(self) -> None:
        """Release everything, newest first; a failure is logged and hinders nothing."""
        for entry in reversed(self._entries.copy()):
            try:
                await self.release(entry)
            except TimeoutError:
                logger.warning("%s did not close within %.0f s", entry.name, CLOSE_S)
            except Exception:
                logger.exception("closing %s failed", entry.name)

    def open(self) -> tuple[str, ...]:
        """Names of what is still open."""
        return tuple(entry.name for entry in self._entries)
