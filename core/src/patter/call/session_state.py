"""The state of a session: what it can be in, what it is set to, and the agent turn in progress. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from patter.call.types import INTERRUPTED, TurnReport

if TYPE_CHECKING:
    from patter.call.actions import ReplyKind
    from patter.call.types import EosTrigger


class State(Enum):
    """See the picture in `patter.call.machine`."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    DRAINING = "draining"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What the machine needs to know of the agent. Times in s; an idle time that is None is never up (TN-22)."""

    first_message: str = ""
    turn_end: str = "vad"
    max_duration_s: float = 3600.0
    can_finalize: bool = True
    idle_prompt: str = ""
    idle_prompt_s: float | None = None
    idle_hangup_s: float | None = None

    @property
    def trigger(self) -> EosTrigger:
        """What ends the caller's turns, unless the application does."""
        return "vad_silence" if self.turn_end == "vad" else "stt_endpoint"


@dataclass(slots=True)
class TurnEnd:
    """An agent turn that ended: what the machine knows of it, of which the session makes a `TurnReport` with times."""

    turn: int
    user_text: str
    text: str
    interrupted: bool
    heard_ms: float

    def report(self) -> TurnReport:
        """What is told of it, without times."""
        return TurnReport(self.turn, self.user_text, self.text, self.interrupted, self.heard_ms)


@dataclass(slots=True)
class Reply:
    """The agent turn in progress; `first_audio_at` is in s of the call's clock."""

    reply: int
    kind: ReplyKind
    user_turn: int | None
    user_text: str
    first_audio_at: float | None = None
    made: bool = False

    def ended(self, text: str, heard_ms: float, *, interrupted: bool) -> TurnEnd:
        """How it ended; `text` is what the caller heard."""
        told = INTERRUPTED if interrupted and not text else text
        return TurnEnd(self.reply, self.user_text, told, interrupted, heard_ms)
