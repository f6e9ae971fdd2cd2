"""The history against what the virtual carrier really played (TN-08, BI-18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.call.types import INTERRUPTED
from patter.testing.simulation.agent_plans import HUMAN
from patter.testing.simulation.carrier import played
from patter.testing.simulation.draw import PROMPT_ECHO_S

if TYPE_CHECKING:
    from patter.testing.simulation.carrier import Played
    from patter.testing.simulation.observer import Observed
    from patter.testing.simulation.record import EndedTurn, SpokenLine

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
        if line.reply in lines:
            lines[line.reply].append(line)
        else:
            lines[line.reply] = [line]
    # the text of a turn that called tools is in several entries
    written = " ".join(record.written.agent)
    heard = [heard_of(report) for _, report in record.turns]
    reported = " ".join(filter(None, heard))
    found: list[str] = []
    if written != reported:
        found.append(f"the history says {written!r}, the turns {reported!r}")
    near = must_be_near_truth(stage)
    carrier = stage.carrier
    for (t, report), text in zip(record.turns, heard, strict=True):
        said = lines.get(report.turn)
        if said is None:
            if text or not report.interrupted:
                found += _of_turn(stage, report, text.split(), [])
            continue
        first, last = said[0].start, said[-1].end
        pieces = [piece for piece in carrier.pieces if piece.end > first and piece.start < last]
        if (
            text == said[0].line.text
            and last <= carrier.accepted
            and _is_whole(said, pieces, t + carrier.delay_s)
            and (report.interrupted or stage.says_all(report.turn, said))
        ):
            continue
        words = text.split()
        found += _of_turn(stage, report, words, said)
        found += _nothing_skipped(stage, report, said, pieces)
        if near and (wrong := _far_from_truth(stage, t, len(words), said, pieces)):
            found.append(f"turn {report.turn} says {report.text!r}, but {wrong}")
    return found


def heard_of(report: EndedTurn) -> str:
    """What the caller heard of a turn, of which nothing may be left (TN-09)."""
    return "" if report.text == INTERRUPTED else report.text


def _is_whole(lines: list[SpokenLine], pieces: list[Played], until: float) -> bool:
    """Whether one sentence and nothing else was said, and sounded in one piece, as most do."""
    if len(lines) > 1 or len(pieces) > 1 or not pieces:
        return False
    line, piece = lines[0], pieces[0]
    spoken = line.line
    heard = piece.start == line.start and piece.end >= line.start + spoken.samples
    sounded = piece.plays_at + spoken.samples / PER_S <= until
    return heard and sounded and not line.cut and spoken.all_begun == len(spoken.words)


def _of_turn(stage: Observed, report: EndedTurn, words: list[str], lines: list[SpokenLine]) -> list[str]:
    found = []
    if not report.interrupted and not stage.says_all(report.turn, lines):
        found.append(f"turn {report.turn} ended by itself after {len(lines)} of its sentences")
    if not words:
        return found
    if not is_beginning(words, lines):
        whole = " ".join(line.line.text for line in lines)
        found.append(f"turn {report.turn} says {report.text!r}, which does not begin {whole!r}")
        return found
    accepted, sent = stage.carrier.accepted, 0
    for line in lines:
        of_line, spoken = accepted - line.start, line.line
        sent += spoken.all_begun if of_line >= spoken.samples else spoken.words_begun(of_line)
    if len(words) > sent:
        found.append(f"turn {report.turn} says {report.text!r}, but only {sent} words were sent")
    return found


def is_beginning(words: list[str], lines: list[SpokenLine]) -> bool:
    """Whether the words begin what was said. A sentence whose voice failed may stand with fewer words than it has."""
    said: list[str] = []
    for number, line in enumerate(lines):
        if line.cut and len(words) > len(said):
            at, cut, after = len(said), line.line.words, lines[number + 1 :]
            return words[:at] == said and any(
                words[at : at + count] == [*cut[:count]] and is_beginning(words[at + count :], after)
                for count in range(len(cut) + 1)
            )
        said += line.line.words
    return said[: len(words)] == words


def must_be_near_truth(stage: Observed) -> bool:
    """Whether the history of this call must be right to one word: prompt echoes, no stall of any kind."""
    return not stage.record.disturbed and _prompt(stage)


def _prompt(stage: Observed) -> bool:
    """Whether this carrier's echoes are such that the history must be right to one word."""
    script = stage.script
    limit = PROMPT_ECHO_S * script.replies[0].voice / HUMAN
    longest = limit + 1e-9 - script.delay_s
    return not [echo for echo in script.echoes if echo is None or echo > longest]


def _far_from_truth(
    stage: Observed, t: float, words: int, lines: list[SpokenLine], pieces: list[Played]
) -> str:
    """How far so many words are from what had sounded, if by more than one; what cannot be is not looked up."""
    surely, perhaps = t - GRID_S, t + stage.script.delay_s + GRID_S
    said = 0
    for line in lines:
        said += len(line.line.words)
    many = words > 1 and words > _begun(pieces, lines, perhaps) + 1
    if not many and (words >= said - 1 or words >= _begun(pieces, lines, surely, cut=False) - 1):
        return ""
    least, most = _begun(pieces, lines, surely, cut=False), _begun(pieces, lines, perhaps)
    return f"the caller had heard {least} to {most} words at {t}"


def _begun(pieces: list[Played], lines: list[SpokenLine], until: float, *, cut: bool = True) -> int:
    """How many words had begun to sound by then; not of sentences whose voice failed, unless `cut`."""
    begun = 0
    for line in lines:
        if cut or not line.cut:  # of one whose voice failed the engine claims what is sure
            begun += line.line.words_begun(played(pieces, line.start, line.end, until))
    return begun


def _nothing_skipped(
    stage: Observed, report: EndedTurn, lines: list[SpokenLine], pieces: list[Played]
) -> list[str]:
    """What sounded of a turn has no hole; of one that was not interrupted it is all."""
    at, last = lines[0].start, lines[-1].end
    if len(pieces) == 1 and pieces[0].start == at and (report.interrupted or pieces[0].end >= last):
        return []
    found = []
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
