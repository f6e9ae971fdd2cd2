"""What came of one simulated call: everything that the invariants look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.actions import EndCall, StartReply
    from patter.call.session_state import State
    from patter.call.types import BargeInOutcome, TurnReport
    from patter.testing.simulation.speech import Line


@dataclass(slots=True)
class SpokenLine:
    """A sentence whose audio was given to playout: its place in the source pattern, in samples.

    `cut`: its voice failed in the middle; `line` is as long as what was made of it. `rendered`: it was made while the
    phone rang.
    """

    reply: int
    line: Line
    start: int
    cut: bool = False
    rendered: bool = False

    @property
    def end(self) -> int:
        """The sample after its last."""
        return self.start + self.line.samples


@dataclass(slots=True)
class HeardFinal:
    """A final as it was given to the machine; `accepted` as the ledger's rules have it.

    `speech_ended_at` is when the caller's last speech before it ended, in s; None when none had.
    """

    t: float
    text: str
    accepted: bool
    speech_ended_at: float | None


@dataclass(slots=True)
class Cancelled:
    """A reply that was given up, and what the machine was being told when it did."""

    t: float
    reply: int
    cause: str
    #: whether something of it had been sent
    heard: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """How the machine stood just before the caller hung up, when nothing had happened for long."""

    state: State


@dataclass(slots=True)
class Record:
    """One call's outcome. Times in s."""

    finals: list[HeardFinal] = field(default_factory=list)
    transcribed: list[str] = field(default_factory=list)
    lines: list[SpokenLine] = field(default_factory=list)
    started: list[tuple[float, StartReply]] = field(default_factory=list)
    cancelled: list[Cancelled] = field(default_factory=list)
    first_sent: dict[int, float] = field(default_factory=dict)
    last_sent: dict[int, float] = field(default_factory=dict)
    turns: list[tuple[float, TurnReport]] = field(default_factory=list)
    interruptions: list[tuple[float, BargeInOutcome]] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    finalizes: list[float] = field(default_factory=list)
    speech_begins: list[float] = field(default_factory=list)
    speech_ends: list[float] = field(default_factory=list)
    #: what observers were told of speech, in order
    moments: list[str] = field(default_factory=list)
    #: keys and words of the caller that count whatever the VAD says
    signs: list[float] = field(default_factory=list)
    ended: list[tuple[float, EndCall]] = field(default_factory=list)
    #: when the application asked for the end of the call, which lasts until what is being said is heard
    ending_since: float | None = None
    problems: list[str] = field(default_factory=list)
    #: whether the socket stalled or the process froze: then playback is not where the engine must believe it to be
    disturbed: bool = False
    frozen: bool = False
    stalls: list[tuple[float, float]] = field(default_factory=list)
    freezes: list[tuple[float, float]] = field(default_factory=list)
    #: speech that should have stopped the agent and did not
    ignored: list[str] = field(default_factory=list)
    when_quiet: Quiet | None = None
    happened: int = 0
    #: (time, code, value) of each entry, one after another
    log: list[float] = field(default_factory=list)
    #: readable lines, when asked for
    trace: list[str] | None = None
