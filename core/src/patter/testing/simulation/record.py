"""What came of one simulated call: everything that the invariants look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.actions import EndCall, StartReply
    from patter.call.conversation import Conversation
    from patter.call.session_state import State, TurnEnd
    from patter.call.types import BargeInOutcome, TranscriptEntry, TurnReport
    from patter.testing.simulation.speech import Line

    #: an agent turn that is over, as the machine tells it and as the session does
    EndedTurn = TurnEnd | TurnReport


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


class Written:
    """What is written of a call at its end.

    Attributes:
        user: the history's entries of the caller.
        agent: those of the agent that have a text.
        transcript: all lines.
    """

    __slots__ = ("agent", "transcript", "user")

    def __init__(self, conversation: Conversation) -> None:
        self.transcript: tuple[TranscriptEntry, ...] = conversation.transcript
        user: list[str] = []
        agent: list[str] = []
        for message in conversation.history:
            role = message.role
            if role == "user":
                user.append(message.content)
            elif role == "assistant" and message.content:
                agent.append(message.content)
        self.user, self.agent = user, agent


class Record:
    """One call's outcome. Times in s.

    Not more than thirty attributes, or each object has a dictionary of its own, which takes its time.
    """

    written: Written

    def __init__(self, *, trace: bool = False) -> None:
        self.finals: list[HeardFinal] = []
        #: the texts of those that were accepted
        self.accepted: list[str] = []
        self.transcribed: list[str] = []
        self.lines: list[SpokenLine] = []
        self.started: list[tuple[float, StartReply]] = []
        self.cancelled: list[Cancelled] = []
        self.first_sent: dict[int, float] = {}
        self.last_sent: dict[int, float] = {}
        self.turns: list[tuple[float, EndedTurn]] = []
        self.interruptions: list[tuple[float, BargeInOutcome]] = []
        self.clears: list[float] = []
        self.finalizes: list[float] = []
        self.speech_begins: list[float] = []
        self.speech_ends: list[float] = []
        #: what observers were told of speech, in order
        self.moments: list[str] = []
        #: keys and words of the caller that count whatever the VAD says
        self.signs: list[float] = []
        self.ended: list[tuple[float, EndCall]] = []
        #: when the application asked for the end of the call, which lasts until what is being said is heard
        self.ending_since: float | None = None
        self.problems: list[str] = []
        #: whether the socket stalled or the process froze: then playback is not where the engine must believe it to be
        self.disturbed = False
        self.frozen = False
        self.stalls: list[tuple[float, float]] = []
        self.freezes: list[tuple[float, float]] = []
        #: speech that should have stopped the agent and did not
        self.ignored: list[str] = []
        self.when_quiet: Quiet | None = None
        self.happened = 0
        #: (time, code, value) of each entry, one after another
        self.log: list[float] = []
        #: readable lines, when asked for
        self.trace: list[str] | None = [] if trace else None

    def read(self, conversation: Conversation) -> None:
        """The call is over: note what is written of it."""
        self.written = Written(conversation)
