"""What the parts of a reply work with: the session's side of it, the providers and rules, and who it is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from patter.call.prerendered import Prerendered
from patter.metrics.cost_meter import CallMeter

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from patter.audio.formats import AudioFormat
    from patter.call.pipeline import CallPipeline
    from patter.call.reply_meter import ReplyMeter
    from patter.call.tool_running import ToolRunner
    from patter.guardrails import Guardrail
    from patter.plugins import HookDispatcher
    from patter.providers.llm import LLM, Message, ToolSpec
    from patter.providers.tts import TTS
    from patter.records import ProviderKind


class Mouth(Protocol):
    """What the session offers to a reply: playout, history and notices, all in the machine's step."""

    @property
    def carrier_format(self) -> AudioFormat:
        """Format of the audio to add."""

    def open_sentence(self, reply: int, text: str, tool_rounds: int = 0) -> bool:
        """Announce a sentence that comes after so many rounds of tools; False when the reply was cancelled."""

    def add_audio(self, reply: int, audio: bytes) -> bool:
        """Append audio; False when the reply was cancelled."""

    def close_sentence(self, reply: int, *, cut: bool = False) -> None:
        """The sentence is complete; `cut` when its voice failed or had no sound."""

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

    def worked(self, kind: ProviderKind) -> None:
        """A provider has done its work: failures before that do not count any more."""

    async def failed(self, kind: ProviderKind, error: Exception, *, spoken: bool) -> bool:
        """A provider failed; True when it was made anew or replaced and may be tried again."""


@dataclass(slots=True)
class Voice:
    """The providers and rules of a call's replies; replaced providers are seen at the next sentence."""

    llm: LLM | None
    tts: TTS | None
    tools: ToolRunner | None
    pipeline: CallPipeline
    specs: list[ToolSpec] = field(default_factory=list)
    language: str = "en"
    aggressive_first_flush: bool = False
    llm_error_message: str = ""
    long_turn_message: str = ""
    long_turn_message_after_s: float = 4.0
    guardrails: tuple[Guardrail, ...] = ()
    text_transforms: tuple[Callable[[str], str], ...] = ()
    prerendered: Prerendered = field(default_factory=Prerendered)
    meter: CallMeter = field(default_factory=CallMeter)
    #: of each kind that has something to take over: set once that is done
    adopting: dict[str, asyncio.Event] = field(default_factory=dict)

    async def ready(self, kind: Literal["tts", "llm"]) -> None:
        """Wait until the voice, or the model, is the one of this call and has its connection (PW-02)."""
        adopted = self.adopting.get(kind)
        if adopted is not None:
            await adopted.wait()


@dataclass(frozen=True, slots=True)
class ReplyParts:
    """One reply and its surroundings; `number` is that of the agent turn, `moments` learns what has happened."""

    number: int
    mouth: Mouth
    voice: Voice
    hooks: HookDispatcher
    call_id: str
    moments: ReplyMeter
