"""Running the tools of one call: deadlines, retries, threads, and results that come late (TL-02, TL-05, TL-08, TL-09).

A tool runs in a task of its own, so that an interruption of the agent does not stop it half-way: whoever waited is
released at once, and the result is handed to `on_late` when it comes. A model that calls such a tool again, with the same
arguments, gets the result of the run that is under way.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import os.path
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeVar

from patter.call.builtin_tools import CallActions, bind_builtin_tools
from patter.call.circuit_breaker import CircuitBreakers, Refusal
from patter.call.tool_results import error_text, read_json_arguments, result_text
from patter.call.tool_rounds import LeftRounds, Round
from patter.call.types import ToolResult
from patter.call.webhook_tool import WebhookTools
from patter.errors import ConfigError, InputError
from patter.redaction import redact

if TYPE_CHECKING:
    from patter.call.mcp_tools import MCPTools
    from patter.environment import Environment
    from patter.providers.llm import ToolCall, ToolSpec
    from patter.tools import Handler, Reassurance, Tool

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: tries of a failing tool (TL-02)
ATTEMPTS: Final = 3
_FIRST_DELAY_S: Final = 0.5
_LONGEST_DELAY_S: Final = 5.0
_JITTER_S: Final = 0.06
#: name of the task that waits for all tools of a round
_ROUND: Final = "tools"
#: pieces of user code of one call that run at a time (TL-09)
USER_CODE_LIMIT: Final = 8


class _ToolFailed(Exception):
    """A tool that gave no result; the text is fit for the model and for logs."""


class _LeftAlone(Exception):
    """A tool that has failed too often of late."""

    def __init__(self, name: str, retry_after_ms: int) -> None:
        super().__init__(f"{name} is not available for the moment")
        self.retry_after_ms = retry_after_ms


class ToolRunner:
    """Runs the tools of one call.

    Args:
        tools: the agent's tools.
        environment: the source of the jitter and of durations.
        limit: how many tools run at a time, or a semaphore shared with the call's other user code.
        call_object: given to handlers with a parameter named `call`.
        actions: what the built-in tools do; None leaves them out.
        on_late: called with calls and results that came after `run` or `run_all` had been cancelled.
        breakers: of tools that fail again and again, shared with other calls; of this call alone when None.

    Raises:
        ConfigError: two tools have one name.
    """

    def __init__(  # noqa: PLR0913 - what a call gives to its tools, spelt out
        self,
        tools: Sequence[Tool],
        *,
        environment: Environment,
        limit: int | asyncio.Semaphore = USER_CODE_LIMIT,
        call_object: Any = None,
        actions: CallActions | None = None,
        on_late: Callable[[Sequence[ToolCall], Sequence[ToolResult]], None] | None = None,
        breakers: CircuitBreakers | None = None,
    ) -> None:
        builtin = bind_builtin_tools(actions) if actions is not None else []
        self._builtin = frozenset(tool.name for tool in builtin)
        self._tools: dict[str, Tool] = {}
        self.add((*tools, *builtin))
        self._environment = environment
        self._slots = limit if isinstance(limit, asyncio.Semaphore) else asyncio.Semaphore(limit)
        self._thread_limit = limit if isinstance(limit, int) else USER_CODE_LIMIT
        self._threads: ThreadPoolExecutor | None = None
        self._call_object = call_object
        self._on_late = on_late
        self._breakers = CircuitBreakers() if breakers is None else breakers
        self._webhooks = WebhookTools(call_object)
        self._mcp: MCPTools | None = None
        self._left = LeftRounds()
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, tools: Sequence[Tool]) -> None:
        """Add tools, all or none. Raises `ConfigError` when a name is taken."""
        added: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._tools or tool.name in added:
                raise ConfigError(f"two tools are called {tool.name!r}; rename one of them")
            added[tool.name] = tool
        self._tools.update(added)

    def list_servers(self, servers: MCPTools) -> None:
        """Have the tools of the call's MCP servers listed; `close` ends their sessions."""
        self._mcp = servers
        self._start("MCP servers", servers.list_all())

    @property
    def specs(self) -> list[ToolSpec]:
        """All tools as shown to the model: the agent's, the built-in ones, and what was added since."""
        return [tool.spec for tool in self._tools.values()]

    @property
    def busy(self) -> bool:
        """Whether a round of tools is at work."""
        return any(task.get_name() == _ROUND for task in self._tasks)

    def reassurances(self, calls: Sequence[ToolCall]) -> list[Reassurance]:
        """What to say while these run, each at its time, the earliest first (RT-21)."""
        tools = (self._tools.get(call.name) for call in calls)
        found = {tool.name: tool.reassurance for tool in tools if tool is not None}
        return sorted(filter(None, found.values()), key=lambda one: one.after_ms)

    async def run(self, call: ToolCall, call_object: Any = None) -> ToolResult:
        """Run one tool; see `run_all`."""
        return (await self._outlive([call], call_object))[0]

    async def run_all(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run tools side by side; their results in the order of the calls.

        Never raises for what a tool does: its failure is a result. Cancelling this leaves the tools at work; their
        results then go to `on_late`, all of them together, but for those that a later call with the same arguments took
        over.
        """
        return await self._outlive(calls, None)

    async def close(self, within_s: float = 1.0) -> tuple[str, ...]:
        """Cancel what still runs; the names of tools that did not end within that time. No result is delivered."""
        self._on_late = None
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
        # side by side: a handler that ignores its cancellation keeps no connection open
        closing = [self._webhooks.close(), *([] if self._mcp is None else [self._mcp.close()])]
        await asyncio.gather(_ended(tasks, within_s), *closing)
        return tuple(sorted(task.get_name() for task in tasks if not task.done()))

    # -- one round

    async def _outlive(self, calls: Sequence[ToolCall], call_object: Any) -> list[ToolResult]:
        target = call_object if call_object is not None else self._call_object
        together = Round(calls, [self._left.take_over(call) or self._begin(call, target) for call in calls])
        task = self._start(_ROUND, together.results())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._left.leave(together)
            task.add_done_callback(lambda done: self._deliver_late(together, done))
            raise

    def _begin(self, call: ToolCall, call_object: Any) -> asyncio.Task[ToolResult]:
        return self._start(call.name, self._one(call, call_object))

    def _deliver_late(self, together: Round, done: asyncio.Task[list[ToolResult]]) -> None:
        self._left.forget(together)
        if self._on_late is None or done.cancelled() or done.exception() is not None:
            return
        wanted = together.wanted(done.result())
        if wanted:
            self._on_late([call for call, _ in wanted], [result for _, result in wanted])

    async def _one(self, call: ToolCall, call_object: Any) -> ToolResult:
        started = self._now_ms()
        arguments: Mapping[str, Any] = {}

        def finished(text: str, error: str | None = None) -> ToolResult:
            return ToolResult(call.id, call.name, arguments, text, error, self._now_ms() - started)

        def refused(problem: object) -> ToolResult:
            return finished(error_text(problem), redact(problem))

        tool = self._tools.get(call.name)
        if tool is None:
            return refused(f"there is no tool {call.name!r}")
        try:
            arguments = read_json_arguments(call.arguments)
            values = tool.read_arguments(arguments)
        except ValueError as error:
            return refused(error)
        if tool.wants_call:
            values["call"] = call_object
        try:
            return finished(await self._unless_left_alone(tool, values))
        except InputError as error:
            return refused(error)
        except _LeftAlone as error:
            told = error_text(error, fallback=True, retry_after_ms=error.retry_after_ms)
            return finished(told, redact(error))
        except (_ToolFailed, TimeoutError, TypeError, ValueError) as error:
            problem = "timeout" if isinstance(error, TimeoutError) else error
            return finished(error_text(problem, fallback=True), redact(problem))

    async def _unless_left_alone(self, tool: Tool, values: dict[str, Any]) -> str:
        """The tool's result, unless its breaker is open (TL-04). What every agent has is always there."""
        if tool.name in self._builtin:
            return result_text(await self._within_deadline(tool, values))
        breaker = self._breakers.of(tool)
        leave = breaker.ask(self._now_ms())
        if isinstance(leave, Refusal):
            raise _LeftAlone(tool.name, leave.retry_after_ms)
        try:
            text = result_text(await self._within_deadline(tool, values))
        except asyncio.CancelledError:
            breaker.given_up(leave)
            raise
        except Exception:
            breaker.failed(leave, self._now_ms())
            raise
        breaker.succeeded(leave)
        return text

    async def _within_deadline(self, tool: Tool, values: dict[str, Any]) -> Any:
        """The tool's value. What runs past the deadline is cancelled and not waited for: it may ignore that."""
        work = self._start(tool.name, self._attempts(tool, values))
        try:
            done, _ = await asyncio.wait({work}, timeout=tool.timeout_s)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if done:
            return work.result()
        work.cancel()
        logger.warning("tool %s gave no result within %g s", tool.name, tool.timeout_s)
        raise TimeoutError

    # -- one tool

    async def _attempts(self, tool: Tool, values: dict[str, Any]) -> Any:
        attempts = 1 if tool.name in self._builtin else ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                return await self._call(tool, values, attempt)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                problem: BaseException = error  # the handler's own affair, not ours
            except Exception as error:
                if isinstance(error, InputError) and tool.name in self._builtin:
                    raise
                if isinstance(error, InputError) and tool.handler is None:
                    raise _ToolFailed(_described(error)) from None  # an address that is refused stays so
                problem = error
            text = _described(problem)
            logger.warning(
                "tool %s failed, attempt %d of %d: %s (%s)",
                tool.name,
                attempt,
                attempts,
                text,
                _place(problem),
            )
            if attempt < attempts:
                delay = min(_FIRST_DELAY_S * 2 ** (attempt - 1), _LONGEST_DELAY_S)
                await asyncio.sleep(delay + self._environment.random.uniform(0, _JITTER_S))
        raise _ToolFailed(text)

    async def _call(self, tool: Tool, values: dict[str, Any], attempt: int) -> Any:
        handler = tool.handler
        if handler is None:
            async with self._slots:
                return await self._webhooks.ask(tool, values, attempt)
        if not _is_async(handler):
            return await self._finish(await self._call_in_thread(handler, values))
        async with self._slots:
            return await self._finish(handler(**values))

    async def _call_in_thread(self, handler: Handler, values: dict[str, Any]) -> Any:
        """Run a plain function in a thread. It cannot be stopped, so it keeps its slot until it returns (TL-09)."""
        await self._slots.acquire()
        try:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._thread_limit, thread_name_prefix="patter-tool")
            job = functools.partial(contextvars.copy_context().run, handler, **values)
            future = asyncio.get_running_loop().run_in_executor(self._threads, job)
        except BaseException:
            self._slots.release()
            raise
        future.add_done_callback(self._thread_ended)
        return await asyncio.shield(future)

    def _thread_ended(self, future: asyncio.Future[Any]) -> None:
        self._slots.release()
        if not future.cancelled():
            future.exception()  # a failure after the deadline is nobody's any more

    async def _finish(self, value: Any) -> Any:
        """The value behind what a handler returned: an awaitable or an async generator."""
        if inspect.isasyncgen(value):
            return await _last_result(value)
        return await value if inspect.isawaitable(value) else value

    def _now_ms(self) -> float:
        return self._environment.clock.monotonic() * 1000

    def _start(self, name: str, body: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(body, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a failure after the deadline is nobody's any more


async def _ended(tasks: set[asyncio.Task[Any]], within_s: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=within_s)


async def _last_result(steps: Any) -> Any:
    """The result of a generator that reports progress on the way (TL-05)."""
    async with aclosing(steps):
        async for step in steps:
            if isinstance(step, Mapping) and "result" in step:
                return step["result"]
            if not isinstance(step, Mapping) or "progress" not in step:
                raise TypeError('a tool that yields must yield {"progress": ...} or {"result": ...}')
    raise RuntimeError('the tool ended without a {"result": ...}')


def _is_async(handler: Any) -> bool:
    """Whether calling the handler only makes a coroutine or async generator, and so blocks nothing."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not inspect.isroutine(handler):
        handler = type(handler).__call__
    return inspect.iscoroutinefunction(handler) or inspect.isasyncgenfunction(handler)


def _described(error: BaseException) -> str:
    text = str(error)
    return redact(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def _place(error: BaseException) -> str:
    """File and line of the failure. A whole traceback would quote the exception's text, secrets and all."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else "unknown"
