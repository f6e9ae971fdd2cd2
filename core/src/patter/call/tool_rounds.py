"""The tool calls of one answer of the model, and those whose answer was interrupted while they ran (TL-08)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.types import ToolResult
    from patter.providers.llm import ToolCall

_Key = tuple[str, str]


class Round:
    """Calls that run side by side, each with the task that gives its result."""

    def __init__(self, calls: Sequence[ToolCall], tasks: Sequence[asyncio.Task[ToolResult]]) -> None:
        self.calls = tuple(calls)
        self.tasks = tuple(tasks)
        self.taken_over: set[int] = set()

    async def results(self) -> list[ToolResult]:
        """The results in the order of the calls, each under the id of its call."""
        return [replace(await task, id=call.id) for call, task in zip(self.calls, self.tasks, strict=True)]

    def wanted(self, results: Sequence[ToolResult]) -> list[tuple[ToolCall, ToolResult]]:
        """Calls and results but for those that another round took over."""
        pairs = zip(self.calls, results, strict=True)
        return [pair for place, pair in enumerate(pairs) if place not in self.taken_over]


class LeftRounds:
    """Rounds that nobody waits for while their tools still run."""

    def __init__(self) -> None:
        self._running: dict[_Key, tuple[Round, int]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def leave(self, together: Round) -> None:
        """Nobody waits for a round any more."""
        for place, (call, task) in enumerate(zip(together.calls, together.tasks, strict=True)):
            if not task.done():
                self._running[_key(call)] = (together, place)

    def take_over(self, call: ToolCall) -> asyncio.Task[ToolResult] | None:
        """The task of the same tool with the same arguments, which then delivers to this call alone."""
        found = self._running.pop(_key(call), None)
        if found is None:
            return None
        together, place = found
        if together.tasks[place].done():
            return None
        together.taken_over.add(place)
        return together.tasks[place]

    def forget(self, together: Round) -> None:
        """The round is over."""
        self._running = {key: found for key, found in self._running.items() if found[0] is not together}


def _key(call: ToolCall) -> _Key:
    """The tool and its arguments, however they are laid out."""
    try:
        return call.name, json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError, TypeError):
        return call.name, call.arguments
