"""The two levels of simulation behind one face, so that runs, replays and traces are the same for both."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from patter.testing.simulation.draw import draw
from patter.testing.simulation.invariants import Problem, problems
from patter.testing.simulation.stage import Stage

if TYPE_CHECKING:
    from patter.testing.simulation.draw import Script


@dataclass(slots=True)
class Played:
    """What came of one call. `virtual_s` is how long it lasted; `trace` is there when it was asked for."""

    problems: list[Problem]
    log: bytes
    events: int
    virtual_s: float
    trace: tuple[str, ...] = ()


@dataclass(slots=True)
class Cost:
    """What calls cost beside the least that they can cost, in s of a real clock; zeros where nothing was measured."""

    played_s: float = 0.0
    least_s: float = 0.0


class Level(Protocol):
    """One level of simulation, with what it has set up.

    Attributes:
        option: what selects it on the command line.
        batch: how many calls are dealt out at a time.
    """

    option: str
    batch: int

    def draw(self, seed: int) -> Script:
        """The script of a seed."""

    def play(self, script: Script, *, trace: bool = False) -> Played:
        """Play it; the same script always comes out the same."""

    def measure(self, seed: int, now: Callable[[], float], cost: Cost) -> None:
        """Add what the call of a seed costs."""


StageMaker = Callable[["Script"], Stage]


class MachinesLevel:
    """The pure machines alone. `make` plays a script, for tests that change something."""

    option = "--machines "
    batch = 500

    def __init__(self, make: StageMaker = Stage) -> None:
        self._make = make

    def draw(self, seed: int) -> Script:
        """The script of a seed."""
        return draw(seed)

    def play(self, script: Script, *, trace: bool = False) -> Played:
        """Play it."""
        stage = Stage(script, trace=True) if trace else self._make(script)
        stage.play()
        lines = tuple(stage.record.trace or ())
        played = Played(problems(stage), stage.log_bytes(), stage.record.happened, stage.t, lines)
        stage.release()
        return played

    def measure(self, seed: int, now: Callable[[], float], cost: Cost) -> None:
        """Nothing to compare it with."""


def level_named(name: str) -> Level:
    """``machines`` or ``whole``, set up anew."""
    if name == "machines":
        return MachinesLevel()
    from patter.testing.whole_call.level import WholeLevel

    return WholeLevel()


@contextmanager
def quiet() -> Iterator[None]:
    """Whoever misbehaves does so because a script wants it; the log need not tell of it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
