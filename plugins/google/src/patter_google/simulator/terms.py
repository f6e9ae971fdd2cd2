"""What a simulated model is like, and how its servers misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SimulatedTool:
    """A function that the model calls before it replies, `count` times at once; `says` is what it says first."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    count: int = 1
    says: str = ""


@dataclass(frozen=True, slots=True)
class SimulatedTurn:
    """What is made of the caller's turn, and what comes of it."""

    heard: str = "Hello?"
    reply: str = "I am fine, thank you. How can I help you today?"
    tool: SimulatedTool | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What the vendor allows.

    Attributes:
        session_s: longest session without compression of its context, in s.
        connection_s: longest connection, in s.
        notice_s: so long before its end a connection is told to go away, in s.
        content_in_calls: whether turns of the conversation are taken while it runs, as older models do.
        late_playback: whether a turn is over only once its audio would have been played.
    """

    session_s: float = 900.0
    connection_s: float = 600.0
    notice_s: float = 10.0
    content_in_calls: bool = False
    late_playback: bool = True


@dataclass(frozen=True, slots=True)
class Faults:
    """How the servers depart from what is good for a call.

    Attributes:
        status: the upgrade is answered with this HTTP status.
        refusal: close code and reason in place of the acknowledgement.
        no_ack: the set-up is never acknowledged.
        ack_s: time to the acknowledgement, in s.
        not_resumable: no handles are given.
        silent: no audio at all.
        mute: so many of the first utterances are never begun.
        malformed: broken messages between the good ones.
        stall_s: a pause in the middle of each utterance's audio, in s.
        drop: the number of the utterance in whose middle the connection is lost, from 0.
        drop_s: the connection is lost so long after its acknowledgement, in s.
        drop_code: the close code of both; None for no close at all.
        cancels: so many of the first utterances are interrupted by the server itself.
        cancel_s: so long after they began, in s.
        late_transcript: the caller's words come after the reply's first audio.
        last_transcript: the agent's words come after the end of its turn.
        finishes: the ends of transcripts are told.
        no_generation_complete: the end of a generation is not told.
        deaf_to_no_interruption: the setting NO_INTERRUPTION has no effect.
        pong_s: time to the answer of a ping, in s.
        no_close: a close is never answered.
        times: so many connections suffer from all this; None for all.
    """

    status: int | None = None
    refusal: tuple[int, str] | None = None
    no_ack: bool = False
    ack_s: float = 0.0
    not_resumable: bool = False
    silent: bool = False
    mute: int = 0
    malformed: bool = False
    stall_s: float = 0.0
    drop: int | None = None
    drop_s: float | None = None
    drop_code: Literal[1000, 1008, 1011] | None = 1011
    cancels: int = 0
    cancel_s: float = 0.3
    late_transcript: bool = False
    last_transcript: bool = False
    finishes: bool = False
    no_generation_complete: bool = False
    deaf_to_no_interruption: bool = False
    pong_s: float = 0.0
    no_close: bool = False
    times: int | None = None
