"""The providers of simulated calls: real implementations of the interfaces, as misbehaved as their script wants."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import ProviderDisconnected, ProviderError
from patter.providers.llm import LLM, Done, LLMChunk, Message, Text, ToolCallDelta, ToolSpec, Usage
from patter.providers.stt import STT, STTEvent
from patter.providers.tts import TTS, WordTime
from patter.providers.vad import VAD, VADEvent
from patter.testing.simulation.speech import PER_MS, Line, pattern

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.testing.whole_call.played_call import PlayedCall

#: the call that the current task carries
CURRENT_CALL: ContextVar[PlayedCall] = ContextVar("current_call")
#: the agent turn that the current task makes
CURRENT_REPLY: ContextVar[int] = ContextVar("current_reply", default=0)
_TOKEN = re.compile(r"\S+\s*")


class ScriptedVAD(VAD):
    """Hears what is loud, at once: when the caller makes a sound is drawn with its mishaps."""

    def __init__(self, call: PlayedCall) -> None:
        self._call = call
        self._call.opened("vad")
        self._loud = False
        self._position = 0
        self._closed = False

    def process_frame(self, pcm: NDArray[Any], rate: int) -> VADEvent | None:
        """Take one frame of int16 samples."""
        loud = bool(pcm[0] < -1000 or pcm[0] > 1000)
        self._position += pcm.size
        if loud is self._loud:
            return None
        self._loud = loud
        self._call.speech(began=loud)
        return VADEvent("speech_start" if loud else "speech_end", self._position - pcm.size)

    def reset(self) -> None:
        """Forget."""
        self._loud = False

    def close(self) -> None:
        """Count it."""
        if not self._closed:
            self._closed = True
            self._call.closed("vad")


class ScriptedSTT(STT):
    """Says what the call's script says when it says it, while it is connected."""

    def __init__(self, call: PlayedCall) -> None:
        self._call = call
        self._call.opened("stt")
        self._results: asyncio.Queue[STTEvent | Exception | None] | None = None
        self._closed = False

    def input_formats(self) -> Sequence[AudioFormat]:
        """The carrier's."""
        return (MULAW_8K,)

    async def connect(self, audio_format: AudioFormat) -> None:
        """Open, late or after failures."""
        plan = self._call.script.stt
        if plan.connect_s:
            await asyncio.sleep(plan.connect_s)
        self._call.stt_connections += 1
        if self._call.stt_connections <= plan.fails_to_connect:
            raise ProviderDisconnected("the recogniser refuses")
        self.listen()

    def listen(self) -> None:
        """It is connected."""
        self._results = asyncio.Queue()
        self._call.recogniser = self

    def send_audio(self, chunk: bytes) -> None:
        """Count it."""
        self._call.stt_frames += 1

    def tell(self, event: STTEvent | Exception | None) -> None:
        """Report something; an exception breaks the connection, None ends it."""
        assert self._results is not None
        self._results.put_nowait(event)

    async def receive(self) -> AsyncIterator[STTEvent]:
        """What the script says, until `close()`."""
        assert self._results is not None
        while (event := await self._results.get()) is not None:
            if isinstance(event, Exception):
                self._lost()
                raise event
            if self._closed:
                break  # what it had still to say is nobody's any more
            self._call.told_by_recogniser(event)
            yield event
            self._call.cause = "time"
        self._lost()

    def _lost(self) -> None:
        if self._call.recogniser is self:
            self._call.recogniser = None
            self._call.understood.broke()

    async def finalize(self) -> None:
        """The script's finals come when they come."""

    async def close(self) -> None:
        """End `receive()`."""
        self._lost()
        if self._results is not None:
            self._results.put_nowait(None)
        if not self._closed:
            self._closed = True
            self._call.closed("stt")


class SlowScriptedSTT(ScriptedSTT):
    """Takes its time for each frame, behind the call's backlog (LC-05)."""

    async def send_audio(self, chunk: bytes) -> None:  # type: ignore[override]
        """Count it, later; what is under way when the connection is lost never arrives."""
        await asyncio.sleep(self._call.script.stt.send_s or 0.0)
        if self._call.recogniser is not self:
            raise ProviderDisconnected("the recogniser is gone")
        self._call.stt_frames += 1


class ScriptedLLM(LLM):
    """Says the sentences of a reply's plan, calls its tool, fails where the plan fails."""

    def __init__(self, call: PlayedCall) -> None:
        self._call = call
        self._call.opened("llm")
        self._closed = False

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncIterator[LLMChunk]:
        """One reply; after a tool it has a short sentence more."""
        call, reply = self._call, CURRENT_REPLY.get()
        plan, script = call.script.replies[reply % 4], call.script.models[reply % 4]
        asked = call.model_asked(reply, messages)
        call.open_streams += 1
        try:
            if plan.llm_s:
                await asyncio.sleep(plan.llm_s)
            after_tool = messages[-1].role == "tool"
            text = "There you are." if after_tool else " ".join(one.line.text for one in plan.sentences)
            fails = script.fails if asked <= script.fails_again else -1
            for number, token in enumerate(_TOKEN.findall(text)):
                if number == fails:
                    raise ProviderError("the model failed")
                if number and script.tokens_s:
                    await asyncio.sleep(script.tokens_s)
                call.model_said(reply, token)
                yield Text(token)
            if fails >= 0:
                raise ProviderError("the model failed at the end")
            if script.tool and not after_tool:
                number_arguments = '{"number": "+15550007777"}' if script.tool == "transfer_call" else "{}"
                yield ToolCallDelta(0, "tool-1", script.tool, number_arguments)
            if plan.tail_s:
                await asyncio.sleep(plan.tail_s)
            call.billed += 1
            yield Usage(1, 1)
            yield Done()
        finally:
            call.open_streams -= 1
            if script.close_s:
                await asyncio.sleep(script.close_s)

    async def close(self) -> None:
        """Count it."""
        if not self._closed:
            self._closed = True
            self._call.closed("llm")


class ScriptedTTS(TTS):
    """Speaks in a pattern whose every millisecond can be told apart; see `patter.testing.simulation.speech`."""

    def __init__(self, call: PlayedCall) -> None:
        self._call = call
        self._call.opened("tts")
        self._closed = False
        self._line: Line | None = None

    def output_format(self) -> AudioFormat:
        """The carrier's."""
        return MULAW_8K

    def word_times(self) -> tuple[WordTime, ...]:
        """Of the sentence in progress, where its voice has them."""
        return self._line.word_times if self._line is not None else ()

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """One sentence, in pieces."""
        call, reply = self._call, CURRENT_REPLY.get()
        spoken, plan = call.voice_asked(reply, text)
        self._line = spoken.line
        call.open_streams += 1
        made = 0
        try:
            if plan.hangs:
                await asyncio.get_running_loop().create_future()
            if plan.first_s:
                await asyncio.sleep(plan.first_s)
            whole = spoken.line.samples
            if plan.fails_at is not None:
                whole = int(whole * plan.fails_at) // PER_MS * PER_MS
            audio, half = (
                memoryview(pattern())[spoken.start : spoken.end],
                whole // 2 if plan.gap_s else whole,
            )
            while made < whole:
                if made >= half:
                    half = whole
                    await asyncio.sleep(plan.gap_s)
                start, made = made, min(made + plan.chunk, whole)
                yield bytes(audio[start:made])
            if plan.fails_at is not None:
                self._line = call.voice_failed(spoken, made)
                raise ProviderError("the voice failed")
        finally:
            if not made:
                call.voice_failed(spoken, 0)
            call.open_streams -= 1
            if plan.close_s:
                await asyncio.sleep(plan.close_s)

    async def close(self) -> None:
        """Count it."""
        if not self._closed:
            self._closed = True
            self._call.closed("tts")
