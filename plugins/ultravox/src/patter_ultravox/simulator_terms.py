"""How the simulated servers misbehave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from patter.simulators.hosted import HostedFaults


@dataclass(frozen=True, slots=True)
class Faults(HostedFaults):
    """How the servers depart from what is good for a call; see `HostedFaults`.

    Attributes:
        create_status: the request that makes a call is answered with this HTTP status.
        create_s: time to its answer, in s.
        answer: the body of its answer, in place of a call.
        join: the join URL does not work: the socket is refused, or closed at once.
        ignore_greeting: the scripted greeting is not spoken.
        split_audio: audio is cut in the middle of samples.
        stray_clears: the buffer is told to be cleared when nothing is in it, too.
        no_deltas: transcripts come whole, growing, in place of pieces.
    """

    create_status: int | None = None
    create_s: float = 0.0
    answer: Any = None
    join: Literal["refused", "closed"] | None = None
    ignore_greeting: bool = False
    split_audio: bool = False
    stray_clears: bool = False
    no_deltas: bool = False
