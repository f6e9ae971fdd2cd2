"""Whether the agent asked silent callers when it should, and hung up when it should, and never else (TN-22)."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING

from patter.call.session_state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from patter.testing.simulation.observer import Observed

#: the reason that a call has which was hung up for silence begins so
REASON = "nobody said anything"
TOLERANCE_S = 1e-6
#: what the recogniser owes may put off the count once by its own time and this, in s (SP-23)
OWED_S = 9.0


def idle_problems(stage: Observed) -> Iterator[str]:
    """TN-22: the prompt once for each silence, the hang-up in none that is too short, neither while anybody is busy."""
    settings, record = stage.script.settings, stage.record
    asked = [t for t, start in record.started if start.kind == "idle_prompt"]
    hung_up = [t for t, end in record.ended if end.reason.startswith(REASON)]
    if not (asked or hung_up or settings.idle_prompt_s or settings.idle_hangup_s):
        return
    for what, times, wait in (
        ("asked", asked, settings.idle_prompt_s),
        ("hung up", hung_up, settings.idle_hangup_s),
    ):
        for t in times:
            since = silent_since(stage, t)
            if wait is None or since is None:
                yield f"the caller was {what} at {t}, which nobody wanted or while somebody was busy"
            elif t < since + wait - TOLERANCE_S:
                yield f"the caller was {what} at {t}, but the silence began at {since}"
    for earlier, later in pairwise(asked):
        since = silent_since(stage, later)
        # partials may keep the recogniser's watch waiting, which puts the count off
        partials = any(
            what == "interim" and earlier - 3.0 <= t <= later for t, what, _ in stage.script.events
        )
        if since is not None and since <= earlier and not partials:
            yield f"in one silence, since {since}, the caller was asked at {earlier} and at {later}"
    yield from _forgotten(stage, asked)


def silent_since(stage: Observed, t: float) -> float | None:
    """When the silence that reached until t began, the agent's idle prompts not counted; None when there was none."""
    record = stage.record
    ended = {report.turn: at for at, report in record.turns}
    last = 0.0
    for at, start in record.started:
        if start.kind == "idle_prompt" or at >= t:
            continue
        over = ended.get(start.reply)
        if over is None or over > t:
            return None
        last = max(last, over)
    begun, stopped = _latest(record.speech_begins, t), _latest(record.speech_ends, t)
    if stage.script.barge_in.has_vad and begun is not None and (stopped is None or begun > stopped):
        return None
    return max(last, begun or 0.0, stopped or 0.0, _latest(record.signs, t) or 0.0)


def _latest(times: list[float], t: float) -> float | None:
    """The last moment before t, for what comes at t may come after the agent has spoken up; None for none."""
    count = bisect_left(times, t)
    return times[count - 1] if count else None


def _forgotten(stage: Observed, asked: list[float]) -> Iterator[str]:
    """A call that was quiet for long at its end has got what it should."""
    settings, snapshot = stage.script.settings, stage.record.when_quiet
    if snapshot is None or snapshot.state is not State.LISTENING:
        return
    record, since = stage.record, silent_since(stage, stage.t)
    if since is None:
        return
    if record.speech_begins and max(record.speech_begins) >= max(record.speech_ends, default=0.0):
        return  # the VAD's last edges came in one moment: it may still hear the caller
    lasted = stage.t - since - OWED_S
    if settings.idle_hangup_s is not None and lasted > 2 * settings.idle_hangup_s:
        yield f"nobody was hung up, though there was silence since {since}"
    if (
        settings.idle_prompt_s is not None
        and lasted > 2 * settings.idle_prompt_s
        and max(asked, default=-1) < since
    ):
        yield f"nobody was asked, though there was silence since {since}"
