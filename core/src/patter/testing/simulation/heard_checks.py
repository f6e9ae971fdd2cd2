"""The history against what the virtual carrier really played (TN-08, BI-18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.testing.simulation.agent_plans import HUMAN
from patter.testing.simulation.draw import PROMPT_ECHO_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patter.call.types import TurnReport
    from patter.testing.simulation.record import SpokenLine
    from patter.testing.simulation.stage import Stage

#: when heard positions are read, they lie on the 10 ms grid, in s
GRID_S = 0.011
PER_S = 8000
#: the shortest sentence that counts as one where repeating is judged, in samples: fast agents say some in 120 ms
LEAST_SENTENCE = 2400


def heard_problems(stage: Stage) -> Iterator[str]:
    """The entries are what was heard, and what was not interrupted was heard whole."""
    record = stage.record
    lines: dict[int, list[SpokenLine]] = {}
    for line in record.lines:
        lines.setdefault(line.reply, []).append(line)
    written = [
        message.content for message in stage.machine.conversation.history if message.role == "assistant"
    ]
    reported = [report.text for _, report in record.turns if report.text]
    if written != reported:
        yield f"the history says {written}, the turns {reported}"
    for t, report in record.turns:
        yield from _of_turn(stage, t, report, lines.get(report.turn, []))


def _of_turn(stage: Stage, t: float, report: TurnReport, lines: list[SpokenLine]) -> Iterator[str]:
    if not report.interrupted and len(lines) != stage.agent.sentences_of(report.turn):
        yield f"turn {report.turn} ended by itself after {len(lines)} of its sentences"
    whole = " ".join(line.line.text for line in lines).split()
    words = report.text.split()
    if words != whole[: len(words)]:
        yield f"turn {report.turn} says {report.text!r}, which does not begin {whole}"
        return
    sent = sum(line.line.words_begun(stage.sent_of(line)) for line in lines)
    if len(words) > sent:
        yield f"turn {report.turn} says {report.text!r}, but only {sent} words were sent"
    if lines and must_be_near_truth(stage):
        yield from _near_truth(stage, t, report, lines)
    if lines:
        yield from _nothing_skipped(stage, t, report, lines)


def must_be_near_truth(stage: Stage) -> bool:
    """Whether the history of this call must be right to one word: prompt echoes, no stall of any kind."""
    return not stage.record.disturbed and _prompt(stage)


def _prompt(stage: Stage) -> bool:
    """Whether this carrier's echoes are such that the history must be right to one word."""
    script = stage.script
    limit = PROMPT_ECHO_S * script.replies[0].voice / HUMAN
    return all(echo is not None and echo + script.delay_s <= limit + 1e-9 for echo in script.echoes)


def _near_truth(stage: Stage, t: float, report: TurnReport, lines: list[SpokenLine]) -> Iterator[str]:
    words = len(report.text.split())
    heard = [
        sum(line.line.words_begun(stage.carrier.played(line.start, line.end, moment)) for line in lines)
        for moment in (t - GRID_S, t + stage.script.delay_s + GRID_S)
    ]
    if not heard[0] - 1 <= words <= heard[1] + 1:
        yield f"turn {report.turn} says {report.text!r}, but the caller had heard {heard} words at {t}"


def _nothing_skipped(stage: Stage, t: float, report: TurnReport, lines: list[SpokenLine]) -> Iterator[str]:
    """What sounded of a turn has no hole; of one that was not interrupted it is all."""
    first, last = lines[0].start, lines[-1].end
    at = first
    for piece in stage.carrier.pieces:
        if piece.start >= last or piece.end <= first:
            continue
        if piece.start > at:
            yield f"turn {report.turn}: {(piece.start - at) / PER_S:.3f} s were skipped at {piece.plays_at:.3f}"
        if piece.start < at:
            repeated = sum(
                piece.start <= line.start and line.end <= at and line.line.samples >= LEAST_SENTENCE
                for line in lines
            )
            if repeated > 1 and _prompt(stage) and not stage.record.disturbed:
                yield f"turn {report.turn}: {repeated} sentences were repeated at {piece.plays_at:.3f}"
        at = max(at, piece.end)
    if not report.interrupted and at < last:
        yield f"turn {report.turn} was not interrupted, but {(last - at) / PER_S:.3f} s of it were not heard"
