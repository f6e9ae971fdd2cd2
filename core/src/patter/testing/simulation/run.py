"""Many simulated calls, over several processes, with one answer: what broke, and how to see it again.

Call number i of a run with seed S is the call of seed S + i, so that any one of them is replayed by itself. Calls are
dealt out in batches of a fixed size and their results are put together in order: how many processes did the work
changes nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from patter.environment import SystemClock
from patter.testing.simulation.levels import Cost, Level, MachinesLevel, level_named, quiet

if TYPE_CHECKING:
    from patter.testing.simulation.draw import Script

#: violations that are worked out in full; the others are counted
SHOWN = 20
#: one call in so many is measured
MEASURED = 20
_AUDIO = "→ audio"
#: objects made and kept until the collector of reference cycles looks at them; calls let go of what they hold
COLLECTED_AFTER = 100_000


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
    """What came of a run. `virtual_s` is the time the calls lasted, `wall_s` the time it took, in s.

    `calls_per_core_s` is how many calls a second and core that makes.

    `speed` holds what shows it, where it was measured: `virtual_s_per_core_s`, seconds of calls for each second and
    core; `cost_to_bare_loop`, what a call costs in terms of a loop that only passes the same messages through two
    queues.
    """

    calls: int
    violations: tuple[Violation, ...]
    events: int
    event_log_sha256: str
    virtual_s: float
    wall_s: float
    calls_per_core_s: float
    speed: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        values = asdict(self)
        speed = values.pop("speed")
        return {**values, **speed}


@dataclass(frozen=True, slots=True)
class _Span:
    level: str
    first: int
    calls: int


@dataclass(frozen=True, slots=True)
class _Batch:
    calls: int
    broken: tuple[int, ...]
    events: int
    digest: bytes
    virtual_s: float
    cost: Cost


def simulate_machines(
    calls: int,
    seed: int,
    *,
    jobs: int = 1,
    now: Callable[[], float],
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Simulate the pure machines; see `simulate`."""
    return simulate("machines", calls, seed, jobs=jobs, now=now, progress=progress)


def simulate(
    level: str,
    calls: int,
    seed: int,
    *,
    jobs: int = 1,
    now: Callable[[], float],
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Play that many calls of a level, ``machines`` or ``whole``, and check each; `progress` is told how many are done.

    Raises `ValueError` for a number of calls or jobs below one.
    """
    if calls < 1 or jobs < 1:
        raise ValueError("a simulation has at least one call and one job")
    began = now()
    batch = level_named(level).batch
    spans = [_Span(level, seed + first, min(batch, calls - first)) for first in range(0, calls, batch)]
    digest, cost = sha256(), Cost()
    done: list[_Batch] = []
    for one in _batches(spans, jobs):
        digest.update(one.digest)
        cost.played_s += one.cost.played_s
        cost.least_s += one.cost.least_s
        done.append(one)
        progress(sum(batch.calls for batch in done))
    virtual_s, wall_s = sum(one.virtual_s for one in done), now() - began
    core_s = wall_s * min(jobs, len(spans)) or 1e-9
    broken = [seed for one in done for seed in one.broken]
    return Outcome(
        calls,
        tuple(_violations(broken, level)),
        sum(one.events for one in done),
        digest.hexdigest(),
        round(virtual_s, 3),
        round(wall_s, 3),
        round(calls / core_s, 1),
        _speed(cost, virtual_s / core_s),
    )


def _speed(cost: Cost, virtual_s_per_core_s: float) -> dict[str, float]:
    if not cost.least_s:
        return {}
    return {
        "virtual_s_per_core_s": round(virtual_s_per_core_s, 1),
        "cost_to_bare_loop": round(cost.played_s / cost.least_s, 2),
    }


def _violations(broken: list[int], level: str) -> Iterator[Violation]:
    if not broken:
        return
    played = level_named(level)
    with quiet():
        for seed in broken[:SHOWN]:
            yield from examine(seed, played)
    for seed in broken[SHOWN:]:
        yield Violation(seed, "not examined", "", (), replay_command(seed, played))


def _batches(spans: list[_Span], jobs: int) -> Iterator[_Batch]:
    if jobs == 1 or len(spans) == 1:
        yield from map(_play_batch, spans)
        return
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(_play_batch, spans)


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """The collector would look at every call in progress for cycles several times."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED_AFTER, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _play_batch(span: _Span) -> _Batch:
    level = level_named(span.level)
    digest, events, virtual_s, cost = sha256(), 0, 0.0, Cost()
    broken: list[int] = []
    with quiet(), _rarely_collecting():
        for seed in range(span.first, span.first + span.calls):
            played = level.play(level.draw(seed))
            digest.update(played.log)
            events += played.events
            virtual_s += played.virtual_s
            if played.problems:
                broken.append(seed)
            if (seed - span.first) % MEASURED == 0:
                level.measure(seed, SystemClock().monotonic, cost)
    return _Batch(span.calls, tuple(broken), events, digest.digest(), virtual_s, cost)


def replay_command(seed: int, level: Level) -> str:
    """The one line that plays the call of a seed again."""
    return f"patter simulate {level.option}--calls 1 --seed {seed}"


def examine(seed: int, level: Level | None = None) -> list[Violation]:
    """What is wrong with the call of a seed, each promise once, with the shortest script found that breaks it."""
    level = level or MachinesLevel()
    found: dict[str, Violation] = {}
    for problem in level.play(level.draw(seed)).problems:
        if problem.promise not in found:
            script = shorten(level.draw(seed), problem.promise, level)
            found[problem.promise] = Violation(
                seed, problem.promise, problem.detail, _trace(script, level), replay_command(seed, level)
            )
    return list(found.values())


def shorten(script: Script, promise: str, level: Level | None = None) -> Script:
    """The script with as many events left out as can be while that promise is still broken."""
    level = level or MachinesLevel()
    size = max(1, len(script.events) // 2)
    while size:
        at = 0
        while at < len(script.events):
            shorter = replace(script, events=script.events[:at] + script.events[at + size :])
            if any(problem.promise == promise for problem in level.play(shorter).problems):
                script = shorter
            else:
                at += size
        size //= 2
    return script


def _trace(script: Script, level: Level) -> tuple[str, ...]:
    """The call line by line, runs of audio as one line each."""
    settings, barge_in = script.settings, script.barge_in
    header = f"mode {barge_in.mode}, strategies: {script.lineup}, turn_end {settings.turn_end}, "
    header += f"VAD {barge_in.has_vad}, gate {barge_in.gate_s} s, confirm {barge_in.confirm_s} s"
    lines = [f"           {header}"]
    run = 0
    for line in level.play(script, trace=True).trace:
        if _AUDIO in line and _AUDIO in lines[-1]:
            run += 1
            continue
        if run:
            lines.append(f"             … {run} more")
            run = 0
        lines.append(line)
    return tuple(lines if len(lines) <= 80 else [*lines[:10], "           …", *lines[-69:]])
