"""The guardrails at work in one reply: what is said instead of a sentence that must not be said (TN-16)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from patter.blocked_terms import TermSearch, blocked_terms

if TYPE_CHECKING:
    from patter.guardrails import Guardrail

logger = logging.getLogger(__name__)

#: a `check` that is ``async def`` has this long, in s
CHECK_S = 1.0


class ReplyGuard:
    """Judges the sentences of one reply, in their order."""

    def __init__(self, guardrails: Sequence[Guardrail], call_id: str) -> None:
        self._watches = [(one, TermSearch(blocked_terms(tuple(one.blocked_terms)))) for one in guardrails]
        self._call_id = call_id
        self._replaced_by: str | None = None

    async def passed(self, sentence: str) -> str:
        """The sentence, or what is said instead: the replacement, or "" when that was said just before."""
        blocking = await self._blocking(sentence)
        if blocking is None:
            self._replaced_by = None
            return sentence
        logger.info("call %s: guardrail %r blocked a sentence", self._call_id, blocking.name)
        for _, search in self._watches:
            search.forget()  # it is not said, so no term can begin in it
        again = blocking.replacement == self._replaced_by
        self._replaced_by = blocking.replacement
        return "" if again else blocking.replacement

    async def _blocking(self, sentence: str) -> Guardrail | None:
        # Every search sees the sentence, also behind one that blocks.
        found = [guardrail for guardrail, search in self._watches if search.finds(sentence)]
        if found:
            return found[0]
        for guardrail, _ in self._watches:
            if guardrail.check is not None and await self._objects(guardrail, sentence):
                return guardrail
        return None

    async def _objects(self, guardrail: Guardrail, sentence: str) -> bool:
        assert guardrail.check is not None
        try:
            answer = guardrail.check(sentence)
            if inspect.isawaitable(answer):
                async with asyncio.timeout(CHECK_S):
                    answer = await answer
        except Exception as error:
            meaning = "blocks the sentence" if guardrail.fail_closed else "lets the sentence pass"
            logger.warning(
                "call %s: the check of guardrail %r failed and %s: %s",
                self._call_id,
                guardrail.name,
                meaning,
                type(error).__name__,
                exc_info=error,
            )
            return guardrail.fail_closed
        return bool(answer)
