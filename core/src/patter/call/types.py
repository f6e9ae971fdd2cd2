"""The objects that a call hands to hooks, callbacks and tools.

The mutable ones (`UserTurn`, `LLMRequest`, `Sentence`) are edited in place by "modify" hooks; the others are
snapshots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from patter.metrics.cost import CallCost

if TYPE_CHECKING:
    from patter.metrics import CallMetrics, InterruptionMetrics, TurnMetrics
    from patter.providers.carrier import CallStatus
    from patter.providers.llm import Message, ToolSpec
    from patter.records import ProviderKind

EosTrigger = Literal["stt_endpoint", "vad_silence", "manual_commit"]
UserState = Literal["listening", "speaking", "thinking", "away"]
AgentState = Literal["initializing", "idle", "listening", "thinking", "speaking"]

#: text of the report on an agent turn that was stopped before a word of it was heard (TN-09)
INTERRUPTED = "[interrupted]"


@dataclass(frozen=True, slots=True)
class ConversationState:
    """Who is doing what at one moment.

    user: "speaking"; "listening" while the agent speaks or prepares to; "thinking" when it is the caller's turn to
    speak; "away" once neither side was heard for 15 s. agent: "initializing" until the media is up; "listening";
    "thinking" from a turn's start to its first sent audio; "speaking" from there to the end of playout or an
    interruption; "idle" after the call.
    """

    user: UserState
    agent: AgentState


@dataclass(slots=True)
class UserTurn:
    """What the caller said in one turn; `text` may be changed, "" skips the turn."""

    turn: int
    text: str
    trigger: EosTrigger


@dataclass(slots=True)
class LLMRequest:
    """One request to the language model; both lists may be changed."""

    turn: int
    messages: list[Message]
    tools: list[ToolSpec]


@dataclass(slots=True)
class Sentence:
    """One sentence on its way to the voice; `text` may be changed, "" skips it."""

    turn: int
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class TurnReport:
    """An agent turn that ended.

    `text` is what the caller heard of it (TN-08), or "[interrupted]" when it was stopped before a word was heard
    (TN-09). Times are ms; None where the turn did not get that far. `latency_ms` is that of `metrics`, which has the
    rest and the breakdown; `timings` are moments since the commit of the caller's turn.
    """

    turn: int
    user_text: str
    text: str
    interrupted: bool
    heard_ms: float
    latency_ms: float | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    metrics: TurnMetrics | None = None

    @property
    def heard_text(self) -> str:
        """What the caller heard of it, to be shown to people; "" for nothing."""
        return "" if self.text == INTERRUPTED and self.interrupted else self.text


@dataclass(frozen=True, slots=True)
class BargeInOutcome:
    """An interruption that was confirmed or dropped. `detection_delay_ms` counts from the speech start.

    `requested`: the application stopped the agent, whoever spoke. `metrics` is there when it was confirmed.
    """

    turn: int
    outcome: Literal["confirmed", "unconfirmed", "rejected"]
    transcript: str
    detection_delay_ms: float
    requested: bool = False
    metrics: InterruptionMetrics | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A finished tool call; `error` is set when it failed."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    result: str
    error: str | None
    duration_ms: float


@dataclass(frozen=True, slots=True)
class ProviderConnected:
    """A provider is connected: anew, or over the connection that was opened while the phone rang (PW-08)."""

    kind: ProviderKind
    source: Literal["adopted", "fresh"]
    took_ms: float


@dataclass(frozen=True, slots=True)
class ProviderWarmed:
    """A provider was warmed, or its connection parked, while the phone rang (PW-08)."""

    kind: str
    took_ms: float


@dataclass(frozen=True, slots=True)
class CallFailure:
    """A part of a call that failed: which provider, with which reference, and how; "tools" is an MCP server."""

    kind: ProviderKind | Literal["core", "tools"]
    reference: str
    error: BaseException


@dataclass(slots=True)
class TranscriptEntry:
    """One line of the transcript, in order of speech; nobody changes one (a frozen one takes four times as long to make).

    `heard_ms` is when the line began, in ms from the start of the media. `unanswered`: caller text that no turn
    took before the call ended. `backchannel`: said over the agent without interrupting.
    """

    role: Literal["user", "assistant"]
    text: str
    heard_ms: float
    interrupted: bool = False
    unanswered: bool = False
    backchannel: bool = False


@dataclass(frozen=True, slots=True)
class CallSummary:
    """What `patter_call_ended` gets.

    `leaks` names what the teardown ledger found still open, `lost_frames` counts caller frames dropped because the
    STT was slow. `voicemail`: a machine answered and got the message that was meant for it. `latency` has the figures of
    the turns, `metrics` the same and others as plain data. `cost` is what is known at the end of the call; what vendors
    report afterwards is in the call's record alone (CO-08).
    """

    call_id: str
    connected: bool
    outcome: CallStatus
    reason: str
    duration_s: float
    transcript: tuple[TranscriptEntry, ...] = ()
    history: tuple[Message, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    lost_frames: int = 0
    leaks: tuple[str, ...] = ()
    voicemail: bool = False
    latency: CallMetrics | None = None
    cost: CallCost = field(default_factory=CallCost)
