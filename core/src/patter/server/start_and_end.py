"""Calls `on_call_start` and `on_call_end`: once each in a connected call, within a time limit (TN-19, LC-06)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from patter.agent import Agent
from patter.errors import ConfigError, PatterError, UnknownOptionError

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.plan import CallPlan, Planner, Settings
    from patter.call.types import CallSummary
    from patter.callbacks import Callbacks

logger = logging.getLogger(__name__)

#: what `on_call_start` may take while the caller waits, in s
START_S = 5.0
#: what `on_call_end` may take, in s
END_S = 5.0

#: what may be changed beside the options of an agent: a setting of the provider of that kind
PROVIDER_SETTINGS = {"voice": "tts", "model": "llm"}


class StartAndEnd:
    """The first and the last callback of a phone's calls."""

    def __init__(self, callbacks: Callbacks, planner: Planner) -> None:
        self._callbacks = callbacks
        self._planner = planner

    async def started(self, call: Call, plan: CallPlan) -> CallPlan:
        """The plan with what `on_call_start` changed for this call.

        Whatever goes wrong with it is logged, and the call goes on as it was planned.
        """
        callback = self._callbacks.on_call_start
        if callback is None:
            return plan
        try:
            async with asyncio.timeout(START_S):
                changes = callback(call)
                if inspect.isawaitable(changes):
                    changes = await changes
            return plan if changes is None else self._changed(plan, changes)
        except PatterError as error:
            logger.error("call %s goes on with its agent as it was: %s", call.id, error)
        except TimeoutError:
            logger.error(
                "call %s goes on with its agent as it was: on_call_start took over %.0f s", call.id, START_S
            )
        except Exception:
            logger.exception("call %s goes on with its agent as it was: on_call_start failed", call.id)
        return plan

    def _changed(self, plan: CallPlan, changes: Any) -> CallPlan:
        if not isinstance(changes, Mapping):
            raise ConfigError(
                f"on_call_start must return a mapping of options or None, not a {type(changes).__name__}"
            )
        options: dict[str, Any] = {}
        settings: dict[Any, dict[str, Any]] = {}
        for name, value in changes.items():
            if name in PROVIDER_SETTINGS:
                settings.setdefault(PROVIDER_SETTINGS[name], {})[name] = value
            elif name in Agent.model_fields:
                options[name] = value
            else:
                raise _unknown(name)
        if isinstance(options.get("variables"), Mapping):
            options["variables"] = {**plan.agent.variables, **options["variables"]}
        agent = plan.agent.changed(**options) if options else plan.agent
        wanted: Settings = settings
        return self._planner.plan_once(agent, wanted)

    async def ended(self, call: Call, summary: CallSummary) -> None:
        """Call `on_call_end`; a failure is logged."""
        callback = self._callbacks.on_call_end
        if callback is None:
            return
        try:
            async with asyncio.timeout(END_S):
                answer = callback(call, summary)
                if inspect.isawaitable(answer):
                    await answer
        except TimeoutError:
            logger.error("call %s: on_call_end took over %.0f s", call.id, END_S)
        except Exception:
            logger.exception("call %s: on_call_end failed", call.id)


def _unknown(name: object) -> UnknownOptionError:
    from difflib import get_close_matches

    near = get_close_matches(str(name), [*Agent.model_fields, *PROVIDER_SETTINGS], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return UnknownOptionError(f"on_call_start returned {name!r}, which is no option of an agent{hint}")
