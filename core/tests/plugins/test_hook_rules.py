from __future__ import annotations

import inspect
import re

from patter import hookspecs
from patter.markers import PROJECT
from patter.plugins.hook_rules import ASYNC_HOOKS


def specs():
    return {
        name: inspect.getdoc(function)
        for name, function in vars(hookspecs).items()
        if hasattr(function, f"{PROJECT}_spec")
    }


def test_the_table_agrees_with_the_docstrings_of_the_specs():
    asynchronous = {name: text for name, text in specs().items() if re.match(r"A( F)?, ", text)}
    assert set(asynchronous) == set(ASYNC_HOOKS)
    for name, text in asynchronous.items():
        stated = re.search(r"budget (\d+) (ms|s)\b", text)
        budget_s = 1.0 if stated is None else int(stated[1]) / (1000 if stated[2] == "ms" else 1)
        assert ASYNC_HOOKS[name].budget_s == budget_s, name
        assert bool(ASYNC_HOOKS[name].answers) == text.startswith("A F, "), name
        raises = "A failure stops" in text or "A failure ends" in text
        assert (ASYNC_HOOKS[name].policy == "raise") == raises, name


def test_a_first_result_hook_is_one_for_pluggy_too():
    options = {name: getattr(vars(hookspecs)[name], f"{PROJECT}_spec") for name in ASYNC_HOOKS}
    assert {name for name, spec in options.items() if spec["firstresult"]} == {
        name for name, rule in ASYNC_HOOKS.items() if rule.answers
    }


def test_a_whole_hook_call_takes_at_most_twice_the_budget():
    assert all(rule.total_s == 2 * rule.budget_s for rule in ASYNC_HOOKS.values())
