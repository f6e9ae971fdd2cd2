"""What a simulated account's calls are like, and how its servers misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SimulatedTool:
    """A client tool that the agent calls before it replies; without a result within `timeout_s` it replies anyway."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class SimulatedTurn:
    """What is made of the caller's turn, and what comes of it; with `ends_call` the agent then hangs up."""

    heard: str = "Hello?"
    reply: str = "I am fine, thank you. How can I help you today?"
    tool: SimulatedTool | None = None
    ends_call: bool = False


@dataclass(frozen=True, slots=True)
class Faults:
    """How the servers depart from what is good for a call.

    Attributes:
        times: so many calls go like that, all by default; in those after them nothing goes wrong.
        create_status: the request that makes a call is answered with this HTTP status.
        create_s: time to its answer, in s.
        answer: the body of its answer, in place of a call.
        join: the join URL does not work: the socket is refused, or closed at once.
        ignore_greeting: the scripted greeting is not spoken.
        silent: no audio at all.
        malformed: broken messages between the good ones.
        split_audio: audio is cut in the middle of samples.
        drop: where the connection is lost.
        drop_code: the close code of that; None for no close at all.
        drop_after_s: how long after a greeting was heard a connection is lost that is lost after it, in s.
        cancel_greeting_s: the greeting is interrupted by the server itself after that time, in s.
        stray_clears: the buffer is told to be cleared when nothing is in it, too.
        late_transcript: the caller's words come after the reply's first audio.
        no_deltas: transcripts come whole, growing, in place of pieces.
        stall_s: a pause in the middle of each utterance's audio, in s.
        no_close: a close is never answered.
    """

    times: int | None = None
    create_status: int | None = None
    create_s: float = 0.0
    answer: Any = None
    join: Literal["refused", "closed"] | None = None
    ignore_greeting: bool = False
    silent: bool = False
    malformed: bool = False
    split_audio: bool = False
    drop: Literal["greeting", "after_greeting", "reply"] | None = None
    drop_code: int | None = 1011
    drop_after_s: float = 0.0
    cancel_greeting_s: float | None = None
    stray_clears: bool = False
    late_transcript: bool = False
    no_deltas: bool = False
    stall_s: float = 0.0
    no_close: bool = False
