"""How the simulated agent's turns are made: the model's and the voice's delays and failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patter.testing.simulation.speech import Line, spoken

if TYPE_CHECKING:
    from collections.abc import Callable

#: ms of audio per character: nine times as fast as people, and as fast as they
FAST, HUMAN = 8, 75
SENTENCES = (
    "Surely that works.",
    "Checking that.",
    "Seven o'clock then.",
    "Certainly.",
    "Anything else?",
    "Thanks.",
)


#: each of them in each voice
_LINES = {
    (voice, timed): tuple(spoken(sentence, voice, timed=timed) for sentence in SENTENCES)
    for voice in (FAST, HUMAN)
    for timed in (False, True)
}


@dataclass(slots=True)
class SpokenPlan:
    """How one sentence is synthesised: `tts_s` after the one before, in one piece or in two `gap_s` apart."""

    line: Line
    tts_s: float
    gap_s: float = 0.0


#: each line at once and in one piece, as most are said
_AT_ONCE = {key: tuple(SpokenPlan(line, 0.0) for line in lines) for key, lines in _LINES.items()}


@dataclass(slots=True)
class ReplyPlan:
    """How one agent turn is made.

    Attributes:
        llm_s: until the model's first sentence, in s.
        sentences: what it says; less than it meant to when the model failed, nothing when it failed at once.
        tail_s: from the last audio until the model is known to have no more, in s.
        goes_on: whether the providers take no notice of being cancelled and deliver what they have.
        voice: ms per character.
    """

    llm_s: float
    sentences: tuple[SpokenPlan, ...]
    tail_s: float
    goes_on: bool
    voice: int


def draw_replies(random: Callable[[], float], *, fast: bool) -> tuple[ReplyPlan, ...]:
    """A few plans, which a call's turns use in turn."""
    return tuple(_reply(random, FAST if fast else HUMAN) for _ in range(4))


def _reply(random: Callable[[], float], voice: int) -> ReplyPlan:
    kind = random()
    llm_s = 0.0 if kind < 0.2 else 0.3 * random() if kind < 0.75 else 1.5 * random() if kind < 0.95 else 15.0
    count = 0 if kind >= 0.95 or random() < 0.08 else 1 if random() < 0.75 else 2
    slow = random() < 0.15
    timed = random() < 0.2
    sentences = []
    for _ in range(count):
        plan = _AT_ONCE[voice, timed][int(random() * len(SENTENCES))]
        # a sentence in pieces is unfinished for a while, and its length is guessed at the pace of people
        pieces = voice == HUMAN and random() < 0.4
        tts_s = 0.6 * random() if slow else 0.0
        gap_s = (0.3 if pieces else 0.0) * random()
        sentences.append(SpokenPlan(plan.line, tts_s, gap_s) if tts_s or gap_s else plan)
    return ReplyPlan(llm_s, tuple(sentences), 0.2 * random() if slow else 0.0, random() < 0.2, voice)
