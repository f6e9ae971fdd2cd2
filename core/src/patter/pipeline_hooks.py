"""Pipeline hooks: one object of the application's that touches audio and text on their way through a call (TN-15).

They are no plugin hooks: nothing is registered or found. A subclass of `PipelineHooks` is given to the agent, its
methods are looked up once per call, and one that it does not define is in nobody's way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.errors import ConfigError
from patter.plain_functions import is_async

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.llm import Message

#: called for each frame, token or chunk, in the task that must not wait
PLAIN_HOOKS: Final = ("before_send_to_stt", "on_chunk", "after_synthesize")
#: called for each turn, request, reply or sentence; may be ``async def``
TEXT_HOOKS: Final = ("after_transcribe", "before_llm", "on_sentence", "on_response", "before_synthesize")


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """The call that a pipeline hook is called for; the same object for all hooks of a call.

    Args:
        call_id: Patter's id of the call.
        caller: the number that called.
        callee: the number that was called.
        stt_format: of the audio that `before_send_to_stt` gets; None where nothing recognises speech.
        carrier_format: of the audio that `after_synthesize` gets.
        read_history: gives `history`.
    """

    call_id: str
    caller: str = ""
    callee: str = ""
    stt_format: AudioFormat | None = None
    carrier_format: AudioFormat | None = None
    read_history: Callable[[], tuple[Message, ...]] = tuple

    @property
    def history(self) -> tuple[Message, ...]:
        """What the model knows by now, without the system prompt."""
        return self.read_history()


class PipelineHooks:
    """Subclass it, define the methods you need, and give an object of it to ``Agent(pipeline=...)``.

    Each method gets a value and the call's `PipelineContext`, and returns the value to go on with, changed or not.
    `before_send_to_stt`, `on_chunk` and `after_synthesize` are plain functions in the path of the audio and of the
    tokens: an ``async def`` is refused when the agent is built. The others may be ``async def``; one that takes longer
    than its limit counts as failed. A hook that fails is logged with its name and the value passes on unchanged.

    The object is shared by all calls of the agent. What belongs to one call is kept by ``context.call_id``.
    """

    def before_send_to_stt(self, audio: bytes, context: PipelineContext) -> bytes | None:
        """A frame of the caller's audio, in `context.stt_format`, on its way to the STT. None drops it."""
        return audio

    def after_transcribe(self, text: str, context: PipelineContext) -> str | Awaitable[str | None] | None:
        """What the caller said in a turn, before it is answered; limit 5 s. None skips the turn."""
        return text

    def before_llm(
        self, messages: list[Message], context: PipelineContext
    ) -> Sequence[Message] | Awaitable[Sequence[Message] | None] | None:
        """The messages of a request to the model, the system prompt first; limit 5 s.

        The list may be edited in place; then there is nothing to return. It is the request's own: the history stays as
        it is.
        """
        return messages

    def on_chunk(self, text: str, context: PipelineContext) -> str | None:
        """A piece of the model's text as it arrives. None drops it."""
        return text

    def on_sentence(self, text: str, context: PipelineContext) -> str | Awaitable[str | None] | None:
        """A sentence of the model's, before anything else looks at it; limit 1 s. None skips it."""
        return text

    def on_response(self, text: str, context: PipelineContext) -> Awaitable[None] | None:
        """The whole text of the model's reply, once it is complete and its sentences are on their way; limit 1 s."""

    def before_synthesize(self, text: str, context: PipelineContext) -> str | Awaitable[str | None] | None:
        """Any sentence that is about to be spoken, as the voice will get it; limit 1 s. None skips it."""
        return text

    def after_synthesize(self, audio: bytes, context: PipelineContext) -> bytes | None:
        """A piece of the agent's audio, in `context.carrier_format`, before it is played. None drops it."""
        return audio


def defined_hook(hooks: PipelineHooks, name: str) -> Callable[..., Any] | None:
    """The method of that name; None where the object leaves the one of `PipelineHooks` as it is."""
    method = getattr(hooks, name)
    if getattr(method, "__func__", None) is getattr(PipelineHooks, name):
        return None
    found: Callable[..., Any] = method
    return found


def check_pipeline_hooks(hooks: PipelineHooks) -> None:
    """Raise `ConfigError` for a hook that cannot be called where it stands."""
    for name in (*PLAIN_HOOKS, *TEXT_HOOKS):
        method = defined_hook(hooks, name)
        if method is not None and not callable(method):
            raise ConfigError(f"{name} is no function")
    for name in PLAIN_HOOKS:
        method = defined_hook(hooks, name)
        if method is not None and is_async(method):
            raise ConfigError(
                f"{name} must be a plain function, for it is called for each piece of audio or text "
                "in a task that cannot wait; use def, not async def"
            )
