"""What the call wrote down, judged: the greeting, the order of what was said, and how well the caller was understood."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from patter.testing.word_errors import word_error_rate
from patter_demo.evidence import Evidence

#: a line may stand in the transcript this much before it was audible on the line, in s; callers pause for longer
EARLY_S = 0.4
#: errors per word of the script
WORST_WORD_ERROR_RATE = 0.25


@dataclass(frozen=True, slots=True)
class WordErrors:
    """Errors per word of the script; None where nobody recognised words, and the reason."""

    rate: float | None
    reason: str = ""

    def problems(self) -> list[str]:
        """What is wrong with it."""
        if self.rate is None or self.rate <= WORST_WORD_ERROR_RATE:
            return []
        return [f"the word error rate is {self.rate:.2f}, more than {WORST_WORD_ERROR_RATE:.2f}"]


def word_errors(evidence: Evidence) -> WordErrors:
    """Of all that was made of the caller, against the script."""
    if evidence.simulated:
        return WordErrors(None, "the engine's simulator knows no words")
    if evidence.engine and not any(evidence.understood):
        return WordErrors(None, "the engine transcribed nothing of the caller")
    return WordErrors(word_error_rate(evidence.script.text, " ".join(evidence.understood)))


def greeting_heard(evidence: Evidence) -> bool | None:
    """Whether the caller heard all of the agent's first message; None where it has none."""
    if not evidence.greets:
        return None
    if evidence.engine:
        report = evidence.greeting
        return report is not None and not report.reason and not report.partial
    reports = [turn.report for turn in evidence.turns if turn.report is not None]
    return any(
        not report.interrupted and report.metrics is not None and report.metrics.kind == "greeting"
        for report in reports
    )


def greeting_problems(evidence: Evidence) -> list[str]:
    """Why it was not heard in full."""
    if greeting_heard(evidence) is not False:
        return []
    reason = evidence.greeting.reason if evidence.greeting is not None else ""
    return [f"the greeting was not heard in full{f': {reason}' if reason else ''}"]


def order_problems(evidence: Evidence, answered: Collection[int]) -> list[str]:
    """What stands in the wrong place, or is missing, of the lines that were answered.

    Of an engine that transcribes nothing only the times are looked at, and of a pipeline: its word errors tell the rest.
    """
    entries = evidence.summary.transcript if evidence.summary else ()
    times = [entry.heard_ms for entry in entries]
    problems = [] if times == sorted(times) else ["the transcript is not in the order of what was said"]
    if not evidence.engine or not any(entry.role == "user" for entry in entries):
        return problems
    begun = [(line.began - EARLY_S - evidence.started) * 1000 for line in evidence.spoken] + [float("inf")]
    for line, start, end in zip(evidence.spoken, begun, begun[1:], strict=False):
        if line.line not in answered:
            continue
        name = evidence.script.lines[line.line].id
        roles = [entry.role for entry in entries if start <= entry.heard_ms < end]
        if "user" not in roles:
            problems.append(f"the line {name!r} is missing from the transcript")
        elif roles[0] != "user":
            problems.append(f"the line {name!r} stands after its answer in the transcript")
    return problems
