"""From a sentence as it was written to the words that are said: the hooks' look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.types import Sentence

if TYPE_CHECKING:
    from patter.call.reply_parts import ReplyParts


class ReplyText:
    """The text of one reply, sentence by sentence."""

    def __init__(self, parts: ReplyParts) -> None:
        self._parts = parts
        self._count = 0

    async def said(self, sentence: str) -> str:
        """What is said in place of a sentence; "" when nothing is."""
        hooks = self._parts.hooks
        index, self._count = self._count, self._count + 1
        if hooks.has("patter_modify_speech"):
            edited = Sentence(self._parts.number, index, sentence)
            await hooks.notify("patter_modify_speech", sentence=edited)
            sentence = edited.text
        return sentence if sentence.strip() else ""
