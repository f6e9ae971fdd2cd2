"""The figures of a conversation, from what was heard on the line. Pure.

The agent's turns are told apart by the times at which the engine began to send them; what was audible in each is
measured on the audio as the caller heard it, after the carrier's buffer and after every clear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from patter_demo.evidence import AgentTurn, Evidence, SpokenLine
from patter_demo.hearing import RATE, Part, Span, audible_spans

#: audio may arrive this much before the engine has noted that it was sent, in s
EARLY_S = 0.02
#: a pause between two messages that is shorter than this is the rounding of times, in s
ROUNDING_S = 0.001


@dataclass(frozen=True, slots=True)
class BargeIn:
    """How the interruptions went; of several the slowest. `stop_ms` is None where the agent was not talking."""

    stop_ms: float | None
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the latencies, in ms; None where there were none."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class HeardTurn:
    """A turn of the agent as it arrived: its audio and what of it was audible."""

    turn: AgentTurn
    parts: tuple[Part, ...]
    audible: Span | None


def heard_turns(evidence: Evidence) -> list[HeardTurn]:
    """The heard audio, turn by turn."""
    turns = evidence.turns
    starts = [turn.began - EARLY_S for turn in turns]
    found = []
    for index, turn in enumerate(turns):
        following = starts[index + 1] if index + 1 < len(turns) else float("inf")
        parts = tuple(part for part in evidence.heard if starts[index] <= part[0] < following)
        spans = audible_spans(parts)
        audible = Span(spans[0].start, spans[-1].end) if spans else None
        found.append(HeardTurn(turn, parts, audible))
    return found


def audible_line(line: SpokenLine) -> Span:
    """From the first to the last audible sound of a line."""
    spans = audible_spans(line.parts)
    return Span(spans[0].start, spans[-1].end) if spans else Span(line.began, line.began)


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's answer to a line; `latency_ms` from the last audible sound of the caller to the first of the agent.

    It is None where the agent began before the line was over.
    """

    line: int
    latency_ms: float | None


def answers(evidence: Evidence, turns: Sequence[HeardTurn]) -> list[Answer]:
    """The answers, at most one to each line: a turn that began after the line did and was heard before the next."""
    found: list[Answer] = []
    for index, line in enumerate(evidence.spoken):
        span = audible_line(line)
        following = evidence.spoken[index + 1].began if index + 1 < len(evidence.spoken) else float("inf")
        for turn in turns:
            if turn.audible is None or not line.began <= turn.turn.began < following:
                continue
            if turn.audible.end <= span.end:
                continue
            gap = (turn.audible.start - span.end) * 1000
            found.append(Answer(line.line, gap if gap >= 0 else None))
            break
    return found


def barge_in(evidence: Evidence, turns: Sequence[HeardTurn]) -> BargeIn:
    """From the audible onset of the interrupting words to the last audible sound of the agent that was interrupted."""
    confirmed = {outcome.turn for outcome in evidence.interruptions if outcome.outcome == "confirmed"}
    stops: list[float] = []
    all_confirmed = True
    for line in evidence.spoken:
        if not evidence.script.lines[line.line].interrupts:
            continue
        onset = audible_line(line).start
        talking = [turn for turn in turns if turn.audible and turn.audible.start < onset < turn.audible.end]
        if not talking:
            return BargeIn(None, False)
        turn = talking[-1]
        assert turn.audible is not None
        stops.append((turn.audible.end - onset) * 1000)
        report = turn.turn.report
        all_confirmed &= turn.turn.number in confirmed and report is not None and report.interrupted
    return BargeIn(max(stops), all_confirmed) if stops else BargeIn(None, False)


def percentiles(latencies: Sequence[float]) -> Percentiles:
    """The median and the 95th percentile, interpolated."""
    if not latencies:
        return Percentiles(None, None)
    p50, p95 = np.percentile(np.asarray(latencies), [50, 95])
    return Percentiles(float(p50), float(p95))


def lost_ms(turns: Sequence[HeardTurn]) -> float:
    """Audio of uninterrupted turns that the engine holds for heard and that never sounded, in ms."""
    lost = 0.0
    for heard in turns:
        report = heard.turn.report
        if report is None or report.interrupted:
            continue
        arrived_ms = sum(len(audio) for _, audio in heard.parts) * 1000 / RATE
        lost += max(0.0, report.heard_ms - arrived_ms)
    return lost


def late_ms(turns: Sequence[HeardTurn]) -> float:
    """How long the carrier's buffer was empty in the middle of a turn, in ms, over all turns."""
    late = 0.0
    for heard in turns:
        for (t, audio), (following, _) in zip(heard.parts, heard.parts[1:], strict=False):
            gap = following - (t + len(audio) / RATE)
            if gap > ROUNDING_S:
                late += gap * 1000
    return late
