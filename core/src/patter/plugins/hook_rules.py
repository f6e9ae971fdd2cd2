"""The rules of the asynchronous hooks: time budgets, what a failure means, what an answer may be.

Every hook of `patter.hookspecs` that has no row here is synchronous and belongs to the phone alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from patter.decisions import Accept, Hangup, Reject, Retry, Switch

DEFAULT_BUDGET_S = 1.0
#: a whole hook call takes at most this many times the budget of one implementation (CF-10)
TOTAL_FACTOR = 2


@dataclass(frozen=True, slots=True)
class HookRule:
    """`budget_s` is for each implementation. With `answers` the hook stops at the first of these types."""

    budget_s: float = DEFAULT_BUDGET_S
    policy: Literal["log", "raise"] = "log"
    answers: tuple[type, ...] = ()

    @property
    def total_s(self) -> float:
        """The budget of one call of the hook, all implementations together, in seconds."""
        return self.budget_s * TOTAL_FACTOR


DEFAULT_RULE = HookRule()

ASYNC_HOOKS: dict[str, HookRule] = {
    "patter_startup": HookRule(policy="raise"),
    "patter_shutdown": HookRule(budget_s=5.0),
    "patter_incoming_call": HookRule(budget_s=2.0, answers=(Accept, Reject)),
    "patter_call_setup": HookRule(policy="raise"),
    "patter_call_started": DEFAULT_RULE,
    "patter_call_error": HookRule(answers=(Retry, Switch, Hangup)),
    "patter_call_ended": HookRule(budget_s=5.0),
    "patter_modify_user_turn": DEFAULT_RULE,
    "patter_modify_request": DEFAULT_RULE,
    "patter_modify_speech": HookRule(budget_s=0.05),
    "patter_turn_ended": DEFAULT_RULE,
    "patter_barge_in": DEFAULT_RULE,
    "patter_dtmf": DEFAULT_RULE,
    "patter_tool_finished": DEFAULT_RULE,
}
