"""Reads off a thread's stack who keeps it from going on: which hook of which plugin, which strategy, which tool.

Nothing is noted while code runs, so naming costs a call nothing: the places through which Patter calls foreign code
are known, and their local variables say on whose behalf they were called. That holds for coroutines too, because a
coroutine that runs has those that await it below it on the stack.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

from patter.call.events import EventStream
from patter.call.guarded_strategy import GuardedStrategy
from patter.call.tool_running import ToolRunner
from patter.plugins import HookDispatcher

#: frames of a stack that are kept, the innermost ones
FRAMES = 40

#: where an event loop hands over to what it runs; all above is the same for every stack
_LOOP_FRAMES = frozenset(
    {
        ("asyncio.events", "_run"),
        ("asyncio.base_events", "_run_once"),
        ("asyncio.base_events", "run_forever"),
        ("asyncio.runners", "run"),
    }
)

#: the places through which foreign code is called, and what their local variables tell
_PLACES: dict[CodeType, Callable[[Mapping[str, Any]], str]] = {
    HookDispatcher._ask.__code__: lambda names: (
        f"hook {names['hook']} of plugin {names['impl'].plugin_name!r}"
    ),
    GuardedStrategy.evaluate.__code__: lambda names: f"barge-in strategy {names['self'].name}",
    GuardedStrategy.reset.__code__: lambda names: f"reset() of barge-in strategy {names['self'].name}",
    ToolRunner._call.__code__: lambda names: f"tool {names['tool'].name}",
    EventStream.emit.__code__: lambda names: f"a subscriber of {names['event']}",
    EventStream._wait.__code__: lambda names: f"a subscriber of {names['event']}",
}


@dataclass(frozen=True, slots=True)
class BlockingStack:
    """What a thread was doing.

    `who` is for people. `lines` is the stack as Python prints it, the innermost call last; empty when no code was
    running, because the thread was waiting for events.
    """

    who: str
    lines: str


def blocking_stack(thread: int) -> BlockingStack:
    """What the thread with that identifier (`threading.get_ident`) is doing right now."""
    frames: list[tuple[FrameType, int]] = []
    frame = sys._current_frames().get(thread)
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    frames.reverse()
    running = _below_the_loop(frames)
    if all(_module(frame) in ("selectors", "asyncio.selector_events") for frame, _ in running):
        return BlockingStack("no code of this process: it was suspended, or the machine is overloaded", "")
    shown = traceback.StackSummary.extract(iter(running[-FRAMES:]))
    return BlockingStack(_who([frame for frame, _ in running]), "".join(shown.format()).rstrip())


def _below_the_loop(frames: list[tuple[FrameType, int]]) -> list[tuple[FrameType, int]]:
    for index in range(len(frames) - 1, -1, -1):
        frame = frames[index][0]
        if (_module(frame), frame.f_code.co_name) in _LOOP_FRAMES:
            return frames[index + 1 :]
    return frames


def _who(frames: Sequence[FrameType]) -> str:
    """The innermost known place; else the innermost code that belongs to a plugin; else the innermost code."""
    for frame in reversed(frames):
        tell = _PLACES.get(frame.f_code)
        if tell is not None:
            return tell(frame.f_locals)
    for frame in reversed(frames):
        module = _module(frame)
        if frame.f_code.co_name.startswith("patter_"):
            return f"hook {frame.f_code.co_name} in {module}"
        if module.startswith("patter_"):
            return f"{frame.f_code.co_qualname} in plugin module {module}"
    innermost = frames[-1]
    return f"{innermost.f_code.co_qualname} in {_module(innermost)}"


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))
