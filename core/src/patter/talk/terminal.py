"""Lines that somebody types at a terminal, without keeping the event loop waiting."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress


class TerminalLines:
    """Reads standard input in a thread of its own, which does not keep the process alive."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None

    async def read(self) -> str | None:
        """The next line; None at the end of the input."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="patter terminal", daemon=True)
            self._thread.start()
        return await self._lines.get()

    def _run(self) -> None:
        for line in sys.stdin:
            self._put(line)
        self._put(None)

    def _put(self, line: str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._lines.put_nowait, line)
