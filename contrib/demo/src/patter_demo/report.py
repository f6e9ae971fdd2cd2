"""The verdict on a conversation: the figures as one JSON object, and what of them is not good enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from patter.metrics import Breakdown
from patter_demo.evidence import Evidence
from patter_demo.measures import (
    BargeIn,
    Percentiles,
    answers,
    barge_in,
    heard_turns,
    late_ms,
    lost_ms,
    percentiles,
)
from patter_demo.transcript import WordErrors, greeting_heard, greeting_problems, order_problems, word_errors

#: the agent is silent this long after the audible onset of an interruption, in ms
SLOWEST_STOP_MS = 1200.0


@dataclass(frozen=True, slots=True)
class Report:
    """What came out. `problems` is empty when the conversation worked.

    `breakdowns` are what the caller waited for, as the engine measured it: of each answer that was heard, with the
    number of the agent's turn. `greeting_heard`: in full; None where there is none.
    """

    turns: tuple[dict[str, Any], ...]
    caller_script: tuple[str, ...]
    word_errors: WordErrors
    barge_in: BargeIn
    latency_ms: Percentiles
    lost_ms: float
    late_ms: float
    leaks: tuple[str, ...]
    problems: tuple[str, ...]
    wav: str
    transcript: str
    breakdowns: tuple[tuple[int, Breakdown], ...] = ()
    greeting_heard: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``patter demo --json`` prints; times in ms, to a tenth."""
        return {
            "turns": list(self.turns),
            "caller_script": list(self.caller_script),
            "word_error_rate": None if self.word_errors.rate is None else round(self.word_errors.rate, 4),
            "word_error_rate_reason": self.word_errors.reason or None,
            "greeting_heard": self.greeting_heard,
            "barge_in": {"stop_ms": _tenth(self.barge_in.stop_ms), "confirmed": self.barge_in.confirmed},
            "latency_ms": {"p50": _tenth(self.latency_ms.p50), "p95": _tenth(self.latency_ms.p95)},
            "latency_parts": [{"turn": turn, **breakdown.as_dict()} for turn, breakdown in self.breakdowns],
            "audio": {"lost_ms": _tenth(self.lost_ms), "late_ms": _tenth(self.late_ms)},
            "leaks": list(self.leaks),
            "files": {"wav": self.wav, "transcript": self.transcript},
        }


def make_report(evidence: Evidence, wav: str, transcript: str) -> Report:
    """Measure and judge."""
    heard = heard_turns(evidence)
    answered = answers(evidence, heard)
    latencies = [answer.latency_ms for answer in answered if answer.latency_ms is not None]
    script, summary = evidence.script, evidence.summary
    errors = word_errors(evidence)
    lines = {answer.line for answer in answered}
    interruption = barge_in(evidence, heard)
    lost = lost_ms(heard)
    problems = [
        *_call_problems(evidence),
        *greeting_problems(evidence),
        *_answer_problems(evidence, lines),
        *_barge_in_problems(evidence, interruption),
        *order_problems(evidence, lines),
        *errors.problems(),
    ]
    if round(lost, 1) > 0:
        problems.append(f"{lost:.1f} ms of the agent's audio were lost")
    problems.extend(f"left over: {leak}" for leak in evidence.leaks)
    turns = tuple(
        {
            "role": entry.role,
            "text": entry.text,
            "heard_ms": round(entry.heard_ms, 1),
            "interrupted": entry.interrupted,
        }
        for entry in (summary.transcript if summary else ())
    )
    return Report(
        turns=turns,
        caller_script=tuple(line.text for line in script.lines),
        word_errors=errors,
        barge_in=interruption,
        latency_ms=percentiles(latencies),
        lost_ms=lost,
        late_ms=late_ms(heard),
        leaks=tuple(evidence.leaks),
        problems=tuple(problems),
        wav=wav,
        transcript=transcript,
        breakdowns=_breakdowns(evidence),
        greeting_heard=greeting_heard(evidence),
    )


def _breakdowns(evidence: Evidence) -> tuple[tuple[int, Breakdown], ...]:
    figures = None if evidence.summary is None else evidence.summary.latency
    answers = () if figures is None else figures.turns
    return tuple(
        (turn.turn, turn.breakdown) for turn in answers if turn.kind == "reply" and turn.breakdown.heard
    )


def _call_problems(evidence: Evidence) -> list[str]:
    if evidence.summary is None or not evidence.summary.connected:
        return ["the call was never connected", *evidence.failures]
    return list(evidence.failures)


def _answer_problems(evidence: Evidence, answered: set[int]) -> list[str]:
    said = {line.line for line in evidence.spoken}
    problems = []
    for index, line in enumerate(evidence.script.lines):
        if index not in said:
            problems.append(f"the line {line.id!r} was never said ({evidence.hung_up or 'the call ended'})")
        elif index not in answered:
            problems.append(f"the line {line.id!r} had no answer")
    return problems


def _barge_in_problems(evidence: Evidence, interruption: BargeIn) -> list[str]:
    if not any(line.interrupts for line in evidence.script.lines):
        return []
    if interruption.stop_ms is None:
        return ["the agent could not be interrupted: it was not talking any more"]
    if not interruption.confirmed:
        return ["the interruption was not confirmed"]
    if interruption.stop_ms > SLOWEST_STOP_MS:
        return [
            f"the agent stopped {interruption.stop_ms:.0f} ms after the interruption, more than {SLOWEST_STOP_MS:.0f}"
        ]
    return []


def _tenth(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
