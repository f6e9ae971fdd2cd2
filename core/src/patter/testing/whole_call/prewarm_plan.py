"""What happens while a simulated call rings: how its providers open beforehand, for how long, and whether it is answered.

Drawn from a source of its own, so that the rest of a call's script stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from patter.environment import Environment, SystemClock
from patter.testing.simulation.draw import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: their seeds are so much higher
RINGS = 1 << 41
KINDS = ("stt", "tts", "llm")
#: an opening that takes so long never ends, in s
NEVER_S = 3600.0
#: a call waits at least so long for an opening that has begun, in s
WAITS_S = 2.8
#: before, at and after a pickup, in s; a call waits 3 s for an opening
TIMES_S = (0.0, 0.02, 0.1, 0.3, 0.31, 1.0, 2.9, 3.1, 5.0, NEVER_S)
RINGS_S = (0.0, 0.02, 0.1, 0.3, 0.31, 1.0, 2.0, 5.0)

Adopts = Literal["at once", "slowly", "fails", "fails half-way", "hangs"]
Unanswered = Literal["", "busy", "no-answer", "failed", "canceled", "application", "shutdown"]
AnsweredBy = Literal["", "human", "machine"]


@dataclass(frozen=True, slots=True)
class Parking:
    """How one provider opens beforehand. Times in s.

    Attributes:
        opens_s: until its connection is open.
        refuses: whether the vendor refuses it then.
        dies_s: after which the vendor closes a parked connection; None for never.
        adopts: what comes of taking it over.
        clings: whether its far end does not answer a close.
    """

    opens_s: float
    refuses: bool
    dies_s: float | None
    adopts: Adopts
    clings: bool


@dataclass(frozen=True, slots=True)
class PrewarmPlan:
    """The ringing of one call. Times in s.

    Attributes:
        parking: by kind of provider.
        rings_s: until it is answered, or ends without.
        unanswered: how it ends without an answer; "" when it is answered.
        greeting: whether the greeting is made while it rings.
        answered_by: the carrier's verdict on a dialled call that has a message for machines; "" for a call without.
        verdict_s: until that verdict.
    """

    parking: Mapping[str, Parking]
    rings_s: float
    unanswered: Unanswered
    greeting: bool
    answered_by: AnsweredBy
    verdict_s: float

    @property
    def settles_s(self) -> float:
        """By how much later than without a ring the call is carried."""
        return self.rings_s + (self.verdict_s if self.answered_by else 0.0)

    def is_adopted(self, kind: str) -> bool:
        """Whether that provider must be found connected: it opened in time, and nothing went wrong with it."""
        parking = self.parking[kind]
        if kind == "tts" and self.greeting:
            return False  # it makes the greeting, which opens it as well
        sound = not parking.refuses and parking.dies_s is None and parking.adopts == "at once"
        return sound and parking.opens_s <= self.rings_s + WAITS_S


def draw_prewarm(seed: int, *, outbound: bool) -> PrewarmPlan | None:
    """The ringing of the call of that seed; None for a phone that prewarms nothing."""
    random = Environment.seeded(seed + RINGS, SystemClock()).random.random
    if random() < 0.5:
        return None
    unanswered = ""
    if random() < (0.35 if outbound else 0.2):
        ends = ("busy", "no-answer", "failed", "canceled", "application", "shutdown")
        unanswered = choose(random, ends if outbound else ends[3:])
    answered_by = choose(random, ("human", "machine")) if outbound and random() < 0.4 else ""
    return PrewarmPlan(
        {kind: _parking(random) for kind in KINDS},
        choose(random, RINGS_S),
        cast("Unanswered", unanswered),
        random() < 0.4,
        cast("AnsweredBy", answered_by),
        choose(random, (0.0, 0.3, 2.0)),
    )


def _parking(random: Callable[[], float]) -> Parking:
    opens_s = choose(random, TIMES_S) if random() < 0.6 else 0.1
    kind = random()
    adopts = "at once" if kind < 0.7 else choose(random, ("slowly", "fails", "fails half-way", "hangs"))
    return Parking(
        opens_s,
        random() < 0.1,
        choose(random, (0.0, 0.2)) if random() < 0.1 else None,
        cast("Adopts", adopts),
        random() < 0.1,
    )
