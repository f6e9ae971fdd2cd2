"""A runner of tools in virtual time."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any

from patter.call.tool_running import ToolRunner
from patter.environment import Environment
from patter.providers.llm import ToolCall
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter.tools import Tool, tool


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        run_virtual(test())

    del run.__wrapped__  # pytest would see the coroutine function
    return run


def runner(*tools: Tool, **options: Any) -> ToolRunner:
    environment = Environment.seeded(1, VirtualClock(asyncio.get_running_loop()))
    return ToolRunner(tools, environment=environment, **options)


def calling(name: str, arguments: Any = None, call_id: str = "c1") -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return ToolCall(call_id, name, text)


def now() -> float:
    return asyncio.get_running_loop().time()


@tool
async def hours(day: str) -> str:
    """Opening hours."""
    await asyncio.sleep(0.25)
    return f"{day}: 9 to 5"


async def nothing_to_do(_: str) -> None: ...
