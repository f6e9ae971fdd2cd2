"""What `Patter.call()` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from patter.providers.carrier import CallStatus

if TYPE_CHECKING:
    from patter.call.types import CallSummary, TranscriptEntry


@dataclass(frozen=True, slots=True)
class CallResult:
    """How an outgoing call went (CC-01)."""

    call_id: str
    outcome: str
    status: CallStatus
    duration_seconds: float
    transcript: tuple[TranscriptEntry, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


_OUTCOMES = {
    CallStatus.NO_ANSWER: "no_answer",
    CallStatus.BUSY: "busy",
    CallStatus.CANCELED: "no_answer",
}


def result_of(summary: CallSummary) -> CallResult:
    """The result of a call that is over."""
    outcome = "answered" if summary.connected else _OUTCOMES.get(summary.outcome, "failed")
    return CallResult(
        call_id=summary.call_id,
        outcome=outcome,
        status=summary.outcome,
        duration_seconds=summary.duration_s,
        transcript=summary.transcript,
        metrics=summary.metrics,
        reason=summary.reason,
    )
