"""Speech-to-speech engines: one session hears the caller and speaks for the agent (RT-15).

What an engine can do is in the flags of its `RealtimeRecord`; core calls a method that belongs to a flag only where the
record declares it, and waits for no event that it does not declare. Methods that send return when the message is
written; what comes of it is an event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from patter.audio.formats import MULAW_8K, AudioFormat

if TYPE_CHECKING:
    from patter.providers.llm import Message, ToolCall, ToolSpec

RealtimeEventKind = Literal[
    "audio",
    "transcript_input",
    "transcript_output",
    "function_call",
    "speech_started",
    "speech_stopped",
    "session_ready",
    "response_started",
    "response_done",
    "interrupted",
    "usage",
    "error",
    "closed",
]
#: how a response ended, whatever the vendor calls it
ResponseStatus = Literal["completed", "cancelled", "failed", "incomplete"]


@dataclass(frozen=True, slots=True)
class SettingsEcho:
    """What an engine says its settings are (flag `ack`).

    Attributes:
        guarded: whether it neither creates nor cancels responses by itself now; None where it says nothing of that.
        values: its turn detection as the vendor words it, for the protocol trace.
    """

    guarded: bool | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RealtimeUsage:
    """What one response was billed, in tokens; cached tokens are part of the input (CO-04).

    `input_text` and `input_audio` count all input, cached or not. `cached_total` is what the vendor gives where it does
    not tell cached text from cached audio. `seconds` is billed session time where the vendor bills that.
    """

    input_text: int = 0
    input_audio: int = 0
    output_text: int = 0
    output_audio: int = 0
    cached_text: int | None = None
    cached_audio: int | None = None
    cached_total: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RealtimeEvent:
    """A normalised event of an engine; fields that a kind does not use stay empty.

    ==================  ================================================================================
    audio               `audio` in the engine's output format, `response_id`, `item_id`
    transcript_input    `text` of the caller, `item_id`, `final` (False: a piece that replaces nothing and adds on;
                        True: the whole text in place of the pieces, "" when nothing was understood)
    transcript_output   `text` of the agent, `response_id`, `item_id`, `final` (the same)
    function_call       `call`, `response_id`
    speech_started      `item_id` of the caller's speech, where the vendor names it
    speech_stopped      the same
    session_ready       `echo`; once when the session is open, and again at each acknowledgement of settings
    response_started    `response_id`, `item_id`
    response_done       `response_id`, `status`, `detail`; exactly one for each response, last of its events
    interrupted         `response_id`, `detail` (by what): the engine cancelled by itself, before its `response_done`
    usage               `usage`, `response_id`
    error               `detail` (the vendor's code, never its text with secrets), `parameter`, `request`
    closed              `detail` (why); the last event of a session that Patter did not close
    ==================  ================================================================================
    """

    kind: RealtimeEventKind
    audio: bytes = b""
    text: str = ""
    final: bool = False
    response_id: str | None = None
    item_id: str | None = None
    status: ResponseStatus | None = None
    detail: str = ""
    parameter: str = ""
    #: what was asked for by the message that failed: "guard", "restore", "response", "session", "cancel", ...
    request: str = ""
    call: ToolCall | None = None
    echo: SettingsEcho | None = None
    usage: RealtimeUsage | None = None


@dataclass(frozen=True, slots=True)
class RealtimeSession:
    """What one call asks of an engine; equal for its parked and its live connection (PW-10).

    Attributes:
        instructions: the agent's system prompt.
        tools: the user's tools and the built-in ones.
        language: as configured; None when nobody did, and then none is sent (RT-22).
        first_message: what the agent says first, for engines that must know it from the start; "" when it says none.
        carrier_format: what the carrier takes and gives; an engine that can speak it should.
        patter_decides: the engine neither creates nor cancels responses by itself for the whole call (RT-24).
        history: what was said before, when a lost session is made anew.
    """

    instructions: str
    tools: Sequence[ToolSpec] = ()
    language: str | None = None
    first_message: str = ""
    carrier_format: AudioFormat = MULAW_8K
    patter_decides: bool = False
    history: Sequence[Message] = ()


class RealtimeEngine(ABC):
    """One session of one call.

    An engine that can be parked has `open_parked_connection(session)` and `adopt_websocket(handle)` besides.
    """

    @abstractmethod
    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """Format it takes and format it gives. An acknowledgement (`session_ready`) may change them (RT-19)."""

    @abstractmethod
    async def connect(self, session: RealtimeSession) -> None:
        """Open the session and send its settings. Raises `ProviderError`."""

    @abstractmethod
    def send_audio(self, chunk: bytes) -> Awaitable[None] | None:
        """Append the caller's next audio, in the format it takes. Runs for every frame: a plain function is cheaper."""

    @abstractmethod
    def receive(self) -> AsyncIterator[RealtimeEvent]:
        """Events until `close()`, which ends it quietly; after `closed` it ends by itself."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent, allowed before `connect()`, ends within 1 s."""

    # -- each of these belongs to a flag of the record

    async def guard(self) -> Mapping[str, Any] | None:
        """Tell it neither to create nor to cancel responses by itself until `restore()` (flag `ack`).

        May return the turn detection that was sent, as the vendor words it, for the protocol trace.
        """
        raise NotImplementedError

    async def restore(self) -> Mapping[str, Any] | None:
        """Give it back its configured turn detection (flag `ack`); with `patter_decides` both powers stay off.

        May return what was sent, as `guard` does.
        """
        raise NotImplementedError

    async def request_response(self, exact_text: str = "") -> None:
        """Ask it to speak now; `exact_text` word for word (flag `client_interrupt`)."""
        raise NotImplementedError

    async def cancel_response(self, response_id: str) -> None:
        """Stop making a response (flag `client_interrupt`)."""
        raise NotImplementedError

    async def truncate(self, item_id: str, heard_ms: int) -> None:
        """The caller heard so much of an item; 0 removes it (flag `truncate`)."""
        raise NotImplementedError

    async def add_message(self, message: Message) -> None:
        """Add to its conversation what was said without it (flag `truncate`)."""
        raise NotImplementedError

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """The result of a function call; asks for no response. Only for engines that call functions."""
        raise NotImplementedError
