"""The history against what the virtual carrier really played (TN-08, BI-18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.types import INTERRUPTED
from patter.testing.simulation.agent_plans import HUMAN
from patter.testing.simulation.carrier import played
from patter.testing.simulation.draw import PROMPT_ECHO_S

if TYPE_CHECKING:
    from patter.call.types import TurnReport
    from patter.testing.simulation.carrier import Played
    from patter.testing.simulation.observer import Observed
    from patter.testing.simulation.record import SpokenLine

#: when heard positions are read, they lie on the 10 ms grid, in s
GRID_S = 0.011
PER_S = 8000
#: the shortest sentence that counts as one where repeating is judged, in samples: fast agents say some in 120 ms
LEAST_SENTENCE = 2400


def heard_problems(stage: Observed) -> list[str]:
    """The entries are what was heard, and what was not interrupted was heard whole."""
    record = stage.record
    lines: dict[int, list[SpokenLine]] = {}
    for line in record.lines:
        lines.setdefault(line.reply, []).append(line)
    # the text of a turn that called tools is in several entries
    written = " ".join(
        [
            message.content
            for message in stage.machine.conversation.history
            if message.role == "assistant" and message.content
        ]
    )
    reported = " ".join([text for _, report in record.turns if (text := heard_of(report))])
    found: list[str] = []
    if written != reported:
        found.append(f"the history says {written!r}, the turns {reported!r}")
    near = must_be_near_truth(stage)
    for t, report in record.turns:
        said = lines.get(report.turn)
        if said is None:
            found += _of_turn(stage, report, [])
            continue
        first, last = said[0].start, said[-1].end
        pieces = [piece for piece in stage.carrier.pieces if piece.end > first and piece.start < last]
        found += _of_turn(stage, report, said)
        found += _nothing_skipped(stage, report, said, pieces)
        if near:
            found += _near_truth(stage, t, report, said, pieces)
    return found


def heard_of(report: TurnReport) -> str:
    """What the caller heard of a turn, of which nothing may be left (TN-09)."""
    return "" if report.text == INTERRUPTED else report.text


def _of_turn(stage: Observed, report: TurnReport, lines: list[SpokenLine]) -> list[str]:
    found = []
    if not report.interrupted and not stage.says_all(report.turn, lines):
        found.append(f"turn {report.turn} ended by itself after {len(lines)} of its sentences")
    words = heard_of(report).split()
    if not is_beginning(words, lines):
        whole = " ".join(line.line.text for line in lines)
        found.append(f"turn {report.turn} says {report.text!r}, which does not begin {whole!r}")
    elif words:
        sent = 0
        for line in lines:
            sent += line.line.words_begun(stage.sent_of(line))
        if len(words) > sent:
            found.append(f"turn {report.turn} says {report.text!r}, but only {sent} words were sent")
    return found


def is_beginning(words: list[str], lines: list[SpokenLine]) -> bool:
    """Whether the words begin what was said. A sentence whose voice failed may stand with fewer words than it has."""
    at = 0
    for number, line in enumerate(lines):
        said = line.line.words
        if line.cut:
            lengths = (count for count in range(len(said) + 1) if words[at : at + count] == [*said[:count]])
            return any(is_beginning(words[at + count :], lines[number + 1 :]) for count in lengths)
        for word in said:
            if at == len(words):
                return True
            if words[at] != word:
                return False
            at += 1
    return at == len(words)


def must_be_near_truth(stage: Observed) -> bool:
    """Whether the history of this call must be right to one word: prompt echoes, no stall of any kind."""
    return not stage.record.disturbed and _prompt(stage)


def _prompt(stage: Observed) -> bool:
    """Whether this carrier's echoes are such that the history must be right to one word."""
    script = stage.script
    limit = PROMPT_ECHO_S * script.replies[0].voice / HUMAN
    longest = limit + 1e-9 - script.delay_s
    return not [echo for echo in script.echoes if echo is None or echo > longest]


def _near_truth(
    stage: Observed, t: float, report: TurnReport, lines: list[SpokenLine], pieces: list[Played]
) -> list[str]:
    words = len(heard_of(report).split())
    least, most = 0, 0
    surely, perhaps = t - GRID_S, t + stage.script.delay_s + GRID_S
    for line in lines:
        at, spoken = line.start, line.line
        end = at + spoken.samples
        if not line.cut:  # of a sentence whose voice failed the engine claims what is sure
            least += spoken.words_begun(played(pieces, at, end, surely))
        most += spoken.words_begun(played(pieces, at, end, perhaps))
    if least - 1 <= words <= most + 1:
        return []
    return [
        f"turn {report.turn} says {report.text!r}, but the caller had heard {least} to {most} words at {t}"
    ]


def _nothing_skipped(
    stage: Observed, report: TurnReport, lines: list[SpokenLine], pieces: list[Played]
) -> list[str]:
    """What sounded of a turn has no hole; of one that was not interrupted it is all."""
    found = []
    at, last = lines[0].start, lines[-1].end
    for piece in pieces:
        start = piece.start
        if start > at:
            found.append(
                f"turn {report.turn}: {(start - at) / PER_S:.3f} s were skipped at {piece.plays_at:.3f}"
            )
        elif start < at:
            repeated = sum(
                start <= line.start and line.end <= at and line.line.samples >= LEAST_SENTENCE
                for line in lines
            )
            if repeated > 1 and _prompt(stage) and not stage.record.disturbed:
                found.append(
                    f"turn {report.turn}: {repeated} sentences were repeated at {piece.plays_at:.3f}"
                )
        if piece.end > at:
            at = piece.end
    if not report.interrupted and at < last:
        found.append(
            f"turn {report.turn} was not interrupted, but {(last - at) / PER_S:.3f} s of it were not heard"
        )
    return found
