"""Making one agent turn: LLM → sentences → TTS → playout.

One runner task per reply reads the model; one speaker task beside it synthesises, so that sentence n+1 is made while n
plays (PL-10). Cancelling the runner closes both streams. Nothing here decides about turns: the session machine does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from patter.call.reply_model import Answer
from patter.call.reply_parts import Mouth, ReplyParts, Voice
from patter.call.reply_text import ReplyText
from patter.call.reply_voice import Speaker
from patter.call.sentences import SentenceChunker
from patter.call.types import UserTurn

if TYPE_CHECKING:
    from patter.call.actions import StartReply
    from patter.plugins import HookDispatcher


class ReplyRunner:
    """Makes one reply; `run()` is the body of its task."""

    def __init__(
        self, start: StartReply, mouth: Mouth, voice: Voice, hooks: HookDispatcher, call_id: str
    ) -> None:
        self._start = start
        self._parts = ReplyParts(start.reply, mouth, voice, hooks, call_id)
        self._text = ReplyText(self._parts)
        self._speaker = Speaker(self._parts)
        self._cancelled = asyncio.Event()

    async def run(self) -> None:
        """Make and speak the reply."""
        speaking = asyncio.ensure_future(self._speaker.run())
        try:
            if self._start.user_turn is None:
                await self._announce()
            elif await self._hear():
                await Answer(self._parts, self._text, self._speaker, self._cancelled).run()
            await self._speaker.end()
            await speaking
        finally:
            self._cancelled.set()
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _announce(self) -> None:
        """A fixed text, sentence by sentence: a voice that fails in one of them has the others left."""
        chunker = SentenceChunker(self._parts.voice.language)
        for sentence in (*chunker.feed(self._start.text), *chunker.flush()):
            text = await self._text.said(sentence)
            if text:
                await self._speaker.say(text)

    async def _hear(self) -> bool:
        """The hooks' look at the caller's turn; False when one of them skipped it."""
        hooks = self._parts.hooks
        if not hooks.has("patter_modify_user_turn"):
            return True
        assert self._start.user_turn is not None
        assert self._start.trigger is not None
        turn = UserTurn(self._start.user_turn, self._start.text, self._start.trigger)
        await hooks.notify("patter_modify_user_turn", turn=turn)
        if turn.text != self._start.text:
            self._parts.mouth.user_text_changed(turn.turn, turn.text)
        return bool(turn.text.strip())
