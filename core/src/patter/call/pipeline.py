"""The pipeline hooks of one call: looked up once, made safe to call, None where nothing is defined (TN-15)."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from patter.pipeline_hooks import PipelineContext, PipelineHooks, defined_hook
from patter.providers.llm import Message

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.audio.formats import AudioFormat
    from patter.call.call import Call
    from patter.call.listening import SpeechTaker

logger = logging.getLogger(__name__)

Touch = Callable[[Any], Any]
AsyncTouch = Callable[[Any], Awaitable[Any]]

#: what a hook may take, in s; the caller waits in silence for the first three
LIMITS_S: Final = {
    "after_transcribe": 5.0,
    "before_llm": 5.0,
    "on_sentence": 1.0,
    "on_response": 1.0,
    "before_synthesize": 1.0,
}
#: a hook that fails for each frame is logged the first time and then each thousandth
LOG_EVERY: Final = 1000


class CallPipeline:
    """Attributes have the names of the hooks.

    `before_send_to_stt`, `on_chunk` and `after_synthesize` are functions of one value, the others coroutine functions;
    each is None where the agent's hooks do not define it. They give back what the hook returned, or their argument
    when it failed; cancellation passes through.
    """

    def __init__(self, hooks: PipelineHooks | None, context: PipelineContext) -> None:
        self._hooks = hooks
        self._context = context
        self.before_send_to_stt = self._plain("before_send_to_stt", _audio_in(context.stt_format))
        self.on_chunk = self._plain("on_chunk", _text)
        self.after_synthesize = self._plain("after_synthesize", _audio_in(context.carrier_format))
        self.after_transcribe = self._awaitable("after_transcribe", _text)
        self.on_sentence = self._awaitable("on_sentence", _text)
        self.on_response = self._awaitable("on_response", _anything)
        self.before_synthesize = self._awaitable("before_synthesize", _text)
        self.before_llm = self._awaitable("before_llm", _messages, edits=True)

    def before_stt(self, stt: SpeechTaker) -> SpeechTaker:
        """`stt` behind `before_send_to_stt`; `stt` itself where that is not defined."""
        touch = self.before_send_to_stt
        return stt if touch is None else _TouchedSpeech(stt, touch)

    def _plain(self, name: str, check: Callable[[object], None]) -> Touch | None:
        method = None if self._hooks is None else defined_hook(self._hooks, name)
        if method is None:
            return None
        context, failures = self._context, 0

        def touch(value: Any) -> Any:
            nonlocal failures
            try:
                result = method(value, context)
                check(result)
            except Exception as error:
                failures += 1
                if failures % LOG_EVERY == 1:
                    self._log(name, error, failures)
                return value
            return result

        return touch

    def _awaitable(
        self, name: str, check: Callable[[object], None], *, edits: bool = False
    ) -> AsyncTouch | None:
        """With `edits` the hook may edit what it gets: a copy, so that one that fails half-way has changed nothing."""
        method = None if self._hooks is None else defined_hook(self._hooks, name)
        if method is None:
            return None
        context, limit_s, failures = self._context, LIMITS_S[name], 0

        async def touch(value: Any) -> Any:
            nonlocal failures
            given = list(value) if edits else value
            try:
                result = method(given, context)
                if inspect.isawaitable(result):
                    async with asyncio.timeout(limit_s):
                        result = await result
                if edits and result is None:
                    result = given
                check(result)
            except Exception as error:
                failures += 1
                self._log(name, error, failures)
                return value
            return result

        return touch

    def _log(self, name: str, error: Exception, failures: int) -> None:
        logger.warning(
            "call %s: pipeline hook %s failed, what it was given goes on unchanged (%d failures so far): %s",
            self._context.call_id,
            name,
            failures,
            type(error).__name__,
            exc_info=error,
        )


class _TouchedSpeech:
    """An STT's feed that gets each frame from `before_send_to_stt`."""

    def __init__(self, stt: SpeechTaker, touch: Touch) -> None:
        self.format = stt.format
        self._send = stt.send
        self._touch = touch

    def send(self, chunk: bytes) -> None:
        """Take a frame; never waits."""
        chunk = self._touch(chunk)
        if chunk:
            self._send(chunk)


def pipeline_of(
    call: Call, agent: Agent, stt_format: Callable[[], AudioFormat | None], carrier_format: AudioFormat
) -> CallPipeline:
    """The hooks of a call whose agent is this; `stt_format` gives what its STT is fed, None without one."""
    if agent.pipeline is None:
        return CallPipeline(None, PipelineContext(call.id))
    context = PipelineContext(
        call.id,
        call.caller,
        call.callee,
        stt_format=stt_format(),
        carrier_format=carrier_format,
        read_history=lambda: call.history,
    )
    return CallPipeline(agent.pipeline, context)


def _anything(result: object) -> None:
    """A hook whose answer is of no use."""


def _text(result: object) -> None:
    if result is not None and not isinstance(result, str):
        raise _wrong(result, "a text or None")


def _messages(result: object) -> None:
    if not isinstance(result, list | tuple) or not all(isinstance(one, Message) for one in result):
        raise _wrong(result, "a list of messages or None")
    if not result:
        raise ValueError("it left no message for the model")


def _audio_in(audio_format: AudioFormat | None) -> Callable[[object], None]:
    unit = 1 if audio_format is None else audio_format.bytes_per_sample

    def check(result: object) -> None:
        if result is not None and not isinstance(result, bytes):
            raise _wrong(result, "bytes or None")
        if result and len(result) % unit:
            raise ValueError(f"it returned {len(result)} bytes, which are no whole samples of {unit} bytes")

    return check


def _wrong(result: object, allowed: str) -> TypeError:
    if inspect.iscoroutine(result):
        result.close()  # it is never awaited, and must not warn about that as well
    return TypeError(f"it returned a {type(result).__name__}; allowed are {allowed}")
