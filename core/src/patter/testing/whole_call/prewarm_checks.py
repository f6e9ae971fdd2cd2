"""What must hold of what is opened while a call rings (PW-02, PW-03, PW-05, PW-07, PW-08, PW-18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.testing.whole_call.prewarm_plan import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patter.testing.whole_call.played_call import PlayedCall

#: taking over what is parked is a matter of no time, in ms
ADOPTED_MS = 5.0
#: placing a call takes less than this, in s
DIAL_S = 0.2


def nothing_parked(call: PlayedCall) -> Iterator[str]:
    """PW-06, PW-07, PW-18: on every way out, what was opened is closed, and the books are empty."""
    for kind, count in sorted(call.switchroom.open.items()):
        if count:
            yield f"{count} connections of the {kind} are open"
    yield from call.switchroom.faults


def adopted_once(call: PlayedCall) -> Iterator[str]:
    """PW-02, PW-05: what was parked in time is what is used first, and it is taken over once."""
    plan, script = call.script.prewarm, call.script
    if plan is None or plan.unanswered or call.session is None:
        return
    for kind in KINDS:
        used = call.switchroom.used.get(kind, [])
        if used.count("adopted") > 1:
            yield f"the {kind} took over {used.count('adopted')} connections"
        if used and plan.is_adopted(kind) and script.media in ("normal", "odd messages first"):
            if used[0] != "adopted":
                yield f"a connection of the {kind} was parked, and it connected anew: {used}"
        elif used and "adopted" in used[1:]:
            yield f"the {kind} took over a parked connection after another: {used}"


def adopted_at_once(call: PlayedCall) -> Iterator[str]:
    """PW-08: each connection that is taken over is told of, as taken over in no time."""
    plan = call.script.prewarm
    told = [one for one in call.connections if one.source == "adopted"]
    adopted = sum(used.count("adopted") for used in call.switchroom.used.values())
    if len(told) > adopted:
        yield f"{len(told)} connections were said to be taken over, {adopted} were"
    if plan is None or call.record.frozen:
        return
    for one in told:
        if plan.parking[one.kind].adopts == "at once" and one.took_ms > ADOPTED_MS:
            yield f"taking over the connection of the {one.kind} took {one.took_ms} ms"


def ends_as_it_rang(call: PlayedCall) -> Iterator[str]:
    """CC-03, CC-14: a call that nobody answers has no session and the carrier's outcome; a machine meets no agent."""
    plan = call.script.prewarm
    if plan is None:
        return
    if plan.unanswered and call.line is not None:
        yield "a call that was not answered has media"
    outcomes = [summary.outcome.value for summary in call.summaries]
    if plan.unanswered in ("busy", "no-answer", "failed", "canceled") and call.script.unmade == "":
        answer_due = plan.rings_s + DIAL_S
        ended_early = any(t <= answer_due for t, _ in call.script.statuses) or any(
            t <= answer_due for t, _, _ in call.script.events
        )
        if outcomes and outcomes != [plan.unanswered] and not ended_early:
            yield f"the call was {plan.unanswered}, and ended as {outcomes}"
    if plan.answered_by == "machine" and call.session is not None:
        yield "a machine met the agent"


PREWARM_CHECKS = (nothing_parked, adopted_once, adopted_at_once, ends_as_it_rang)
