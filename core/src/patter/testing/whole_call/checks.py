"""What must hold of every whole call, beside the invariants of the machines' simulation, which hold here as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.agent import LLM_ERROR_MESSAGE
from patter.call.reply_model import TOO_MANY_ROUNDS
from patter.testing.simulation.carrier import PER_S
from patter.testing.simulation.invariants import CHECKS as MACHINE_CHECKS
from patter.testing.simulation.invariants import FRAME_S, TOLERANCE_S, Problem
from patter.testing.whole_call.prewarm_checks import PREWARM_CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patter.testing.whole_call.played_call import PlayedCall

#: tasks and sockets of an ended call are gone within 2 s (LC-03), hooks that watch have 1 s to finish, in s
TEARDOWN_S = 3.0
#: `patter_call_ended` may take this long, in s
HOOK_S = 5.0
#: by then a call is carried, in s
SETTLED_S = 4.0
#: what may end it before
ENDINGS = frozenset({"drop", "hang_up_by_application", "transfer"})
#: speech already begun is heard for at most this long (CC-11), in s
GOODBYE_S = 10.0
#: a voice may pause for this long in what it says, in s
QUIET_S = 3.0
#: reasons for which a call ends after what was begun is heard
WAITS_FOR_KEYS = ("the application said goodbye",)
#: an answered call whose media does not come has failed after this, in s
MEDIA_TIMEOUT_S = 10.0
#: figures are rounded to tenths, of which a breakdown adds up nine, in ms
MEASURE_MS = 1.0


def problems(call: PlayedCall) -> list[Problem]:
    """Everything that is wrong with a call that is over."""
    found = [Problem(check.__name__, detail) for check in CHECKS for detail in check(call)]
    if call.session is not None:
        call.record.read(call.machine.conversation)
        for check in (*MACHINE_CHECKS, *SESSION_CHECKS):
            found += [Problem(check.__name__, detail) for detail in check(call)]
    return found + [Problem("order", detail) for detail in call.record.problems]


def over_once(call: PlayedCall) -> Iterator[str]:
    """LC-06: `patter_call_ended` and `call_ended` once for each call object."""
    # a hook that a shutdown cut off, or kept from being called, counts as called
    cut = call.script.shuts_down and "patter_call_ended" in dict(call.script.hooks)
    if len(call.summaries) > 1 or not (call.summaries or cut):
        yield f"patter_call_ended was called {len(call.summaries)} times"
    if call.events_of_end != 1:
        yield f"call_ended came {call.events_of_end} times"


def carried(call: PlayedCall) -> Iterator[str]:
    """A call whose media come is carried, unless something of its script prevents that."""
    script = call.script
    sound = script.media in ("normal", "odd messages first") and not script.unmade
    plan, settled_s = script.prewarm, SETTLED_S
    if plan is not None:
        sound = sound and not plan.unanswered and plan.answered_by != "machine"
        settled_s += plan.settles_s
    early = [what for t, what, _ in script.events if t < settled_s and what in ENDINGS]
    early += [status for t, status in script.statuses if t < settled_s and status in ("completed", "failed")]
    prevented = early or script.hangs_up_at < settled_s or "patter_call_setup" in dict(script.hooks)
    if sound and not prevented and call.session is None:
        reason = call.summaries[0].reason if call.summaries else "nobody knows why"
        yield f"it was not carried: {reason}"


def record_kept(call: PlayedCall) -> Iterator[str]:
    """CC-20: one record per call, with caller, callee and start, and with a status that is final."""
    records = [one for one in call.records() if one.carrier_call_id == call.far_end.carrier_call_id]
    if len(records) != 1:
        yield f"{len(records)} records"
        return
    record, expected = records[0], call.numbers
    if (record.caller, record.callee) != expected:
        yield f"the record is of {record.caller} and {record.callee}, not of {expected}"
    if record.started_t != call.placed_at:
        yield f"the record began at {record.started_t}, the call at {call.placed_at}"
    if record.is_active:
        yield f"the record of an ended call says {record.status}"


def nothing_left(call: PlayedCall) -> Iterator[str]:
    """LC-03: no task, timer, socket, provider, place or token of it is there any more."""
    yield from call.left
    for summary in call.summaries:
        yield from (f"leaked: {name}" for name in summary.leaks)


def over_in_time(call: PlayedCall) -> Iterator[str]:
    """No call outlives its hang-up by more than it may."""
    if call.over_at is None or call.record.frozen:
        return
    limit = TEARDOWN_S + (HOOK_S if call.script.hooks else 0.0)
    if call.record.ended:
        ended = call.record.ended[0][0]
        if call.over_at > ended + limit:
            yield f"ended at {ended}, but over at {call.over_at} only"
    gone = call.line.gone_at if call.line is not None else None
    if gone is not None and call.session is not None and not call.record.ended:
        yield f"the line was gone at {gone}, but the session never ended"
    if gone is not None and call.record.ended and call.record.ended[0][0] > gone + FRAME_S:
        yield f"the line was gone at {gone}, but the call ended at {call.record.ended[0][0]} only"
    rings_s = call.script.prewarm.settles_s if call.script.prewarm is not None else 0.0
    if call.session is None and call.over_at > call.placed_at + MEDIA_TIMEOUT_S * 2 + rings_s + limit:
        yield f"without media it was over at {call.over_at} only"


def clear_goes_out(call: PlayedCall) -> Iterator[str]:
    """BI-07: the carrier has the clear within one frame of a confirmed interruption."""
    record = call.record
    for t, one in record.interruptions:
        last = record.last_sent.get(one.turn)
        if one.outcome != "confirmed" or last is None or call.gone_by(t + FRAME_S):
            continue
        if call.held_up_between(t - FRAME_S, t + FRAME_S):
            continue
        if not any(last - TOLERANCE_S <= clear <= t + FRAME_S for clear in record.clears):
            yield f"turn {one.turn} was interrupted at {t}, but the clears came at {record.clears}"


def greeted(call: PlayedCall) -> Iterator[str]:
    """The greeting comes first, and is heard in full unless the caller or the application stopped it."""
    text, record = call.script.settings.first_message, call.record
    if not text:
        return
    if not record.started or record.started[0][1].kind != "greeting" or record.started[0][1].text != text:
        yield f"the call began with {record.started[:1]}"
        return
    turn = record.started[0][1].reply
    report = next((one for _, one in record.turns if one.turn == turn), None)
    if report is not None and not report.interrupted and report.text != text and not call.failures:
        yield f"the greeting {text!r} was said as {report.text!r}, and nothing failed"


def answers_what_was_said(call: PlayedCall) -> Iterator[str]:
    """TN-02, TN-03: the model is asked with the turn's whole text, and what it said is what was spoken."""
    texts = {start.reply: start.text for _, start in call.record.started if start.user_turn is not None}
    for reply, asked in call.asked.items():
        if reply not in texts:
            yield f"the model was asked for turn {reply}, which answers nobody"
        elif asked[0] != texts[reply]:
            yield f"the model was asked {asked[0]!r} for turn {reply}, which answers {texts[reply]!r}"


def billed_as_sent(call: PlayedCall) -> Iterator[str]:
    """What providers charge for is what they were given: every usage is reported once, no frame is sent twice."""
    if call.usages != call.billed:
        yield f"the model charged {call.billed} times, {call.usages} were reported"
    frames = call.line.frames if call.line is not None else 0
    if call.stt_frames > frames:
        yield f"the caller spoke {frames} frames, the recogniser got {call.stt_frames}"


def nothing_was_stuck(call: PlayedCall) -> Iterator[str]:
    """The watchdog had nothing to free."""
    for summary in call.summaries:
        if summary.metrics.get("stuck_repairs", 0):
            yield f"{summary.metrics['stuck_repairs']} repairs"


def turns_are_measured(call: PlayedCall) -> Iterator[str]:
    """Each turn is in the call's figures once, and what the caller waited for adds up to when the agent was heard."""
    figures = call.summaries[0].latency if call.summaries else None
    if figures is None:
        return
    reports = {report.turn: (t, report) for t, report in call.record.turns}
    if [turn.turn for turn in figures.turns] != list(reports):
        yield f"turns {[turn.turn for turn in figures.turns]} were measured, {list(reports)} ended"
    started = {start.reply: t for t, start in call.record.started}
    for turn in figures.turns:
        result = turn.breakdown
        if abs(sum(part.ms for part in result.parts) - result.total_ms) > MEASURE_MS:
            yield f"the parts of turn {turn.turn} do not add up: {result}"
        ended, _ = reports.get(turn.turn, (0.0, None))
        until = call.record.first_sent.get(turn.turn, ended) if result.heard else ended
        since_start = (until - started.get(turn.turn, until)) * 1000
        after = sum(part.ms for part in result.parts if part.name not in ("endpointing", "stt"))
        if abs(after - since_start) > MEASURE_MS:
            yield f"turn {turn.turn} took {since_start} ms from its commit, of which {after} are told: {result}"


def goodbye_is_heard(call: PlayedCall) -> Iterator[str]:
    """CC-11: what the agent had begun to say goes on to its end, whoever speaks meanwhile."""
    record = call.record
    t, end = record.ended[0] if record.ended else (0.0, None)
    if (
        end is None
        or not (call.was_draining or "took over" in end.reason)
        or call.stalls_between(t - GOODBYE_S, t)
    ):
        return
    turn = record.turns[-1][1].turn if record.turns else 0
    left = sum(line.line.samples - call.sent_of(line) for line in record.lines if line.reply == turn)
    last = record.last_sent.get(turn)
    if left > 0 and last is not None and last < t - QUIET_S:
        yield f"the last audio was sent at {last}, {left} samples were left, and the call ended at {t}"


def keys_are_heard(call: PlayedCall) -> Iterator[str]:
    """CC-09: the keys that were pressed are heard to their end, whoever speaks, unless the call ends before."""
    missing = (len(call.keys) - call.keys_sent) / PER_S
    end = call.record.ended[0] if call.record.ended else None
    if missing and end is not None and end[1].reason in WAITS_FOR_KEYS and "took over" not in end[1].reason:
        yield f"the agent hung up at {end[0]}, and {missing:.1f} s of keys were not heard"
    if call.script.quiet_s and missing and call.record.when_quiet is not None:
        yield f"{missing:.1f} s of keys were never heard"


def says_all(call: PlayedCall, reply: int, words: list[str]) -> bool:
    """Whether those words are all that a turn had to say; a model that failed apologises."""
    start = next(one for _, one in call.record.started if one.reply == reply)
    expected = (call.said.get(reply, "") if start.user_turn is not None else start.text).split()
    apologies: tuple[list[str], ...] = ([], LLM_ERROR_MESSAGE.split(), TOO_MANY_ROUNDS.split())
    return any(words == expected + apology for apology in apologies)


CHECKS = (over_once, carried, record_kept, nothing_left, over_in_time, *PREWARM_CHECKS)
SESSION_CHECKS = (
    clear_goes_out,
    greeted,
    answers_what_was_said,
    billed_as_sent,
    goodbye_is_heard,
    keys_are_heard,
    nothing_was_stuck,
    turns_are_measured,
)
