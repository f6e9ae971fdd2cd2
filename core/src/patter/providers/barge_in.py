"""Barge-in strategies: may the caller's speech interrupt the agent?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Literal

BargeInKind = Literal["speech_start", "speech_tick", "interim", "final", "speech_end"]


class Verdict(Enum):
    """What a strategy may answer; True means CONFIRM and False means WAIT."""

    CONFIRM = "confirm"
    WAIT = "wait"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class BargeInEvent:
    """One moment of a pending interruption (BI-14).

    In kinds without text, `transcript` is the latest interim of the speech, or "" before the first. `speech_ms` is
    how long the caller has been speaking, `agent_heard_ms` how much of the agent's turn the caller has heard.
    """

    kind: BargeInKind
    transcript: str
    is_final: bool
    agent_speaking: bool
    speech_ms: float
    agent_heard_ms: float


class BargeInStrategy(ABC):
    """Decides about pending interruptions; one instance per call.

    `evaluate` is a plain function of the events since `reset()`: the same events give the same answers, it does no
    I/O and takes less than 0.1 ms. An ``async def evaluate`` is refused when the strategy is registered.
    """

    @abstractmethod
    def evaluate(self, event: BargeInEvent) -> bool | Verdict:
        """True or CONFIRM interrupts the agent, False or WAIT is "not yet", REJECT drops this interruption."""

    def reset(self) -> None:  # noqa: B027 - optional: most strategies keep no state
        """Forget the speech judged so far. Called at the end of each pending state and of each agent turn."""
