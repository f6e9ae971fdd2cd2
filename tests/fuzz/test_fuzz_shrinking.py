"""The same parsers with inputs from Hypothesis: fewer of them, but a failure is shown as small as it can be."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from fuzz_inputs import Inputs
from fuzz_run import targets
from fuzz_target import Target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=200)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4), max_leaves=12
)  # fmt: skip


def _inputs(target: Target) -> st.SearchStrategy[Any]:
    """Nonsense, and what the fuzzer makes of valid messages, with a piece of nonsense put into it."""
    valid = st.integers(0, 500).map(lambda number: target.make(Inputs(f"shrinking/{number}")))
    if target.kind == "json":
        keys = ("type", "properties", "code", "error", "choices", "usage", "day")
        made = st.dictionaries(st.sampled_from(keys), VALUES, max_size=4)
        return made if target.name == "call-parameters" else made | VALUES | valid
    nonsense: Any = ANY_TEXT if target.kind == "text" else st.binary(max_size=200)
    placed = st.tuples(valid.filter(lambda one: len(one) < 2000), nonsense, st.integers(0, 2000))
    return nonsense | placed.map(lambda parts: parts[0][: parts[2]] + parts[1] + parts[0][parts[2] :])


@pytest.mark.parametrize("target", targets(), ids=lambda one: one.name)
def test_a_parser_stands_what_hypothesis_thinks_of(target: Target) -> None:
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_inputs(target))
    def stands(value: Any) -> None:
        with contextlib.suppress(target.refuses):
            target.parse(value)

    stands()
