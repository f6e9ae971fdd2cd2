"""Many simulated calls of the machines, over several processes, with one answer: what broke, and how to see it again.

Call number i of a run with seed S is the call of seed S + i, so that any one of them is replayed by itself. Calls are
dealt out in batches of a fixed size and their results are put together in order: how many processes did the work
changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from patter.testing.simulation.draw import draw
from patter.testing.simulation.invariants import problems
from patter.testing.simulation.stage import Stage

if TYPE_CHECKING:
    from patter.testing.simulation.draw import Script

BATCH = 500
#: violations that are worked out in full; the others are counted
SHOWN = 20
_AUDIO = "→ audio"


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: the call's seed, what was promised, a short trace, and how to replay it."""

    seed: int
    promise: str
    detail: str
    trace: tuple[str, ...]
    command: str

    def as_text(self) -> str:
        """For a terminal."""
        return "\n".join([f"{self.promise}: {self.detail}", *self.trace, f"replay: {self.command}"])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run. `virtual_s` is the time the calls lasted, `wall_s` the time it took, in s."""

    calls: int
    violations: tuple[Violation, ...]
    events: int
    event_log_sha256: str
    virtual_s: float
    wall_s: float

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Batch:
    calls: int
    broken: tuple[int, ...]
    events: int
    digest: bytes
    virtual_s: float


StageMaker = Callable[["Script"], Stage]


def simulate_machines(
    calls: int,
    seed: int,
    *,
    jobs: int = 1,
    now: Callable[[], float],
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Play that many calls and check each; `progress` is told how many are done.

    Raises `ValueError` for a number of calls or jobs below one.
    """
    if calls < 1 or jobs < 1:
        raise ValueError("a simulation has at least one call and one job")
    began = now()
    spans = [(seed + first, min(BATCH, calls - first)) for first in range(0, calls, BATCH)]
    digest, events, virtual_s, done = sha256(), 0, 0.0, 0
    broken: list[int] = []
    for batch in _batches(spans, jobs):
        digest.update(batch.digest)
        events += batch.events
        virtual_s += batch.virtual_s
        done += batch.calls
        broken += batch.broken
        progress(done)
    with quiet_strategies():
        violations = [violation for one in broken[:SHOWN] for violation in examine(one)]
    violations += [Violation(one, "not examined", "", (), replay_command(one)) for one in broken[SHOWN:]]
    return Outcome(
        calls, tuple(violations), events, digest.hexdigest(), round(virtual_s, 3), round(now() - began, 3)
    )


def _batches(spans: list[tuple[int, int]], jobs: int) -> Iterator[_Batch]:
    if jobs == 1 or len(spans) == 1:
        yield from map(_play_batch, spans)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(_play_batch, spans)


def _play_batch(span: tuple[int, int]) -> _Batch:
    first, calls = span
    digest, events, virtual_s = sha256(), 0, 0.0
    broken: list[int] = []
    with quiet_strategies():
        for seed in range(first, first + calls):
            stage = Stage(draw(seed))
            stage.play()
            digest.update(stage.log_bytes())
            events += stage.record.happened
            virtual_s += stage.t
            if problems(stage):
                broken.append(seed)
    return _Batch(calls, tuple(broken), events, digest.digest(), virtual_s)


@contextmanager
def quiet_strategies() -> Iterator[None]:
    """Strategies that raise are part of the script; the log need not tell of them."""
    logger = logging.getLogger("patter.call.barge_in")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def replay_command(seed: int) -> str:
    """The one line that plays the call of a seed again."""
    return f"patter simulate --machines --calls 1 --seed {seed}"


def examine(seed: int, make: StageMaker = Stage) -> list[Violation]:
    """What is wrong with the call of a seed, each promise once, with the shortest script found that breaks it."""
    found: dict[str, Violation] = {}
    for problem in _problems(draw(seed), make):
        if problem[0] not in found:
            script = shorten(draw(seed), problem[0], make)
            found[problem[0]] = Violation(seed, *problem, _trace(script), replay_command(seed))
    return list(found.values())


def _problems(script: Script, make: StageMaker) -> list[tuple[str, str]]:
    stage = make(script)
    stage.play()
    return [(problem.promise, problem.detail) for problem in problems(stage)]


def shorten(script: Script, promise: str, make: StageMaker = Stage) -> Script:
    """The script with as many events left out as can be while that promise is still broken."""
    size = max(1, len(script.events) // 2)
    while size:
        at = 0
        while at < len(script.events):
            shorter = replace(script, events=script.events[:at] + script.events[at + size :])
            if any(broken == promise for broken, _ in _problems(shorter, make)):
                script = shorter
            else:
                at += size
        size //= 2
    return script


def _trace(script: Script) -> tuple[str, ...]:
    """The call line by line, runs of audio as one line each."""
    stage = Stage(script, trace=True)
    stage.play()
    settings, barge_in = script.settings, script.barge_in
    header = f"mode {barge_in.mode}, strategies: {script.lineup}, turn_end {settings.turn_end}, "
    header += f"VAD {barge_in.has_vad}, gate {barge_in.gate_s} s, confirm {barge_in.confirm_s} s"
    lines = [f"           {header}"]
    run = 0
    for line in stage.record.trace or ():
        if _AUDIO in line and _AUDIO in lines[-1]:
            run += 1
            continue
        if run:
            lines.append(f"             … {run} more")
            run = 0
        lines.append(line)
    return tuple(lines if len(lines) <= 80 else [*lines[:10], "           …", *lines[-69:]])
