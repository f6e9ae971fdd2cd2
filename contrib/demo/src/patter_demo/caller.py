"""The synthetic person on the phone: when to speak, when to wait, when to interrupt, when to give up. Pure.

The caller knows nothing of the agent but what can be heard of it. Times are seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from patter_demo.hearing import Span


@dataclass(frozen=True, slots=True)
class Manners:
    """How a person waits, in s.

    `pause_s` of silence means that the other one has finished. `greeting_s` and `patience_s` are how long to wait for
    the first word of a greeting and of an answer. An interruption begins `interrupt_after_s` into an answer. Nobody
    listens for longer than `longest_answer_s`.
    """

    pause_s: float = 0.8
    greeting_s: float = 6.0
    patience_s: float = 8.0
    interrupt_after_s: float = 1.7
    longest_answer_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Go on listening."""


@dataclass(frozen=True, slots=True)
class Say:
    """Say the line of that index now."""

    line: int


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call, and why."""

    reason: str


Decision = Wait | Say | HangUp

#: lines without an answer, one after the other, after which a person hangs up
UNANSWERED_LINES = 2
#: somebody who was heard this recently is still talking, in s
STILL_TALKING_S = 0.25


class Caller:
    """Goes through a script whose lines either wait for the agent or (`interrupts`) break into its answer."""

    def __init__(self, interrupts: Sequence[bool], manners: Manners | None = None) -> None:
        self.manners = manners or Manners()
        self._interrupts = interrupts
        self._next = 0
        self._unanswered = 0
        self._silent_since = 0.0

    def picked_up(self, t: float) -> None:
        """The call is connected."""
        self._silent_since = t

    def spoke(self, line: int, t: float) -> None:
        """The last sound of a line was made."""
        self._next = line + 1
        self._silent_since = t

    def decide(self, t: float, agent: Span | None) -> Decision:
        """What to do at `t`, `agent` being the latest utterance that was heard."""
        if agent is None or agent.end <= self._silent_since:
            return self._without_answer(t)
        begun = max(agent.start, self._silent_since)
        last = self._next == len(self._interrupts)
        if not last and self._interrupts[self._next]:
            talking = t - agent.end < STILL_TALKING_S
            if talking and t - begun >= self.manners.interrupt_after_s:
                return self._go_on()
        if t - agent.end >= self.manners.pause_s or t - begun > self.manners.longest_answer_s:
            return self._go_on()
        return Wait()

    def _go_on(self) -> Decision:
        self._unanswered = 0
        if self._next == len(self._interrupts):
            return HangUp("everything was said")
        return Say(self._next)

    def _without_answer(self, t: float) -> Decision:
        spoken = self._next > 0
        patience = self.manners.patience_s if spoken else self.manners.greeting_s
        if t - self._silent_since < patience:
            return Wait()
        if spoken:
            self._unanswered += 1
        if self._unanswered >= UNANSWERED_LINES:
            return HangUp(f"{self._unanswered} lines in a row had no answer")
        if self._next == len(self._interrupts):
            return HangUp("the last line had no answer")
        return Say(self._next)
