"""From a sentence as it was written to the words that are said.

The order: the pipeline's `on_sentence` (the model's sentences alone), `patter_modify_speech`, the text transforms, the
guardrails. Guardrails come last, so that they judge what would be heard; a replacement of theirs is said as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from patter.call.guarding import ReplyGuard
from patter.call.types import Sentence

if TYPE_CHECKING:
    from patter.call.reply_parts import ReplyParts

logger = logging.getLogger(__name__)


class ReplyText:
    """The text of one reply, sentence by sentence."""

    def __init__(self, parts: ReplyParts) -> None:
        self._parts = parts
        self._pipeline = parts.voice.pipeline
        self._transforms = parts.voice.text_transforms
        self._guard = ReplyGuard(parts.voice.guardrails, parts.call_id) if parts.voice.guardrails else None
        self._count = 0
        self._passed = False

    async def from_model(self, sentence: str) -> str:
        """What is said in place of a sentence of the model's; "" when nothing is."""
        self._complete()
        if self._pipeline.on_sentence is not None:
            sentence = await self._pipeline.on_sentence(sentence) or ""
        return await self.said(sentence, complete=True)

    def _complete(self) -> None:
        """A sentence is there. The caller waits for the first of which something is left to be said."""
        if not self._passed:
            self._parts.moments.sentence()

    async def said(self, sentence: str, *, complete: bool = False) -> str:
        """What is said in place of any sentence; "" when nothing is. `complete`: its moment is known already."""
        if not sentence.strip():
            return ""
        if not complete:
            self._complete()
        hooks = self._parts.hooks
        index, self._count = self._count, self._count + 1
        if hooks.has("patter_modify_speech"):
            edited = Sentence(self._parts.number, index, sentence)
            await hooks.notify("patter_modify_speech", sentence=edited)
            sentence = edited.text
        for transform in self._transforms:
            sentence = self._transformed(transform, sentence)
        if self._guard is not None and sentence.strip():
            sentence = await self._guard.passed(sentence)
        if not sentence.strip():
            return ""
        self._passed = True
        return sentence

    def _transformed(self, transform: Callable[[str], str], sentence: str) -> str:
        try:
            changed = transform(sentence)
            if not isinstance(changed, str):
                raise TypeError(f"it returned a {type(changed).__name__} in place of a text")
        except Exception as error:
            logger.warning(
                "call %s: text transform %s failed, the text goes on unchanged: %s",
                self._parts.call_id,
                getattr(transform, "__name__", type(transform).__name__),
                type(error).__name__,
                exc_info=error,
            )
            return sentence
        return changed
