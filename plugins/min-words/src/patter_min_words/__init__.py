"""A barge-in strategy that counts words."""

from __future__ import annotations

from collections.abc import Iterable

from patter import BargeInRecord, hookimpl


@hookimpl
def patter_register_barge_in() -> Iterable[BargeInRecord]:
    """The strategy ``min-words``."""
    return [
        BargeInRecord(
            "min-words",
            "patter_min_words.strategy:MinWordsStrategy",
            description="Interrupts the agent once the caller has said a number of words",
        )
    ]
