"""Waiting that ends at once when the reply is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """The reply was cancelled by its event."""


class Interruptible:
    """Waits for one thing at a time, but no longer than until `event` is set. A context manager."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event
        self._watch: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.get_running_loop().create_task(self._event.wait(), name="openai cancel")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._watch is not None
        self._watch.cancel()
        await asyncio.wait({self._watch})

    @property
    def is_cancelled(self) -> bool:
        """Whether the event is set."""
        return self._event.is_set()

    async def wait(self, work: Coroutine[Any, Any, T], deadline: float) -> T:
        """The result of `work`. Whatever ends the waiting, `work` has ended when this returns.

        Raises:
            Cancelled: the event was set first.
            TimeoutError: the loop's time reached `deadline` first.
        """
        loop = asyncio.get_running_loop()
        assert self._watch is not None
        task = loop.create_task(work)
        try:
            await asyncio.wait(
                {task, self._watch},
                timeout=max(0.0, deadline - loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._event.is_set():
                raise Cancelled
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()
