"""The tasks of one call. Bodies let no exception out: a failure becomes one event (LC-12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class CallTasks:
    """Named tasks that end with the call."""

    def __init__(self, call_id: str, failed: Callable[[str, Exception], None]) -> None:
        self._call_id = call_id
        self._failed = failed
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, body: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a body until it returns; an exception is reported as a failure of `name`."""
        task = asyncio.get_running_loop().create_task(
            self._supervise(name, body), name=f"{self._call_id} {name}"
        )
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._forget(name, done))
        return task

    async def _supervise(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        try:
            await body
        except Exception as error:
            self._failed(name, error)

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is task:
            del self._tasks[name]

    def cancel(self, name: str) -> None:
        """Cancel a task by name; harmless when it has ended."""
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()

    def running(self) -> tuple[str, ...]:
        """Names of the tasks that have not ended."""
        return tuple(self._tasks)

    async def finish(self, within_s: float) -> None:
        """Let all come to their end, at most that long."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=within_s)

    async def close(self, within_s: float) -> tuple[str, ...]:
        """Cancel all; returns the names of those that did not end in time."""
        tasks = dict(self._tasks)
        current = asyncio.current_task()
        waiting = [task for task in tasks.values() if task is not current]
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting, timeout=within_s)
        return tuple(name for name, task in tasks.items() if task is not current and not task.done())
