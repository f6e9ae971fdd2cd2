"""What `Patter.call()` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from patter.metrics.cost import CallCost
from patter.providers.carrier import CallStatus

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.types import CallSummary, TranscriptEntry
    from patter.metrics import CallMetrics
    from patter.providers.carrier import MachineDetection


@dataclass(frozen=True, slots=True)
class CallResult:
    """How an outgoing call went (CC-01).

    Attributes:
        outcome: answered, voicemail (a machine got the message meant for it), no_answer, busy or failed.
        cost: a line for each provider, and their total; what vendors report later is in the call's record alone.
        latency: the figures of its turns; `metrics` has the same as plain data. None when it was not connected.
        machine_detection: who answered, where the carrier said so.
    """

    call_id: str
    outcome: str
    status: CallStatus
    duration_seconds: float
    transcript: tuple[TranscriptEntry, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    cost: CallCost = field(default_factory=CallCost)
    machine_detection: MachineDetection | None = None
    latency: CallMetrics | None = None


_OUTCOMES = {
    CallStatus.NO_ANSWER: "no_answer",
    CallStatus.BUSY: "busy",
    CallStatus.CANCELED: "no_answer",
}


def result_of(summary: CallSummary, call: Call) -> CallResult:
    """The result of a call that is over."""
    answered = "voicemail" if summary.voicemail else "answered"
    outcome = answered if summary.connected else _OUTCOMES.get(summary.outcome, "failed")
    return CallResult(
        call_id=summary.call_id,
        outcome=outcome,
        status=summary.outcome,
        duration_seconds=summary.duration_s,
        transcript=summary.transcript,
        metrics=summary.metrics,
        reason=summary.reason,
        cost=summary.cost,
        machine_detection=call.machine_detection,
        latency=summary.latency,
    )
