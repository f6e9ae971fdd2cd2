"""What is fuzzed: a parser, the inputs that are made for it, and the errors that it says it raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fuzz_inputs import LARGEST, Inputs


class Broken(AssertionError):
    """A parser gave a value that it should not give."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser.

    `parse` gets what `make` made, and raises `Broken` for a value that is not what the parser promises; `refuses` are
    the errors that the parser documents. `kind` says what `make` makes, `share` how many of all inputs go here, `longest` what can reach it,
    in characters.
    """

    name: str
    kind: Literal["text", "bytes", "json"]
    make: Callable[[Inputs], Any]
    parse: Callable[[Any], None]
    refuses: tuple[type[Exception], ...] = ()
    share: float = 1.0
    longest: int = LARGEST


def require(holds: object, what: str) -> None:
    """Raise `Broken` unless it holds."""
    if not holds:
        raise Broken(what)


def require_text(value: object, longest: int | None = None) -> None:
    """The value is a text that can be sent on: no half characters, and bounded."""
    require(isinstance(value, str), f"not a text but {type(value).__name__}")
    assert isinstance(value, str)
    require(longest is None or len(value) <= longest, f"a text of {len(value)} characters")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Broken("a text with half a character") from None
