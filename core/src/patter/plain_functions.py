"""Telling plain functions from those that give something to await."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives something to await or to iterate over, as far as can be told without calling it."""
    kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    candidates = (function, type(function).__call__)
    return any(kind(one) for kind in kinds for one in candidates)
