"""Guardrails: what an agent must not say, and what it says instead (TN-16)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from patter.blocked_terms import as_compared
from patter.errors import ConfigError

REPLACEMENT: Final = "I'm sorry, I can't talk about that."
LONGEST_TERM: Final = 200


@dataclass(frozen=True)
class Guardrail:
    """Blocks sentences before they are spoken; immutable, and shared by all calls of an agent.

    Args:
        name: names it in log lines.
        blocked_terms: words or phrases that block a sentence, found in any case and also within longer words, and
            also where two sentences of one reply hold a phrase between them. At most 200 characters each.
        check: called with the sentence, True blocks it. It may be ``async def`` and has 1 s; a plain one must be quick,
            for every call of the process waits for it.
        replacement: spoken instead; for blocked sentences that follow one another only once, and "" for silence.
        fail_closed: what a `check` that raises or takes too long means: False lets the sentence pass, True blocks it.

    Raises:
        ConfigError: nothing to block by, or a term that cannot be one.
    """

    name: str
    blocked_terms: Sequence[str] = ()
    check: Callable[[str], bool | Awaitable[bool]] | None = None
    replacement: str = REPLACEMENT
    fail_closed: bool = False

    def __post_init__(self) -> None:
        given: Any = self.blocked_terms
        if isinstance(given, str) or not all(isinstance(term, str) for term in given):
            raise ConfigError(f"guardrail {self.name!r}: blocked_terms is a sequence of texts")
        object.__setattr__(self, "blocked_terms", tuple(given))
        for term in self.blocked_terms:
            if not as_compared(term) or len(term) > LONGEST_TERM:
                raise ConfigError(
                    f"guardrail {self.name!r}: a blocked term has 1 to {LONGEST_TERM} characters: {term[:40]!r}"
                )
        if self.check is not None and not callable(self.check):
            raise ConfigError(f"guardrail {self.name!r}: check is a function")
        if not self.blocked_terms and self.check is None:
            raise ConfigError(f"guardrail {self.name!r}: give it blocked_terms or a check")
