"""``patter simulate``: random calls from a seed, judged by what Patter promises."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from patter.cli.output import print_json
from patter.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from patter.testing.simulation.run import Outcome

HELP = "Simulate many random calls and check that every promise is kept."
BAR_WIDTH = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--calls", metavar="N", type=int, default=1000, help="how many calls (1000)")
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=1,
        help="the first call's seed; each further one's is one more (1)",
    )
    parser.add_argument(
        "--jobs", metavar="J", type=int, default=1, help="processes; they change no result (1)"
    )
    parser.add_argument(
        "--machines",
        action="store_true",
        help="the pure machines of a call alone, in place of whole calls",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Simulate; 0 when every promise was kept, 1 when not. Raises `ConfigError` when it cannot start."""
    if arguments.calls < 1 or arguments.jobs < 1:
        raise ConfigError("--calls and --jobs are at least 1")
    from patter.environment import SystemClock
    from patter.testing.simulation.run import simulate

    bar = _Bar(arguments.calls) if sys.stderr.isatty() else None
    progress: Callable[[int], None] = bar.show if bar else lambda _: None
    outcome = simulate(
        "machines" if arguments.machines else "whole",
        arguments.calls,
        arguments.seed,
        jobs=arguments.jobs,
        now=SystemClock().monotonic,
        progress=progress,
    )
    if bar:
        bar.clear()
    if arguments.json:
        print_json(outcome.as_json())
    else:
        _print(outcome)
    return 1 if outcome.violations else 0


class _Bar:
    """How far the simulation is, on one line of the terminal."""

    def __init__(self, calls: int) -> None:
        self._calls = calls

    def show(self, done: int) -> None:
        filled = BAR_WIDTH * done // self._calls
        print(
            f"\r[{'#' * filled:{BAR_WIDTH}}] {done:,} of {self._calls:,} calls",
            end="",
            file=sys.stderr,
            flush=True,
        )

    def clear(self) -> None:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(outcome: Outcome) -> None:
    for violation in outcome.violations:
        print(f"{violation.as_text()}\n")
    print(
        f"{outcome.calls:,} calls, {outcome.events:,} events, {outcome.virtual_s:,.0f} s of calls in "
        f"{outcome.wall_s:.1f} s ({outcome.calls_per_core_s:,.0f} calls a second and core), "
        f"event log {outcome.event_log_sha256[:16]}"
    )
    if outcome.speed:
        print(
            f"{outcome.speed['virtual_s_per_core_s']:,.0f} s of calls a second and core, "
            f"{outcome.speed['cost_to_bare_loop']:.1f} times the cost of only passing the messages on"
        )
    print(f"{len(outcome.violations)} violations" if outcome.violations else "every promise was kept")
