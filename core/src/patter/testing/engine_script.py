"""What the fake engine of one call is to do, and what it was sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from patter.providers.realtime import RealtimeEvent, RealtimeSession, ResponseStatus
    from patter.testing.scene import CallTool


class RunningEngine(Protocol):
    """The engine of the current session."""

    def drop(self, reason: str = ...) -> None:
        """Lose the connection now."""

    def cancel(self, by: str) -> None:
        """Cancel what it is saying by itself."""

    def report(self, event: RealtimeEvent) -> None:
        """Report an event now."""


@dataclass(frozen=True, slots=True)
class EngineReply:
    """One response of the fake engine.

    Args:
        text: what it says; a response that is asked for with an exact text says that.
        tools: what it calls after that.
        status: how it ends; all but "completed" end it after `after_ms` of audio.
        detail: why.
        after_ms: how much of its audio comes; all of it when None.
        delay_s: before it begins, in s.
        piece_s: between 100 ms of audio and the next, in s.
        slowness: how much longer than usual it takes to say it.
        silent: whether it ends without a byte of audio.
        never: whether it never begins.
        hangs: whether its end never comes.
        drops: whether the connection is lost in place of its end.
        repeated_ends: how often its end is told again.
    """

    text: str = ""
    tools: Sequence[CallTool] = ()
    status: ResponseStatus = "completed"
    detail: str = ""
    after_ms: int | None = None
    delay_s: float = 0.1
    piece_s: float = 0.01
    slowness: float = 1.0
    silent: bool = False
    never: bool = False
    hangs: bool = False
    drops: bool = False
    repeated_ends: int = 0


@dataclass(slots=True, eq=False)
class EngineTurn:
    """A response that is being made."""

    response_id: str
    item_id: str
    spoken: EngineReply
    told: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)


@dataclass(slots=True)
class EngineScript:
    """The fake engine of one call.

    Attributes:
        replies: what it says, in order; then it repeats what the caller said.
        greetings: how the responses with an exact text go, in order; faultless when they are used up.
        ack_s: how late settings are acknowledged, in s; None for never.
        ignores_guard: whether it goes on deciding by itself, and says so.
        guard_error: refuse the guard with this code.
        transcript_s: how late the caller's text comes after the end of the speech, in s; None for never.
        transcript_delays: the same for the next ones, one each.
        reply_s: how late it replies by itself after that end, in s.
        connect_s: how long a handshake takes, in s.
        connect_faults: what the next connections raise; None lets one pass.
        adoption_fails: whether no parked session can be taken over.
        orders: what it was sent but for audio, in order: ("guard", None), ("response", exact text), ...
        heard: the caller's audio, as it came.
        understood: what the caller said, as it was understood.
        sessions: what was asked of each session that was opened or adopted.
        problems: what was done to it against its contract.
        engine: the one of the current session.
    """

    replies: deque[EngineReply] = field(default_factory=deque)
    greetings: deque[EngineReply] = field(default_factory=deque)
    ack_s: float | None = 0.05
    ignores_guard: bool = False
    guard_error: str = ""
    transcript_s: float | None = 0.2
    transcript_delays: deque[float] = field(default_factory=deque)
    reply_s: float = 0.1
    connect_s: float = 0.05
    connect_faults: deque[Exception | None] = field(default_factory=deque)
    adoption_fails: bool = False
    orders: list[tuple[str, Any]] = field(default_factory=list)
    events: list[RealtimeEvent] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    understood: list[str] = field(default_factory=list)
    sessions: list[RealtimeSession] = field(default_factory=list)
    parked: list[RealtimeSession] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    parked_closed: int = 0
    connections: int = 0
    made: int = 0
    items: int = 0
    responses: int = 0
    engine: RunningEngine | None = None

    def sent(self, order: str, what: Any = None) -> None:
        """Note what it was sent; of audio only that some came after another order."""
        if order != "audio" or not self.orders or self.orders[-1][0] != "audio":
            self.orders.append((order, what))

    def names(self) -> list[str]:
        """The orders by name."""
        return [name for name, _ in self.orders]

    def transcript_delay(self) -> float:
        """How late the next text comes, in s."""
        if self.transcript_delays:
            return self.transcript_delays.popleft()
        return self.transcript_s or 0.0

    def next(self, exact_text: str, *, greeting: bool) -> EngineReply:
        """The next response."""
        from dataclasses import replace

        if greeting:
            spoken = self.greetings.popleft() if self.greetings else EngineReply()
            return replace(spoken, text=exact_text)
        if self.replies:
            return self.replies.popleft()
        return EngineReply(f"You said: {self.understood[-1] if self.understood else 'nothing'}")
