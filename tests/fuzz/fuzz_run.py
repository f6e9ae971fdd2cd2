"""Fuzz every parser that reads from outside: `python tests/fuzz/fuzz_run.py --inputs 1000000`.

An input counts as a failure when its parser raises what it does not document, gives a value that it should not give,
or takes longer than a limit of CPU time. A failure is repeated with `--seed`, `--only` and `--number`.
"""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from fuzz_inputs import Inputs
from fuzz_target import Target

#: CPU time that one input may take, in s; ordinary ones take microseconds, those of 4 MiB tenths of a second
LONGEST_S: Final = 4.0
_MOST_FAILURES: Final = 5
_SHOWN: Final = 300


class Hung(Exception):
    """An input took too long."""


@dataclass(slots=True)
class Failure:
    """An input that its parser did not stand."""

    target: str
    number: int
    value: str
    error: Exception

    def __str__(self) -> str:
        return f"{self.target} input {self.number}: {type(self.error).__name__}: {str(self.error)[:_SHOWN]}\n    {self.value}"


@dataclass(slots=True)
class Outcome:
    """What became of the inputs of one target; times in s."""

    target: str
    accepted: int = 0
    refused: int = 0
    took_s: float = 0.0
    slowest_s: float = 0.0
    slowest: int = -1
    failures: list[Failure] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """All of them."""
        return self.accepted + self.refused + len(self.failures)


def targets() -> tuple[Target, ...]:
    """All parsers."""
    import fuzz_core
    import fuzz_engines
    import fuzz_models
    import fuzz_outbound
    import fuzz_twilio

    modules = (fuzz_core, fuzz_twilio, fuzz_models, fuzz_engines, fuzz_outbound)
    return tuple(target for module in modules for target in module.TARGETS)


def shares(chosen: Sequence[Target], inputs: int) -> list[int]:
    """How many of all inputs each target gets."""
    whole = sum(target.share for target in chosen)
    counts = [int(inputs * target.share / whole) for target in chosen]
    counts[0] += inputs - sum(counts)
    return counts


def run(target: Target, numbers: range, *, seed: int = 0) -> Outcome:
    """Try the inputs of these numbers on one parser."""
    outcome = Outcome(target.name)
    with _time_limit() as limit:
        for number in numbers:
            value = target.make(Inputs(f"{seed}/{target.name}/{number}"))
            began = time.perf_counter()
            try:
                limit(LONGEST_S)
                try:
                    target.parse(value)
                finally:
                    limit(0.0)
            except target.refuses:
                outcome.refused += 1
            except (Exception, RecursionError) as error:
                outcome.failures.append(Failure(target.name, number, _shown(value), error))
                if len(outcome.failures) == _MOST_FAILURES:
                    break
            else:
                outcome.accepted += 1
            took = time.perf_counter() - began
            outcome.took_s += took
            if took > outcome.slowest_s:
                outcome.slowest_s, outcome.slowest = took, number
    return outcome


@contextmanager
def _time_limit() -> Iterator[Any]:
    """A function that sets the limit in s of CPU time, 0 for none. Without signals, as in a thread, it does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda seconds: None
        return

    def hung(number: int, frame: FrameType | None) -> None:
        raise Hung(f"no result after {LONGEST_S:g} s")

    before = signal.signal(signal.SIGPROF, hung)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_PROF, seconds)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _shown(value: Any) -> str:
    try:
        text = ascii(value)
    except (RecursionError, ValueError) as error:
        return f"a {type(value).__name__} that cannot be shown ({type(error).__name__})"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)})"


def peak_mib() -> int:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000, help="over all parsers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], metavar="TARGET")
    parser.add_argument(
        "--number", type=int, default=None, help="one input of one target, with its traceback"
    )
    arguments = parser.parse_args()
    chosen = [one for one in targets() if not arguments.only or one.name in arguments.only]
    if not chosen:
        parser.error(f"no such target; there are {', '.join(one.name for one in targets())}")
    if arguments.number is not None:
        value = chosen[0].make(Inputs(f"{arguments.seed}/{chosen[0].name}/{arguments.number}"))
        print(_shown(value))
        chosen[0].parse(value)
        return 0
    began, failed, tried = time.perf_counter(), 0, 0
    print(f"{'parser':<18}{'inputs':>9}{'accepted':>10}{'refused':>9}{'µs each':>9}{'slowest ms':>12}")
    for target, count in zip(chosen, shares(chosen, arguments.inputs), strict=True):
        one = run(target, range(count), seed=arguments.seed)
        failed, tried = failed + len(one.failures), tried + one.inputs
        each = one.took_s / max(1, one.inputs) * 1e6
        print(
            f"{one.target:<18}{one.inputs:>9}{one.accepted:>10}{one.refused:>9}{each:>9.0f}{one.slowest_s * 1e3:>12.0f}"
        )
        for failure in one.failures:
            print("  " + str(failure))
    took = time.perf_counter() - began
    print(f"{tried} inputs in {took:.0f} s, {failed} failures, at most {peak_mib()} MiB")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
