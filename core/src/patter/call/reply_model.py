"""What the model answers: its rounds of text and tool calls, cut into sentences for the voice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from patter.call.fallback_llm import FIRST_TOKEN_S, FallbackLLM
from patter.call.provider_stream import first_within, is_answer
from patter.call.sentences import SentenceChunker
from patter.call.types import LLMRequest
from patter.errors import PartialStreamError, ProviderError
from patter.providers.llm import Message, Text, ToolCall, ToolCallDelta

if TYPE_CHECKING:
    from patter.call.reply_parts import ReplyParts
    from patter.call.reply_text import ReplyText
    from patter.call.reply_voice import Speaker
    from patter.call.types import ToolResult

#: tool rounds in one turn before the agent says that it gives up (LM-02)
TOOL_ROUNDS = 10
TOO_MANY_ROUNDS = "I'm sorry, I could not finish that. Could you ask me in another way?"


class Answer:
    """Lets the model answer one user turn; `cancelled` tells its provider that nobody waits any more.

    `pieces` are what it wrote, over all rounds.
    """

    def __init__(
        self, parts: ReplyParts, text: ReplyText, speaker: Speaker, cancelled: asyncio.Event
    ) -> None:
        self._reply = parts.number
        self._mouth = parts.mouth
        self._moments = parts.moments
        self._voice = parts.voice
        self._pipeline = parts.voice.pipeline
        self._hooks = parts.hooks
        self._call_id = parts.call_id
        self._text = text
        self._speaker = speaker
        self._cancelled = cancelled
        self._chunker = SentenceChunker(
            parts.voice.language, aggressive_first_flush=parts.voice.aggressive_first_flush
        )
        self._round: list[str] = []
        self._tool_rounds = 0
        self._spoken = False
        self._began = asyncio.get_running_loop().time()
        self.pieces: list[str] = []

    async def run(self) -> None:
        """Ask until the model calls no more tools, and hand every sentence to the voice.

        Without a word of it after `long_turn_message_after_s` the caller is told that it takes a while (LM-04).
        """
        if not self._voice.long_turn_message:
            await self._ask()
            return
        telling = asyncio.ensure_future(self._tell_when_late())
        try:
            await self._ask()
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell_when_late(self) -> None:
        due = self._began + self._voice.long_turn_message_after_s
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        if not self._has_begun:
            message = await self._text.said(self._voice.long_turn_message)
            if message and not self._has_begun:
                await self._speaker.say(message, self._tool_rounds)

    @property
    def _has_begun(self) -> bool:
        """Whether there is a word of the answer, or one in its place."""
        return self._spoken or bool(self.pieces)

    async def _ask(self) -> None:
        for _ in range(TOOL_ROUNDS):
            calls = await self._one_round()
            if not calls:
                break
            await self._say_model(self._chunker.flush())
            await self._run_tools(calls)
            if self._round and self._mouth.ending:
                break  # the model said goodbye and ended the call: it is not asked for a second goodbye
        else:
            await self._say(await self._text.said(TOO_MANY_ROUNDS))
        await self._say_model(self._chunker.flush())

    async def _say_model(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            await self._say(await self._text.from_model(sentence))

    async def _say(self, text: str) -> None:
        if text:
            self._spoken = True
            self._round.append(text)
            await self._speaker.say(text, self._tool_rounds)

    async def _one_round(self) -> list[ToolCall]:
        """One request, tried again when the failure was healed before anything was said."""
        self._round = []
        if self._voice.llm is None:
            return []
        while True:
            said: list[str] = []
            try:
                return await self._request(said)
            except ProviderError as error:
                spoken = bool(said) or isinstance(error, PartialStreamError)
                if await self._mouth.failed("llm", error, spoken=spoken):
                    continue
                await self._say_model(self._chunker.flush())
                if self._voice.llm_error_message:
                    await self._say(await self._text.said(self._voice.llm_error_message))
                return []

    async def _request(self, said: list[str]) -> list[ToolCall]:
        messages = self._mouth.messages()
        if self._pipeline.before_llm is not None:
            messages = list(await self._pipeline.before_llm(messages))
        request = LLMRequest(self._reply, messages, list(self._voice.specs))
        if self._hooks.has("patter_modify_request"):
            await self._hooks.notify("patter_modify_request", request=request)
        calls, answered = ToolCallPieces(), False
        self._moments.requested(self._tool_rounds)
        await self._voice.ready("llm")
        llm = self._voice.llm
        assert llm is not None
        stream = llm.stream(
            request.messages, request.tools, cancel_event=self._cancelled, call_id=self._call_id
        )
        # a chain of models has a limit for each of them
        limit = None if isinstance(llm, FallbackLLM) else FIRST_TOKEN_S
        async with aclosing(first_within(stream, limit, "the language model", is_answer)) as chunks:
            with self._voice.meter.request(llm, request.messages) as bill:
                async for chunk in chunks:
                    bill.take(chunk)
                    if not answered and is_answer(chunk):
                        answered = True
                        self._moments.answered()
                    if isinstance(chunk, Text):
                        await self._take(chunk.content, said)
                    elif isinstance(chunk, ToolCallDelta):
                        calls.add(chunk)
        self._moments.wrote()
        self._mouth.worked("llm")
        return calls.complete()

    async def _take(self, piece: str, said: list[str]) -> None:
        if self._pipeline.on_chunk is not None:
            piece = self._pipeline.on_chunk(piece)
            if not piece:
                return
        if piece and self._moments.first_token():
            self._mouth.emit("llm_token", piece)
        self._mouth.emit("llm_chunk", piece)
        said.append(piece)
        self.pieces.append(piece)
        await self._say_model(self._chunker.feed(piece))

    async def _run_tools(self, calls: list[ToolCall]) -> None:
        """Run the tools side by side; their results enter the history together with the calls (LM-06)."""
        self._moments.runs_tools()
        runner = self._voice.tools
        results: list[ToolResult] = []
        if runner is not None:
            for call in calls:
                self._mouth.emit("tool_call_started", call)
            results = await runner.run_all(calls)
        # Before anybody is told: what a tool did is not forgotten because the caller interrupts whoever is told of it.
        messages = [Message("tool", result.result, tool_call_id=result.id) for result in results]
        self._mouth.tool_calls(
            self._reply, Message("assistant", " ".join(self._round), tuple(calls)), messages
        )
        self._tool_rounds += 1
        if self._hooks.has("patter_tool_finished"):
            for result in results:
                await self._hooks.notify("patter_tool_finished", tool_call=result)


class ToolCallPieces:
    """Puts tool calls together from their pieces (LM-01)."""

    def __init__(self) -> None:
        self._parts: dict[int, list[str]] = {}
        self._names: dict[int, tuple[str, str]] = {}

    def add(self, delta: ToolCallDelta) -> None:
        """Take a piece."""
        call_id, name = self._names.get(delta.index, ("", ""))
        self._names[delta.index] = (delta.id or call_id, delta.name or name)
        self._parts.setdefault(delta.index, []).append(delta.arguments)

    def complete(self) -> list[ToolCall]:
        """The calls, in their order; a name stands in for an id that the vendor left out."""
        return [
            ToolCall(call_id or f"call_{index}", name, "".join(self._parts[index]))
            for index, (call_id, name) in sorted(self._names.items())
        ]
