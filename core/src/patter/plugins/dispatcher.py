"""Calls the asynchronous hooks: in order, within their budgets, each failure by the hook's policy.

Nothing here stops plain code: while a plain function runs, every call of the process waits. It is measured, and
muted for the call when it is slow too often.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patter.environment import Environment
from patter.errors import InternalError, PluginValidationError
from patter.plugins.hook_rules import ASYNC_HOOKS, DEFAULT_RULE, HookRule
from patter.plugins.muting import Muted, Muting

if TYPE_CHECKING:
    import pluggy

    from patter.plugins.scopes import HookScope

logger = logging.getLogger(__name__)


class CutOffError(TimeoutError):
    """An implementation that the total of its hook call left less time than its own budget, or none."""


@dataclass(frozen=True, slots=True)
class HookFailure:
    """An implementation that raised, ran out of time or answered what it may not."""

    hook: str
    plugin: str
    error: Exception


class HookDispatcher:
    """The asynchronous hooks of one call, or of the phone itself.

    Args:
        scopes: where implementations come from, the innermost first: call, agent, phone.
        environment: whose clock measures plain code.
        arguments: what every hook call gets beside its own arguments, usually ``{"call": call}``.
        on_failure: told of each failure, also of one that the policy "raise" passes on; what it raises passes to the
            caller.
        label: names the call in log lines.
    """

    def __init__(
        self,
        scopes: Sequence[HookScope],
        environment: Environment | None = None,
        *,
        arguments: Mapping[str, object] | None = None,
        on_failure: Callable[[HookFailure], None] | None = None,
        label: str = "",
    ) -> None:
        self._scopes = tuple(scopes)
        self._clock = (environment or Environment()).clock
        self._arguments = dict(arguments or {})
        self._on_failure = on_failure
        self._label = label
        self.muting = Muting(label)

    @property
    def muted(self) -> tuple[Muted, ...]:
        """What is no longer asked in this call."""
        return self.muting.muted

    def has(self, hook: str) -> bool:
        """Whether anything implements the hook. Ask first: then a hook without implementation makes no coroutine."""
        return any(scope.implementations(hook) for scope in self._scopes)

    def names(self, hook: str) -> tuple[str, ...]:
        """The plugins that implement the hook, in the order in which they are called."""
        found = (impl.plugin_name for scope in self._scopes for impl in scope.implementations(hook))
        return tuple(dict.fromkeys(found))

    async def notify(self, hook: str, **arguments: object) -> None:
        """Call every implementation, one after the other.

        Raises:
            Exception: what an implementation raised, where the policy of the hook is "raise"; of the others none.
            TimeoutError: the same, for one that ran out of time.
        """
        await self._run(hook, arguments, first=False)

    async def first(self, hook: str, **arguments: object) -> object | None:
        """Call implementations until one answers something other than None, and return that answer.

        Raises as `notify` does.
        """
        return await self._run(hook, arguments, first=True)

    async def _run(self, hook: str, own: Mapping[str, object], *, first: bool) -> object | None:
        found = [impl for scope in self._scopes for impl in scope.implementations(hook)]
        if not found:
            return None
        rule = ASYNC_HOOKS.get(hook, DEFAULT_RULE)
        arguments = {**self._arguments, **own}
        deadline = asyncio.get_running_loop().time() + rule.total_s
        for impl in found:
            if self.muting.is_muted(_key(impl, hook)):
                continue
            try:
                answer = await self._ask(impl, hook, arguments, deadline)
                if first and answer is not None:
                    _check_answer(answer, rule)
            except asyncio.CancelledError as error:
                if _cancelled_from_outside():
                    raise
                self._failed(impl, hook, _own_cancellation(error), rule)
            except Exception as error:
                self._failed(impl, hook, error, rule)
            else:
                self.muting.succeeded(_key(impl, hook))
                if first and answer is not None:
                    return answer
        return None

    async def _ask(
        self, impl: pluggy.HookImpl, hook: str, arguments: Mapping[str, object], deadline: float
    ) -> object:
        """One implementation's answer, within its budget and what is left of the total."""
        rule = ASYNC_HOOKS.get(hook, DEFAULT_RULE)
        loop = asyncio.get_running_loop()
        ends = loop.time() + rule.budget_s
        if loop.time() >= deadline:
            raise CutOffError(
                f"it was not called: the {rule.total_s:g} s of the hook were used up by those before it"
            )
        answer = self._call(impl, hook, arguments)
        if not inspect.isawaitable(answer):
            return answer
        try:
            async with asyncio.timeout_at(min(ends, deadline)) as budget:
                answer = await answer
        except TimeoutError as error:
            if not budget.expired():
                raise  # the implementation's own
            if deadline < ends:
                raise CutOffError(
                    f"it was cut off: the {rule.total_s:g} s of the hook were used up"
                ) from error
            raise TimeoutError(f"it took longer than its {rule.budget_s:g} s") from error
        if budget.expired():
            raise TimeoutError(f"it caught its cancellation and went on after its {rule.budget_s:g} s")
        return answer

    def _call(self, impl: pluggy.HookImpl, hook: str, arguments: Mapping[str, object]) -> object:
        try:
            values = [arguments[name] for name in impl.argnames]
        except KeyError as error:
            raise InternalError(f"{hook} was called without its argument {error}") from None
        before = self._clock.monotonic()
        try:
            answer: object = impl.function(*values)
        finally:
            elapsed = self._clock.monotonic() - before
            if ASYNC_HOOKS.get(hook, DEFAULT_RULE).policy == "log":
                self.muting.took(_key(impl, hook), hook, repr(impl.plugin_name), elapsed)
        return answer

    def _failed(self, impl: pluggy.HookImpl, hook: str, error: Exception, rule: HookRule) -> None:
        if rule.policy == "raise":
            if self._on_failure is not None:
                self._on_failure(HookFailure(hook, impl.plugin_name, error))
            error.add_note(f"raised by {hook} of plugin {impl.plugin_name!r}")
            raise error
        place = f" in {self._label}" if self._label else ""
        logger.warning("%s of plugin %r failed%s: %s", hook, impl.plugin_name, place, error, exc_info=error)
        if not isinstance(error, CutOffError):
            self.muting.failed(_key(impl, hook), hook, repr(impl.plugin_name))
        if self._on_failure is not None:
            self._on_failure(HookFailure(hook, impl.plugin_name, error))


def _key(impl: pluggy.HookImpl, hook: str) -> tuple[str, str, int]:
    return hook, impl.plugin_name, id(impl.plugin)


def _check_answer(answer: object, rule: HookRule) -> None:
    if rule.answers and not isinstance(answer, rule.answers):
        names = ", ".join(one.__name__ for one in rule.answers)
        raise PluginValidationError(f"it answered a {type(answer).__name__}; allowed are {names} and None")


def _cancelled_from_outside() -> bool:
    """Whether the task is being cancelled; an implementation that awaits something cancelled looks the same."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _own_cancellation(error: asyncio.CancelledError) -> Exception:
    failure = RuntimeError("it raised CancelledError though nobody cancelled it")
    failure.__cause__ = error
    return failure
