"""What must hold of every call, whatever happened when.

Each check reads the record of a call, which holds what the machine was told and what it asked for, and the virtual
carrier, which knows what the caller heard. None asks the machines what they believe, apart from the last one.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

from patter.call.barge_in import PENDING_CAP_S, TICK_S
from patter.call.machine import DRAIN_S
from patter.call.session_state import State
from patter.call.turns import RESTART_WINDOW_S, RESTARTS
from patter.testing.simulation.carrier import AHEAD_S
from patter.testing.simulation.draw import LONGEST_FREEZE_S
from patter.testing.simulation.finals import said
from patter.testing.simulation.heard_checks import heard_problems
from patter.testing.simulation.idle_checks import idle_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patter.call.actions import StartReply
    from patter.testing.simulation.observer import Observed
    from patter.testing.simulation.record import Record

#: one frame of audio (the pacer's grid included), in s
FRAME_S = 0.02
TOLERANCE_S = 1e-6
#: an enum takes its time to look up a member
LISTENING, ENDED = State.LISTENING, State.ENDED
#: what is told of speech, and whether it begins
USER_EDGES = {"user_speech_started": True, "user_speech_ended": False}
AGENT_EDGES = {"agent_speech_started": True, "agent_speech_ended": False}
#: each moment as a letter
LETTERS = {
    "user_speech_started": "U",
    "user_speech_ended": "u",
    "user_speech_eos": ".",
    "agent_speech_started": "A",
    "agent_speech_ended": "a",
}
#: what may give up a reply of which something was sent, apart from a confirmed interruption
APPLICATION = ("interrupt", "commit_turn", "announce")


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken promise: which, and how."""

    promise: str
    detail: str


def problems(stage: Observed) -> list[Problem]:
    """Everything that is wrong with a call that is over."""
    record = stage.record
    found = [Problem(check.__name__, detail) for check in CHECKS for detail in check(stage)]
    if record.problems:
        found += [Problem("order", detail) for detail in record.problems]
    return found


def finals_counted(stage: Observed) -> Iterator[str]:
    """TN-05, TN-06: exactly the finals that count were taken."""
    record = stage.record
    if record.accepted != record.transcribed:
        yield f"accepted {record.transcribed}, not {record.accepted}"


def each_final_once(stage: Observed) -> Iterator[str]:
    """TN-03: every accepted final is in exactly one user entry, or unanswered at the end, and in order."""
    record = stage.record
    finals = record.accepted
    entries = record.written.user + [line.text for line in record.written.transcript if line.unanswered]
    # mostly the entries are the finals word for word; or each last word was said once and is there once, in order
    there = _without_stops(entries)
    if there == _without_stops(finals) and not any(map(_says_twice, finals)):
        return
    last = list(map(_last_word, finals))
    said_last = set(last)
    if [word for word in there.split() if word in said_last] != last or len(said_last) != len(last):
        yield from _not_once(finals, last, entries)
        yield from _out_of_order(finals, last, entries)


def _without_stops(texts: list[str]) -> str:
    """Their words without the full stops behind them."""
    return f"{' '.join(texts)} ".replace(". ", " ")


@lru_cache(maxsize=10_000)
def _says_twice(final: str) -> bool:
    """Whether a word before the last is in it twice; callers say the same texts again and again."""
    words = final.split()[:-1]
    return len(set(words)) < len(words)


@lru_cache(maxsize=10_000)
def _last_word(final: str) -> str:
    """The word that tells a final from the others."""
    return final.rsplit(maxsplit=1)[-1].rstrip(".")


def _not_once(finals: list[str], last: list[str], entries: list[str]) -> Iterator[str]:
    """Last words of finals that are in no entry, or in more entries than finals."""
    longer = [word for final in finals for word in set(final.split()[:-1])]
    found = [word for text in entries for word in {word.rstrip(".") for word in text.split()}]
    for word in dict.fromkeys(last):
        most = last.count(word) + longer.count(word)
        if not 1 <= found.count(word) <= most:
            yield f"{word!r}, said in {most} finals, is in {found.count(word)} of the entries {entries}"


def _out_of_order(finals: list[str], last: list[str], entries: list[str]) -> Iterator[str]:
    """Last words of finals that were said once and are there once stand in the order in which they were said.

    A final with whose words the next one begins has no place of its own (TN-02).
    """
    words = [word.rstrip(".") for text in entries for word in text.split()]
    repeated = [
        word
        for word, (one, following) in zip(last, pairwise(finals), strict=False)
        if f"{said(following)} ".startswith(f"{said(one)} ")
    ]
    said_once = [word for word in last if last.count(word) == 1 and word not in repeated]
    found = [word for word in words if word in said_once]
    if found == said_once:
        return
    found = [word for word in found if found.count(word) == 1]
    expected = [word for word in said_once if word in found]
    for word, other in zip(found, expected, strict=True):
        if word != other:
            yield f"{word!r} is out of order in {words}"


def answered_once(stage: Observed) -> Iterator[str]:
    """TN-02, TN-03: one reply a user turn, to its whole text; restarts are few and early."""
    record = stage.record
    answers = [(start.user_turn, t, start) for t, start in record.started if start.user_turn is not None]
    texts = {turn: start.text for turn, _, start in answers}
    if list(texts.values()) != record.written.user:
        yield f"answered {list(texts.values())}, but the history has {record.written.user}"
    if len(texts) < len(answers):
        yield from _restarted(record, answers)


def _restarted(record: Record, answers: list[tuple[int, float, StartReply]]) -> Iterator[str]:
    """User turns that were dispatched too often or too late, or answered more than once."""
    given_up = {cancelled.reply for cancelled in record.cancelled}
    whole = [turn for turn, _, start in answers if start.reply not in given_up]
    dispatched: dict[int, list[float]] = {}
    for turn, t, _ in answers:
        if turn in dispatched:
            dispatched[turn].append(t)
        else:
            dispatched[turn] = [t]
    for turn, times in dispatched.items():
        if len(times) > 1 + RESTARTS or times[-1] - times[0] > RESTART_WINDOW_S + TOLERANCE_S:
            yield f"user turn {turn} was dispatched at {times}"
        if whole.count(turn) > 1:
            yield f"user turn {turn} was answered {whole.count(turn)} times"


def stops_have_a_reason(stage: Observed) -> Iterator[str]:
    """BI-01, BI-02, BI-06: audible speech is given up only past the gate, for a confirmed interruption, or on request."""
    record, gate_s = stage.record, stage.script.barge_in.gate_s
    if not record.cancelled and not record.interruptions:
        return
    own_account = {start.reply for _, start in record.started if start.kind != "reply"}
    confirmed = _stopped_by_caller(record)
    for t, turn in confirmed:
        first = record.first_sent.get(turn)
        if first is None or t < first:
            yield f"turn {turn} was interrupted at {t} before anything of it was sent"
        elif t < first + gate_s - TOLERANCE_S and not _late_final(stage, t, first):
            yield f"turn {turn}, first sent at {first}, was interrupted at {t}, before the gate opened"
    for one in record.cancelled:
        if one.heard:
            if (one.t, one.reply) not in confirmed and one.cause not in APPLICATION:
                yield f"turn {one.reply} was cut off at {one.t} by {one.cause}"
        elif one.cause not in APPLICATION and (one.cause != "final" or one.reply in own_account):
            yield f"turn {one.reply} was given up unheard at {one.t} by {one.cause}"


def _stopped_by_caller(record: Record) -> set[tuple[float, int]]:
    """The confirmed interruptions that no application asked for: when, and of which turn."""
    return {
        (t, one.turn) for t, one in record.interruptions if one.outcome == "confirmed" and not one.requested
    }


def _late_final(stage: Observed, t: float, first: float) -> bool:
    """TN-20: a final of speech that ended before the first audio."""
    return any(
        final.speech_ended_at is not None and final.speech_ended_at <= first <= final.t <= t
        for final in stage.record.finals
    )


def stops_at_once(stage: Observed) -> Iterator[str]:
    """BI-07, BI-18, BI-24: after an interruption, nothing of the cancelled turn is sent or heard."""
    record = stage.record
    for one in record.cancelled:
        reply, t = one.reply, one.t
        last = record.last_sent.get(reply)
        if last is None:
            continue
        stalled = record.stalls and stage.stalls_between(t, t)
        if last > t + TOLERANCE_S and not (stalled and any(clear >= last for clear in record.clears)):
            yield f"audio of turn {reply} was sent at {last}, after it was cancelled at {t}"
        silent_at = stage.sounded_until(reply)
        if not stalled and silent_at > t + stage.script.delay_s + FRAME_S:
            yield f"turn {reply}, cancelled at {t}, was heard until {silent_at:.3f}"


def cancel_is_immediate(stage: Observed) -> Iterator[str]:
    """BI-07: in mode cancel, speech past the gate stops the agent in the step in which it begins."""
    yield from stage.record.ignored


def never_far_ahead(stage: Observed) -> Iterator[str]:
    """PL-02: the carrier never holds more than 200 ms, also after a stall."""
    carrier = stage.carrier
    if carrier.most_ahead > AHEAD_S + TOLERANCE_S:
        yield f"at {carrier.most_ahead_at} the carrier held {carrier.most_ahead * 1000:.0f} ms"
    if carrier.foreign:
        yield f"{carrier.foreign} payloads are no audio of the agent"


def decided_in_time(stage: Observed) -> Iterator[str]:
    """BI-13: nothing is pending for longer than it may be."""
    settings = stage.script.barge_in
    longest = settings.confirm_s if settings.mode == "pause" else PENDING_CAP_S
    if stage.record.frozen:
        return
    for t, outcome in stage.record.interruptions:
        if outcome.outcome == "unconfirmed" and outcome.detection_delay_ms / 1000 > longest + TICK_S:
            yield f"an interruption of {outcome.detection_delay_ms:.0f} ms was dropped at {t} only"


def finalize_once(stage: Observed) -> Iterator[str]:
    """TN-21: one request for a final for each end of speech at most."""
    ends = stage.record.speech_ends
    for number, t in enumerate(stage.record.finalizes, 1):
        if number > bisect_right(ends, t):
            yield f"a final was asked for at {t}, the {number}th time, after fewer ends of speech"


def ends_once(stage: Observed) -> Iterator[str]:
    """LC-06: one end; every reply that was begun is over, and nothing is left."""
    record, machine = stage.record, stage.machine
    if len(record.ended) != 1:
        yield f"ended {len(record.ended)} times"
    begun = [start.reply for _, start in record.started]
    over = [report.turn for _, report in record.turns]
    if begun != over:
        yield f"replies {begun} were begun and {over} were over"
    if machine.playout.turn is not None:
        yield "left over: a turn on the floor"
    if machine.playout.waiting_marks > 0:
        yield "left over: marks"
    if machine.reply is not None:
        yield "left over: a reply"
    if machine.barge_in.pending:
        yield "left over: a pending interruption"
    if machine.deadline(stage.t) < inf:
        yield "left over: a deadline"
    if machine.turns.unanswered():
        yield "left over: caller text"
    if machine.state is not ENDED:
        yield "left over: a state that is not the end"


def ends_in_time(stage: Observed) -> Iterator[str]:
    """CC-11: a call that is to end does so once what is being said is heard, at the latest in 10 s."""
    record = stage.record
    if record.ending_since is None:
        return
    late = FRAME_S + LONGEST_FREEZE_S * sum(what == "freeze" for _, what, _ in stage.script.events)
    for t, _ in record.ended:
        if t > record.ending_since + DRAIN_S + late:
            yield f"the call was to end at {record.ending_since} and ended at {t}"


def nobody_waits_for_ever(stage: Observed) -> Iterator[str]:
    """When nothing happened for long, the agent listens, and what asked for an answer has got it."""
    snapshot = stage.record.when_quiet
    if snapshot is None:
        return
    if snapshot.state not in (LISTENING, ENDED):
        yield f"{stage.script.quiet_s} s after the last event the machine is {snapshot.state.value}"
    if snapshot.state is not LISTENING or stage.script.settings.turn_end == "manual":
        return
    record = stage.record
    last_final = max((final.t for final in record.finals if final.accepted), default=0.0)
    if any(t > last_final for t, _ in _stopped_by_caller(record)):
        return  # the words that interrupted never came; asking the recogniser for them is the watch's business
    lines = record.written.transcript
    aside = {word for line in lines if line.backchannel for word in line.text.split()}
    for line in lines:
        if line.unanswered and not aside.issuperset(line.text.split()):
            yield f"{line.text!r} was never answered"


def told_in_order(stage: Observed) -> Iterator[str]:
    """TN-10: speech begins before it ends, on each side, and a turn is over before it is answered aloud."""
    moments = stage.record.moments
    told = "".join(map(LETTERS.__getitem__, moments))
    of_user = told.replace("A", "").replace("a", "").replace(".", "").replace("Uu", "")
    of_agent = told.replace("U", "").replace("u", "").replace("Aa", "").replace(".", "")
    if of_agent or of_user not in ("", "U"):
        yield from _not_in_order(moments)


def _not_in_order(moments: list[str]) -> Iterator[str]:
    """What was told too early or twice, or was not told."""
    user = agent = False
    for place, moment in enumerate(moments):
        if moment in USER_EDGES:
            twice, user = user is USER_EDGES[moment], USER_EDGES[moment]
        elif moment in AGENT_EDGES:
            twice, agent = agent is AGENT_EDGES[moment], AGENT_EDGES[moment]
        else:
            twice = False
            if agent:
                yield f"a turn was over while the agent spoke: {moments[: place + 1]}"
        if twice:
            yield f"{moment} was told twice: {moments[: place + 1]}"
    if agent:
        yield "the end of the agent's speech was never told"


CHECKS = (
    finals_counted,
    each_final_once,
    answered_once,
    stops_have_a_reason,
    stops_at_once,
    cancel_is_immediate,
    never_far_ahead,
    heard_problems,
    idle_problems,
    told_in_order,
    decided_in_time,
    finalize_once,
    ends_once,
    ends_in_time,
    nobody_waits_for_ever,
)
