"""A call script from a seed: who does what when, and how the providers and the carrier misbehave.

Drawing touches no machine, so a script is the same whatever the engine does with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

from patter.call.barge_in import BargeInMode, BargeInSettings
from patter.call.session_state import SessionSettings
from patter.environment import Environment, SystemClock
from patter.testing.simulation.agent_plans import FAST, HUMAN, ReplyPlan, draw_replies
from patter.testing.simulation.strategies import BACKCHANNEL, LINEUPS, STOP_WORD

if TYPE_CHECKING:
    from collections.abc import Callable

#: echoes up to this leave the history right to one word (TN-08), in s; less for agents that speak faster than people
PROMPT_ECHO_S = 0.3
#: what a call holds at least and at most
FEWEST_EVENTS = 20
MOST_EVENTS = 60
#: part of the calls whose agent does not wait for ever for a silent caller
IDLE_SHARE = 0.2
#: words of finals, one each; many begin with the word before, as finals of one utterance do
WORDS = (
    *(
        "go",
        "gone",
        "I",
        "ill",
        "a",
        "an",
        "any",
        "car",
        "cart",
        "carton",
        "no",
        "now",
        "nowhere",
        "be",
        "bee",
        "been",
    ),
    *(
        "sun",
        "sunday",
        "in",
        "inn",
        "into",
        "over",
        "overt",
        "rain",
        "rainbow",
        "so",
        "some",
        "somebody",
        "tea",
        "team",
    ),
)


def _texts(word: str) -> tuple[str, str, str]:
    """What a caller says with that word: it alone, with the word that stops, with one that means nothing."""
    return word, f"{STOP_WORD} {word}", f"{BACKCHANNEL} {word}"


#: by the number of the word, from 1
_TEXTS = (_texts(""), *map(_texts, WORDS))
_KNOWN = len(_TEXTS)
_time = itemgetter(0)
#: the longest time for which the process does nothing, in s
LONGEST_FREEZE_S = 2.0
#: what recognisers write for silence (TN-06)
CAPTIONS = ("[Music]", "Thanks for watching!", "(applause)")

Event = tuple[float, str, Any]
#: seeded anew for each script, which costs less than a new one
_ENVIRONMENT = Environment.seeded(0, SystemClock())
_LINEUP_NAMES = tuple(LINEUPS)
#: few differ
_settings, _barge_in_settings = cache(SessionSettings), cache(BargeInSettings)


@dataclass(slots=True)
class Script:
    """One call. Times in s.

    Attributes:
        lineup: the strategies' name in `LINEUPS`.
        delay_s: from the engine to the caller's ear.
        echoes: how long after its audio was played each mark comes back, in turn; None for never.
        marks_return: whether a clear brings the marks under way back at once.
        replies: how the agent's turns are made, in turn.
        events: (time, what, with what) in order.
        hangs_up_at: when the caller hangs up, if nothing ended the call before.
        quiet_s: how long nothing happened until then.
    """

    seed: int
    settings: SessionSettings
    barge_in: BargeInSettings
    lineup: str
    delay_s: float
    echoes: tuple[float | None, ...]
    marks_return: bool
    replies: tuple[ReplyPlan, ...]
    events: list[Event]
    hangs_up_at: float
    quiet_s: float


class CallerDrawing:
    """The caller's side of one script in the making; `slowness` stretches the time between two things he does."""

    def __init__(self, random: Callable[[], float], *, slowness: float = 1.0) -> None:
        self.random = random
        self.slowness = slowness
        self.events: list[Event] = []
        self.t = 0.0
        self.words = 0
        self.said = ""

    def add(self, t: float, what: str, argument: Any = None) -> None:
        self.events.append((t, what, argument))

    def first(self, count: int) -> list[Event]:
        """So many events, those that were drawn first, in the order of their times."""
        # whole milliseconds: scripts read well, and many events fall on the pacer's grid
        events = [
            (int(t * 1000.0 + 0.5) / 1000.0, what, argument) for t, what, argument in self.events[:count]
        ]
        events.sort(key=_time)
        return events

    def text(self) -> str:
        """New words of the caller, whose last word is said in no other final."""
        self.words = number = self.words + 1
        kind = self.random()
        word, stop, backchannel = _TEXTS[number] if number < _KNOWN else _texts(f"number{number - 1}")
        return word if kind >= 0.35 else stop if kind < 0.25 else backchannel

    def utterance(self) -> None:
        """Speech with its transcripts, or one of the ways in which the two do not fit each other."""
        random, events = self.random, self.events
        kind = random()
        start = self.t
        end = start + (0.05 + 0.3 * random() if random() < 0.7 else 1.6 * random())
        if kind < 0.94:
            events.append((start, "speech_started", None))
        before = self.said
        text = self.said = f"{before} {self.text()}" if random() < 0.07 and before else self.text()
        if random() < 0.5:
            events.append((start + (end - start) * random(), "interim", text if random() < 0.8 else ""))
        if kind < 0.97:
            events.append((end, "speech_ended", None))
        after = end + (0.2 * random() if random() < 0.7 else 2.5 * random())
        if kind < 0.62 or kind >= 0.92:
            events.append((after, "final", text))
        elif kind < 0.70:  # the vendor repeats itself
            events.append((after, "final", text))
            again = after + (0.3 if random() < 0.7 else 3.0) * random()
            events.append((again, "final", f"{text}."))
        elif kind < 0.77:  # one breath, two finals
            events.append((start + (end - start) * random(), "final", text))
            self.said = self.text()
            events.append((after, "final", self.said))
        elif kind < 0.82:
            events.append((after, "final", ""))
        elif kind < 0.84:
            events.append((after, "final", CAPTIONS[int(random() * len(CAPTIONS))]))
        elif kind < 0.86:  # nothing but partials, over and over
            events.append((after, "interim", text))
            events.append((after + 0.3, "interim", text))
        self.t = end if random() < 0.8 else start

    def gap(self) -> None:
        """Time between two things that the caller does."""
        random = self.random
        kind = random()
        span = 0.4 if 0.2 <= kind < 0.7 else 0.05 if kind < 0.2 else 1.0 if kind < 0.9 else 3.0
        self.t += random() * span * self.slowness

    def other(self, manual: bool) -> None:
        """What is no speech: the application, the socket, the process."""
        random = self.random
        kind = random()
        t = self.t + 0.3 * random()
        if kind < 0.25 or (manual and kind < 0.7):
            self.add(t, "commit_turn")
        elif kind < 0.5:
            self.add(t, "interrupt")
        elif kind < 0.65:
            self.add(t, "announce", "Please hold on." if kind < 0.6 else " ")
        elif kind < 0.8:
            self.add(t, "freeze", (0.4 if random() < 0.8 else LONGEST_FREEZE_S) * random())
        elif kind < 0.9:
            self.add(t, "stall", 0.3 * random() if random() < 0.6 else 6.0 * random())
        elif kind < 0.93:
            self.add(t, "end_call", "the agent said goodbye")
        else:
            self.add(t, "odd_mark", f"p{int(random() * 12)}")


def choose(random: Callable[[], float], choices: tuple[Any, ...]) -> Any:
    return choices[int(random() * len(choices))]


def draw_echoes(random: Callable[[], float], longest_ok: float) -> tuple[float | None, ...]:
    kind = random()
    if kind < 0.35:
        return (longest_ok * random(),)
    if kind < 0.65:
        return tuple(longest_ok * random() for _ in range(3))
    if kind < 0.75:
        return (None,)
    if kind < 0.85:
        return tuple(2.5 * random() for _ in range(3))
    return tuple(None if random() < 0.4 else 0.8 * random() for _ in range(4))


def draw(seed: int) -> Script:
    """The script of that seed, always the same."""
    _ENVIRONMENT.random.seed(seed)
    random = _ENVIRONMENT.random.random
    # Most agents speak nine times as fast as people, so that a call costs little; then what depends on the length of
    # a word is scaled with it.
    fast = random() < 0.94
    mode = cast("BargeInMode", choose(random, ("cancel", "confirm", "pause")))
    settings = _settings(
        first_message=choose(random, ("", "", "Hello there.", "Hello from Acme today.")),
        turn_end=choose(random, ("stt", "stt", "vad", "vad", "manual")),
        can_finalize=random() < 0.9,
    )
    gate_s = choose(random, (0.04, 0.04, 0.1) if fast else (0.25, 0.25, 1.0))
    barge_in = _barge_in_settings(
        mode=mode,
        gate_s=gate_s,
        confirm_s=choose(random, (0.4, 1.5)) if fast else 1.5,
        has_vad=settings.turn_end == "vad" or random() < 0.8,
    )
    lineup = "none" if mode == "cancel" else choose(random, _LINEUP_NAMES)
    longest_ok = PROMPT_ECHO_S * (FAST / HUMAN if fast else 1.0)
    delay_s = longest_ok / 3 * random()
    caller = CallerDrawing(random)
    caller.t = 0.5 * random()
    target = FEWEST_EVENTS + int((MOST_EVENTS - FEWEST_EVENTS + 1) * random() ** 4)
    drawn, manual = caller.events, settings.turn_end == "manual"
    while len(drawn) < target:
        caller.gap()
        if random() < 0.88:
            caller.utterance()
        else:
            caller.other(manual)
    events = caller.first(target)
    cut = random() < 0.25
    quiet_s = 0.0 if cut else 40.0
    script = Script(
        seed,
        settings,
        barge_in,
        lineup,
        delay_s,
        draw_echoes(random, longest_ok - delay_s),
        random() < 0.6,
        draw_replies(random, fast=fast),
        events,
        round(events[-1][0] * random() if cut else events[-1][0] + quiet_s, 3),
        quiet_s,
    )
    return _with_idle_times(script, random) if random() < IDLE_SHARE else script


def _with_idle_times(script: Script, random: Callable[[], float]) -> Script:
    """The same call of an agent that does not wait for ever for a caller, who also presses a few keys."""
    said = script.settings
    settings = _settings(
        first_message=said.first_message,
        turn_end=said.turn_end,
        can_finalize=said.can_finalize,
        idle_prompt="Are you still there?",
        idle_prompt_s=choose(random, (None, 0.3, 1.0, 2.5)),
        idle_hangup_s=choose(random, (None, None, 2.0, 6.0, 12.0)),
    )
    end = script.events[-1][0]
    keys: list[Event] = [(round(end * random(), 3), "digit", str(int(random() * 10))) for _ in range(3)]
    script.settings = settings
    script.events = sorted([*script.events, *keys], key=_time)[: len(script.events)]
    return script
