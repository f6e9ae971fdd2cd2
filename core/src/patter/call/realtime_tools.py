"""The tools of a call with an engine: run when it calls them, and answered all at once (RT-20, RT-21)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from patter.providers.llm import Message

if TYPE_CHECKING:
    from patter.call.mouth import SessionMouth
    from patter.call.tool_running import ToolRunner
    from patter.call.types import ToolResult
    from patter.plugins import HookDispatcher
    from patter.providers.llm import ToolCall

logger = logging.getLogger(__name__)

#: rounds of tools in one agent turn (LM-02)
MOST_ROUNDS = 10


class ToolTurns(Protocol):
    """What the tools need of the call."""

    def start_task(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        """Run beside the media until it returns."""

    def cancel_task(self, name: str) -> None:
        """Cancel a task; harmless when it has ended."""

    def reassure(self, turn: int, message: str) -> None:
        """Have the agent say this while the tools run."""

    def tools_finished(self, turn: int, results: Sequence[ToolResult]) -> None:
        """The results are here."""


class EngineTools:
    """Runs the engine's function calls. `running` is the agent turn that waits for some, or None."""

    def __init__(
        self,
        turns: ToolTurns,
        mouth: SessionMouth,
        runner: Callable[[], ToolRunner | None],
        hooks: HookDispatcher,
    ) -> None:
        self._turns = turns
        self._mouth = mouth
        self._runner = runner
        self._hooks = hooks
        self.running: int | None = None
        self.rounds = 0

    def start(self, turn: int, calls: Sequence[ToolCall]) -> None:
        """Run the calls of a response that is over, side by side."""
        self.running = turn
        self._turns.start_task(f"tools {turn}", self._run(turn, calls))

    def cancel(self, turn: int) -> None:
        """The turn was given up; tools that are at work go on, and their results come late (TL-08)."""
        if self.running == turn:
            self.running = None
            self._turns.cancel_task(f"tools {turn}")

    async def _run(self, turn: int, calls: Sequence[ToolCall]) -> None:
        runner = self._runner()
        results: list[ToolResult] = []
        if runner is not None:
            for call in calls:
                self._mouth.emit("tool_call_started", call)
            results = await self._with_reassurance(turn, runner, calls)
        if self._hooks.has("patter_tool_finished"):
            for result in results:
                await self._hooks.notify("patter_tool_finished", tool_call=result)
        messages = [Message("tool", result.result, tool_call_id=result.id) for result in results]
        self._mouth.tool_calls(turn, Message("assistant", "", tuple(calls)), messages)
        self.running = None
        self.rounds += 1
        self._turns.tools_finished(turn, results)

    async def _with_reassurance(
        self, turn: int, runner: ToolRunner, calls: Sequence[ToolCall]
    ) -> list[ToolResult]:
        work = asyncio.ensure_future(runner.run_all(calls))
        passed_s = 0.0
        try:
            for reassurance in runner.reassurances(calls):
                at_s = reassurance.after_ms / 1000
                done, _ = await asyncio.wait({work}, timeout=max(0.0, at_s - passed_s))
                if done:
                    break
                passed_s = max(passed_s, at_s)
                self._turns.reassure(turn, reassurance.message)
            return await work
        finally:
            if not work.done():
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
