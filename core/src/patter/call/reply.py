"""Making one agent turn: LLM → sentences → TTS → playout.

One runner task per reply reads the model; one speaker task beside it synthesises, so that sentence n+1 is made while n
plays (PL-10). Cancelling the runner closes both streams. Nothing here decides about turns: the session machine does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from patter.call.reply_model import Answer
from patter.call.reply_text import ReplyText
from patter.call.reply_voice import Speaker
from patter.call.sentences import SentenceChunker
from patter.call.types import UserTurn

if TYPE_CHECKING:
    from patter.call.actions import StartReply
    from patter.call.reply_parts import ReplyParts


class ReplyRunner:
    """Makes one reply; `run()` is the body of its task."""

    def __init__(self, start: StartReply, parts: ReplyParts) -> None:
        self._start = start
        self._parts = parts
        self._text = ReplyText(self._parts)
        self._speaker = Speaker(self._parts)
        self._cancelled = asyncio.Event()

    async def run(self) -> None:
        """Make and speak the reply."""
        speaking = asyncio.ensure_future(self._speaker.run())
        try:
            if self._start.user_turn is None:
                await self._announce()
                await self._speaker.end()
            else:
                await self._answer()
            await speaking
        finally:
            self._parts.voice.prerendered.forget(self._parts.call_id)
            self._cancelled.set()
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _answer(self) -> None:
        answer = Answer(self._parts, self._text, self._speaker, self._cancelled)
        heard = await self._hear()
        self._parts.moments.caller_turn_hooked()
        if heard:
            await answer.run()
        await self._speaker.end()
        on_response = self._parts.voice.pipeline.on_response
        if on_response is not None and answer.pieces:
            await on_response("".join(answer.pieces))

    async def _announce(self) -> None:
        """A fixed text, sentence by sentence: a voice that fails in one of them has the others left."""
        chunker = SentenceChunker(self._parts.voice.language)
        for sentence in (*chunker.feed(self._start.text), *chunker.flush()):
            text = await self._text.said(sentence)
            if text:
                await self._speaker.say(text)

    async def _hear(self) -> bool:
        """The hooks' look at the caller's turn; False when one of them skipped it."""
        start, hooks, pipeline = self._start, self._parts.hooks, self._parts.voice.pipeline
        assert start.user_turn is not None
        assert start.trigger is not None
        text = start.text
        if pipeline.after_transcribe is not None:
            text = await pipeline.after_transcribe(text) or ""
        if text.strip() and hooks.has("patter_modify_user_turn"):
            turn = UserTurn(start.user_turn, text, start.trigger)
            await hooks.notify("patter_modify_user_turn", turn=turn)
            text = turn.text
        if text != start.text:
            self._parts.mouth.user_text_changed(start.user_turn, text)
        return bool(text.strip())
