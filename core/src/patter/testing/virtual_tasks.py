"""Tasks of the virtual loop: the same order in every run, and told apart in an error message."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from pathlib import PurePath
from typing import Any, TypeVar

T = TypeVar("T")


class NumberedTask(asyncio.Task[T]):
    """A task that hashes by its number, so that a set of tasks is walked in the same order in every run.

    asyncio keeps tasks in sets (a `TaskGroup` cancels its children in the order of one), and an ordinary task
    hashes by its address, which differs from run to run.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], *, number: int, **options: Any) -> None:
        #: Counts from 1 in each loop. Set first: asyncio puts the task into a set while it is made.
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number


def in_order(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """`tasks` in the order they were made; those made without the task factory come first, by name."""
    return sorted(
        tasks, key=lambda task: (task.number if isinstance(task, NumberedTask) else 0, task.get_name())
    )


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Tasks in order, each as ``'name' function (file:line)`` with the line where it waits."""
    return ", ".join(map(_describe, in_order(tasks)))


def _describe(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    function = getattr(coroutine, "__qualname__", repr(coroutine))
    frames = task.get_stack(limit=1)
    where = f" ({PurePath(frames[0].f_code.co_filename).name}:{frames[0].f_lineno})" if frames else ""
    return f"{task.get_name()!r} {function}{where}"
