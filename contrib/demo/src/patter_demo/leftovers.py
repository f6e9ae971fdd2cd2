"""What a conversation left behind in this process: tasks that still run and sockets that are still open."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass

#: how long closing may take after everything was told to close, in s
GRACE_S = 2.0
STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is open at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    sockets: frozenset[tuple[int, int]]

    @classmethod
    def take(cls) -> Inventory:
        """Now, in the running loop."""
        return cls(frozenset(asyncio.all_tasks()), _sockets())


def _sockets() -> frozenset[tuple[int, int]]:
    """Descriptor and inode of every open socket; empty where the system does not tell."""
    found = set()
    try:
        names = os.listdir("/dev/fd")
    except OSError:
        return frozenset()
    for name in names:
        try:
            status = os.fstat(int(name))
        except (OSError, ValueError):
            continue  # the directory's own descriptor, closed by now
        if stat.S_ISSOCK(status.st_mode):
            found.add((int(name), status.st_ino))
    return frozenset(found)


async def left_over(before: Inventory) -> list[str]:
    """What is open beyond `before` once `GRACE_S` have passed, at once when that is nothing."""
    for _ in range(round(GRACE_S / STEP_S)):
        if not _described(before):
            break
        await asyncio.sleep(STEP_S)
    return _described(before)


def _described(before: Inventory) -> list[str]:
    now = Inventory.take()
    tasks = [f"task {task.get_name()}" for task in now.tasks - before.tasks if not task.done()]
    sockets = [f"socket {descriptor}" for descriptor, _ in now.sockets - before.sockets]
    return sorted([*tasks, *sockets])
