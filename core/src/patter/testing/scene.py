"""What the fakes of one call are to do, and what they did: the script between a test and its call.

A `Scene` belongs to one call. The fakes find it through `Scenes`, an object that the phone shares between them, so a
test can prepare a scene before its call and read it afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from patter.testing.engine_script import EngineScript
from patter.testing.tones import nearest_number, speech_ms

if TYPE_CHECKING:
    from patter.providers.context import ProviderContext
    from patter.providers.llm import Message, ToolSpec, Usage
    from patter.providers.stt import STTEvent

#: under this key the phone shares its scenes
SHARED_KEY = "patter.testing.scenes"


@dataclass(frozen=True, slots=True)
class CallTool:
    """A tool call of a scripted model; `arguments` may be text, to be malformed on purpose."""

    name: str
    arguments: dict[str, Any] | str = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a scripted model.

    Args:
        text: what it says, streamed word by word.
        tools: the tools it calls after that.
        delay_s: before the first token, in s.
        token_delay_s: before each further token, in s.
        error: raised before the first token, or after `tokens_before_error` of them.
        tokens_before_error: how many tokens come before `error`.
        hangs: whether it stays open in silence after its last token and never ends.
        counted: whether the tokens are told: one of input, and one for each word of the reply.
        usage: what is told in their place.
    """

    text: str = ""
    tools: Sequence[CallTool] = ()
    delay_s: float = 0.0
    token_delay_s: float = 0.0
    error: Exception | None = None
    tokens_before_error: int = 0
    hangs: bool = False
    counted: bool = True
    usage: Usage | None = None


ScriptedReply = str | Reply | Exception | Callable[[Sequence["Message"]], "str | Reply"]


@dataclass(slots=True)
class ModelScript:
    """The replies of the fake model, in order; when they are used up it repeats what the caller said.

    `requests` holds the messages of every request, `tools` the tools that were offered with each.
    """

    replies: deque[ScriptedReply] = field(default_factory=deque)
    requests: list[list[Message]] = field(default_factory=list)
    tools: list[list[ToolSpec]] = field(default_factory=list)
    open_streams: int = 0
    made: int = 0

    def next(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        """The answer to a request."""
        self.requests.append(list(messages))
        self.tools.append(list(tools))
        scripted: ScriptedReply = self.replies.popleft() if self.replies else _repeat
        if callable(scripted):
            scripted = scripted(messages)
        if isinstance(scripted, str):
            return Reply(scripted)
        return Reply(error=scripted) if isinstance(scripted, Exception) else scripted


def _repeat(messages: Sequence[Message]) -> str:
    said = next((message.content for message in reversed(messages) if message.role == "user"), "nothing")
    return f"You said: {said}"


@dataclass(slots=True)
class VoiceFault:
    """How one synthesis goes wrong: late by `delay_s`, or failing with `error` after `after_ms` of audio."""

    delay_s: float = 0.0
    error: Exception | None = None
    after_ms: int = 0


@dataclass(slots=True)
class VoiceScript:
    """The syntheses of the fake voice: `spoken` are the texts in the order in which they were asked for.

    `faults` go to the next syntheses, one each; None lets one pass.
    """

    spoken: list[str] = field(default_factory=list)
    faults: deque[VoiceFault | None] = field(default_factory=deque)
    open_streams: int = 0
    made: int = 0

    def begin(self, text: str) -> tuple[int, VoiceFault]:
        """Note a synthesis; returns its number, from 0, and its fault."""
        self.spoken.append(text)
        fault = self.faults.popleft() if self.faults else None
        return len(self.spoken) - 1, fault or VoiceFault()

    def number_of(self, pitch: int) -> int:
        """The synthesis that a heard pitch belongs to; -1 for none."""
        return nearest_number(pitch, len(self.spoken) - 1)


@dataclass(slots=True)
class Utterance:
    """Something that the caller said: how long it lasts, and what is understood of it."""

    text: str
    understood: str
    duration_ms: int


@dataclass(slots=True)
class RecogniserScript:
    """What the fake recogniser may understand, and how it behaves.

    It hears the caller's tones: an utterance that never reaches it in sound is never understood.

    Attributes:
        utterances: what the caller said, by number.
        events: everything that it reported, in order.
        delay_s: between the end of an utterance and its final, in s.
        silent: whether it reports nothing at all.
        interims: whether it reports partial transcripts, one at each further word.
        connections: how often it was connected.
        finalizes: how often it was asked for a final.
    """

    utterances: list[Utterance] = field(default_factory=list)
    events: list[STTEvent] = field(default_factory=list)
    delay_s: float = 0.0
    silent: bool = False
    interims: bool = True
    connections: int = 0
    finalizes: int = 0
    made: int = 0
    report: Callable[[STTEvent | Exception], None] | None = None

    def add(self, text: str, understood: str | None = None, duration_ms: int | None = None) -> int:
        """Note what the caller is about to say; returns its number."""
        length = speech_ms(text) if duration_ms is None else duration_ms
        self.utterances.append(Utterance(text, text if understood is None else understood, length))
        return len(self.utterances) - 1

    def emit(self, event: STTEvent) -> None:
        """Let the recogniser report an event now. Raises `RuntimeError` while it is not connected."""
        if self.report is None:
            raise RuntimeError("the call's fake STT is not connected")
        self.report(event)

    def fail(self, error: Exception) -> None:
        """Break its connection with `error` now. Raises `RuntimeError` while it is not connected."""
        if self.report is None:
            raise RuntimeError("the call's fake STT is not connected")
        self.report(error)


@dataclass(slots=True)
class Scene:
    """One call's script."""

    model: ModelScript = field(default_factory=ModelScript)
    voice: VoiceScript = field(default_factory=VoiceScript)
    recogniser: RecogniserScript = field(default_factory=RecogniserScript)
    engine: EngineScript = field(default_factory=EngineScript)


class Scenes:
    """The scenes of a phone's calls."""

    def __init__(self) -> None:
        self._scenes: dict[str, Scene] = {}

    def of(self, call_id: str | None) -> Scene:
        """The scene of a call; a fresh one for a call that has none."""
        return self._scenes.setdefault(call_id or "", Scene())

    def bind(self, call_id: str, scene: Scene) -> None:
        """Give a call the scene that was prepared for it; before its media starts."""
        self._scenes[call_id] = scene

    def drop(self, call_id: str) -> None:
        """The call is over."""
        self._scenes.pop(call_id, None)


def scene_of(context: ProviderContext) -> Scene:
    """The scene of the call that a provider is made for."""
    return context.shared.get(SHARED_KEY, Scenes).of(context.call_id)
