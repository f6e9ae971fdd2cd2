"""The tasks of one call. Bodies let no exception out: a failure becomes one event (LC-12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any

logger = logging.getLogger(__name__)


class CallTasks:
    """Named tasks that end with the call; a name stands for the task that was started last under it.

    Each is started inside of `inside()`, for it may be another call's step in which it is.
    """

    def __init__(
        self,
        call_id: str,
        failed: Callable[[str, Exception], None],
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._call_id = call_id
        self._failed = failed
        self._inside = inside
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._latest: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, body: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a body until it returns; an exception is reported as a failure of `name`."""
        with self._inside():
            task = asyncio.get_running_loop().create_task(
                self._supervise(name, body), name=f"{self._call_id} {name}"
            )
        self._tasks[task] = name
        self._latest[name] = task
        task.add_done_callback(self._forget)
        # A task that is cancelled before its first step has not begun its body.
        task.add_done_callback(lambda _: body.close())
        return task

    async def _supervise(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        try:
            await body
        except Exception as error:
            self._failed(name, error)

    def _forget(self, task: asyncio.Task[None]) -> None:
        name = self._tasks.pop(task)
        if self._latest.get(name) is task:
            del self._latest[name]

    def cancel(self, name: str) -> None:
        """Cancel a task by name; harmless when it has ended."""
        task = self._latest.get(name)
        if task is not None:
            task.cancel()

    def running(self) -> tuple[str, ...]:
        """Names of the tasks that have not ended."""
        return tuple(self._tasks.values())

    async def finish(self, within_s: float) -> None:
        """Let all come to their end, at most that long."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=within_s)

    async def close(self, within_s: float) -> tuple[str, ...]:
        """Cancel all; returns the names of those that did not end in time."""
        current = asyncio.current_task()
        waiting = {task: name for task, name in self._tasks.items() if task is not current}
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(tuple(waiting), timeout=within_s)
        return tuple(name for task, name in waiting.items() if not task.done())
