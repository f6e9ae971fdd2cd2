"""Making one agent turn: LLM → sentences → TTS → playout.

One runner task per reply reads the model; one speaker task beside it synthesises, so that sentence n+1 is made while n
plays (PL-10). Cancelling the runner closes both streams. Nothing here decides about turns: the session machine does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from patter.audio.convert import Converter
from patter.call.sentences import SentenceChunker
from patter.call.types import LLMRequest, Sentence, UserTurn
from patter.errors import PartialStreamError, ProviderError, ProviderTimeout
from patter.providers.llm import Message, Text, ToolCall, ToolCallDelta, ToolSpec, Usage

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.call.actions import StartReply
    from patter.call.tool_running import ToolRunner
    from patter.plugins import HookDispatcher
    from patter.providers.llm import LLM
    from patter.providers.tts import TTS
    from patter.records import ProviderKind

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: tool rounds in one turn before the agent says that it gives up (LM-02)
TOOL_ROUNDS = 10
#: no token, tool call or error for this long is a failure of the model (LM-08), in s
FIRST_TOKEN_S = 15.0
#: no audio for this long is a failure of the voice (SP-23), in s
FIRST_BYTE_S = 5.0
#: synthesis pauses while this much audio waits to be sent, in ms
ENOUGH_MS = 15_000.0
#: sentences that may wait for the voice
SENTENCES_AHEAD = 8
TOO_MANY_ROUNDS = "I'm sorry, I could not finish that. Could you ask me in another way?"


class Mouth(Protocol):
    """What the session offers to a reply: playout, history and notices, all in the machine's step."""

    @property
    def carrier_format(self) -> AudioFormat:
        """Format of the audio to add."""

    def open_sentence(self, reply: int, text: str) -> bool:
        """Announce a sentence; False when the reply was cancelled."""

    def add_audio(self, reply: int, audio: bytes) -> bool:
        """Append audio; False when the reply was cancelled."""

    def close_sentence(self, reply: int, *, cut: bool = False) -> None:
        """The sentence is complete; `cut` when its voice failed."""

    async def room(self, reply: int) -> None:
        """Wait while more than enough audio is ahead."""

    @property
    def ending(self) -> bool:
        """Whether the call ends once this reply is heard."""

    def messages(self) -> list[Message]:
        """The conversation for the model."""

    def user_text_changed(self, user_turn: int, text: str) -> None:
        """A hook changed the caller's text."""

    def tool_calls(self, reply: int, message: Message, results: list[Message]) -> None:
        """Tool calls with their results enter the history."""

    def emit(self, event: str, data: object = None) -> None:
        """Tell the call's observers."""

    def timing(self, reply: int, name: str) -> None:
        """Stamp a moment of the reply, once."""

    async def failed(self, kind: ProviderKind, error: Exception, *, spoken: bool) -> bool:
        """A provider failed; True when it was made anew or replaced and may be tried again."""


@dataclass(slots=True)
class Voice:
    """The providers and rules of a call's replies; replaced providers are seen at the next sentence."""

    llm: LLM | None
    tts: TTS | None
    tools: ToolRunner | None
    specs: list[ToolSpec] = field(default_factory=list)
    language: str = "en"
    aggressive_first_flush: bool = False
    llm_error_message: str = ""


class ReplyRunner:
    """Makes one reply; `run()` is the body of its task."""

    def __init__(
        self, start: StartReply, mouth: Mouth, voice: Voice, hooks: HookDispatcher, call_id: str
    ) -> None:
        self._start = start
        self._reply = start.reply
        self._mouth = mouth
        self._voice = voice
        self._hooks = hooks
        self._call_id = call_id
        self._sentences: asyncio.Queue[str | None] = asyncio.Queue(SENTENCES_AHEAD)
        self._sentence_count = 0
        self._cancelled = asyncio.Event()

    async def run(self) -> None:
        """Make and speak the reply."""
        speaker = asyncio.ensure_future(self._speak_all())
        try:
            if self._start.user_turn is None:
                await self._announce()
            elif await self._hear():
                await self._answer()
            await self._sentences.put(None)
            await speaker
        finally:
            self._cancelled.set()
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)

    async def _announce(self) -> None:
        """A fixed text, sentence by sentence: a voice that fails in one of them has the others left."""
        chunker = SentenceChunker(self._voice.language)
        for sentence in (*chunker.feed(self._start.text), *chunker.flush()):
            await self._sentences.put(sentence)

    async def _hear(self) -> bool:
        """The hooks' look at the caller's turn; False when one of them skipped it."""
        if not self._hooks.has("patter_modify_user_turn"):
            return True
        assert self._start.user_turn is not None
        assert self._start.trigger is not None
        turn = UserTurn(self._start.user_turn, self._start.text, self._start.trigger)
        await self._hooks.notify("patter_modify_user_turn", turn=turn)
        if turn.text != self._start.text:
            self._mouth.user_text_changed(turn.turn, turn.text)
        return bool(turn.text.strip())

    # -- the model

    async def _answer(self) -> None:
        chunker = SentenceChunker(
            self._voice.language, aggressive_first_flush=self._voice.aggressive_first_flush
        )
        for _ in range(TOOL_ROUNDS):
            calls, text = await self._one_round(chunker)
            if not calls:
                break
            await self._flush(chunker)
            await self._run_tools(calls, text)
            if text.strip() and self._mouth.ending:
                break  # the model said goodbye and ended the call: it is not asked for a second goodbye
        else:
            await self._sentences.put(TOO_MANY_ROUNDS)
        await self._flush(chunker)

    async def _flush(self, chunker: SentenceChunker) -> None:
        for sentence in chunker.flush():
            await self._sentences.put(sentence)

    async def _one_round(self, chunker: SentenceChunker) -> tuple[list[ToolCall], str]:
        """One request, tried again when the failure was healed before anything was said."""
        if self._voice.llm is None:
            return [], ""
        while True:
            said: list[str] = []
            try:
                return await self._request(chunker, said), "".join(said)
            except ProviderError as error:
                spoken = bool(said) or isinstance(error, PartialStreamError)
                if await self._mouth.failed("llm", error, spoken=spoken):
                    continue
                await self._flush(chunker)
                if self._voice.llm_error_message:
                    await self._sentences.put(self._voice.llm_error_message)
                return [], ""

    async def _request(self, chunker: SentenceChunker, said: list[str]) -> list[ToolCall]:
        request = LLMRequest(self._reply, self._mouth.messages(), list(self._voice.specs))
        if self._hooks.has("patter_modify_request"):
            await self._hooks.notify("patter_modify_request", request=request)
        calls = _ToolCalls()
        assert self._voice.llm is not None
        self._mouth.timing(self._reply, "llm_request")
        stream = self._voice.llm.stream(
            request.messages, request.tools, cancel_event=self._cancelled, call_id=self._call_id
        )
        async with aclosing(_first_within(stream, FIRST_TOKEN_S, "the language model")) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Text):
                    self._mouth.timing(self._reply, "llm_first_token")
                    self._mouth.emit("llm_chunk", chunk.content)
                    said.append(chunk.content)
                    for sentence in chunker.feed(chunk.content):
                        await self._sentences.put(sentence)
                elif isinstance(chunk, ToolCallDelta):
                    calls.add(chunk)
                elif isinstance(chunk, Usage):
                    self._mouth.emit("usage", chunk)
        return calls.complete()

    async def _run_tools(self, calls: list[ToolCall], text: str) -> None:
        """Run the tools side by side; their results enter the history together with the calls (LM-06)."""
        runner = self._voice.tools
        results: list[Message] = []
        if runner is not None:
            for call in calls:
                self._mouth.emit("tool_call_started", call)
            for result in await runner.run_all(calls):
                results.append(Message("tool", result.result, tool_call_id=result.id))
                if self._hooks.has("patter_tool_finished"):
                    await self._hooks.notify("patter_tool_finished", tool_call=result)
        self._mouth.tool_calls(self._reply, Message("assistant", text, tuple(calls)), results)

    # -- the voice

    async def _speak_all(self) -> None:
        while (sentence := await self._sentences.get()) is not None:
            text = await self._as_spoken(sentence)
            if text.strip():
                await self._speak(text)

    async def _as_spoken(self, text: str) -> str:
        self._sentence_count += 1
        if not self._hooks.has("patter_modify_speech"):
            return text
        sentence = Sentence(self._reply, self._sentence_count - 1, text)
        await self._hooks.notify("patter_modify_speech", sentence=sentence)
        return sentence.text

    async def _speak(self, text: str) -> None:
        """Synthesise one sentence; once more if its voice failed and was healed before a sound of it was made."""
        if not self._mouth.open_sentence(self._reply, text):
            return
        cut = True
        while self._voice.tts is not None:
            made: list[int] = []
            try:
                await self._synthesise(self._voice.tts, text, made)
                cut = False
                break
            except ProviderError as error:
                if not await self._mouth.failed("tts", error, spoken=bool(made)) or made:
                    break
        self._mouth.close_sentence(self._reply, cut=cut)

    async def _synthesise(self, tts: TTS, text: str, made: list[int]) -> None:
        converter = Converter(tts.output_format(), self._mouth.carrier_format)
        self._mouth.timing(self._reply, "tts_request")
        stream = tts.synthesize(text)
        async with aclosing(_first_within(stream, FIRST_BYTE_S, "the voice")) as chunks:
            async for chunk in chunks:
                audio = converter.process(chunk)
                if audio:
                    made.append(len(audio))
                    self._mouth.timing(self._reply, "tts_first_byte")
                    if not self._mouth.add_audio(self._reply, audio):
                        return
                await self._mouth.room(self._reply)
        tail = converter.flush()
        if tail:
            self._mouth.add_audio(self._reply, tail)


class _ToolCalls:
    """Puts tool calls together from their pieces (LM-01)."""

    def __init__(self) -> None:
        self._parts: dict[int, list[str]] = {}
        self._names: dict[int, tuple[str, str]] = {}

    def add(self, delta: ToolCallDelta) -> None:
        call_id, name = self._names.get(delta.index, ("", ""))
        self._names[delta.index] = (delta.id or call_id, delta.name or name)
        self._parts.setdefault(delta.index, []).append(delta.arguments)

    def complete(self) -> list[ToolCall]:
        return [
            ToolCall(call_id or f"call_{index}", name, "".join(self._parts[index]))
            for index, (call_id, name) in sorted(self._names.items())
        ]


async def _first_within(stream: AsyncIterator[T], seconds: float, who: str) -> AsyncGenerator[T, None]:
    """The stream, with a time limit on its first item, closed on every way out.

    Raises `ProviderTimeout`, and whatever else a plugin raises as a `ProviderError`.
    """
    try:
        try:
            async with asyncio.timeout(seconds):
                first = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ProviderTimeout(f"{who} gave no answer within {seconds:.0f} s") from None
        yield first
        async for item in stream:
            yield item
    except ProviderError:
        raise
    except Exception as error:
        raise ProviderError(f"{who} failed: {type(error).__name__}") from error
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
