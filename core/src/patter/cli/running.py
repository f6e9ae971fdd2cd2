"""What commands that run for long have in common: the event loop, being told to stop, and saying what takes its time."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType, TracebackType
from typing import Any, Self

from patter.errors import ConfigError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NO_ADDRESS = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
#: what takes longer is talked about, in s
QUIET_S = 1.0


class StopSignals:
    """SIGINT (Ctrl-C) and SIGTERM while the ``with`` block runs on the event loop.

    The first one sets `requested`. A second one ends the process at once, with the exit code that shells give it: by
    then an orderly end is under way, and somebody does not want to wait for it.
    """

    def __init__(self) -> None:
        self.requested = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._seen = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        # Python's own handlers rather than the loop's: they exist on every system, and a loop that hangs does not
        # keep the second signal out.
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, _: FrameType | None) -> None:
        if self._seen:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(128 + number)
        self._seen = True
        self._loop.call_soon_threadsafe(self.requested.set)


async def wait_aloud(line: Callable[[], str], *works: asyncio.Future[Any], every_s: float = QUIET_S) -> None:
    """Wait until one of `works` is done, whatever came of it; say `line()` after a second and then every `every_s`."""
    wait_s = QUIET_S
    while not (await asyncio.wait(works, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED))[0]:
        say(line())
        wait_s = every_s


def say(text: str) -> None:
    """One line of progress on stderr, so that stdout has results alone."""
    print(text, file=sys.stderr, flush=True)


def run_on_loop(main: Callable[[], Coroutine[Any, Any, int]], *, uvloop: bool) -> int:
    """Run `main` on a new event loop, uvloop's if asked for.

    Raises:
        ConfigError: uvloop is not installed, or the address to listen on cannot be had.
    """
    factory = None
    if uvloop:
        try:
            import uvloop as installed
        except ImportError:
            raise ConfigError("--uvloop: it is not installed: pip install uvloop") from None
        factory = installed.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        try:
            return runner.run(main())
        except OSError as error:
            # With a file name it is about a file, not about an address.
            if error.errno not in _NO_ADDRESS or error.filename is not None:
                raise
            raise ConfigError(
                f"{error.strerror or error}; choose another one with --host or --port"
            ) from error
