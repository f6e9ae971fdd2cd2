"""What is known about each call: an immutable record, and the registry of active and finished ones (CC-20).

Pure: every change carries the time at which it happened, and nothing here reads a clock. Times named `_t` are
monotonic seconds, `started_at` is wall-clock seconds since 1970 for people to read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from patter.providers.carrier import CallStatus, StatusReport

if TYPE_CHECKING:
    from patter.metrics import CallMetrics
    from patter.metrics.cost import CallCost

__all__ = ["CallDirection", "CallRecord", "CallRegistry", "CallStatus", "MemoryCallRegistry"]

CallDirection = Literal["inbound", "outbound"]

#: How long after its ring time a dial without any news is closed, in seconds. DB-05 asks for 60 at the latest; the
#: other half is room for whoever sweeps.
SILENT_DIAL_GRACE_S = 30.0
#: Finished calls that are kept (CC-20).
FINISHED_KEPT = 500
#: Reports kept for calls whose carrier id is not known yet.
EARLY_REPORTS_KEPT = 256

_PROGRESS = {CallStatus.INITIATED: 0, CallStatus.RINGING: 1, CallStatus.IN_PROGRESS: 2}


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, as it is at one moment.

    `ring_s` is how long an outbound call may ring. `duration_s` is the carrier's own figure where it gave one, else
    the time from answer to end; None while the call lasts and 0.0 when nobody answered. `cost` is known from the end on;
    what the vendors report afterwards changes it (CO-08). `latency` has the figures of its turns once it is over; None
    where no media was up.
    """

    call_id: str
    carrier: str
    direction: CallDirection
    caller: str
    callee: str
    started_at: float
    started_t: float
    ring_s: float = 60.0
    status: CallStatus = CallStatus.INITIATED
    carrier_call_id: str = ""
    answered_t: float | None = None
    ended_t: float | None = None
    carrier_duration_s: float | None = None
    reason: str = ""
    cost: CallCost | None = None
    latency: CallMetrics | None = None

    @property
    def is_active(self) -> bool:
        """Whether the call is still going on."""
        return not self.status.is_terminal

    @property
    def duration_s(self) -> float | None:
        """Seconds of conversation; see the class."""
        if self.carrier_duration_s is not None:
            return self.carrier_duration_s
        if self.ended_t is None:
            return None
        return 0.0 if self.answered_t is None else max(0.0, self.ended_t - self.answered_t)

    @property
    def silent_dial_ends_t(self) -> float | None:
        """When this call is given up for lack of news; None once it is answered or over, and for inbound calls."""
        if self.direction == "inbound" or self.status not in (CallStatus.INITIATED, CallStatus.RINGING):
            return None
        return self.started_t + self.ring_s + SILENT_DIAL_GRACE_S

    def moved_to(
        self, status: CallStatus, t: float, *, reason: str = "", duration_s: float | None = None
    ) -> CallRecord:
        """This call after news of `status` at monotonic `t`; the same object where the news changes nothing.

        Reports come twice and in any order, so a status never goes back, and the first terminal one stays (CC-03).
        What comes after it may still add the carrier's duration and a missing reason.
        """
        if not self.is_active:
            return self._completed_by(status, reason, duration_s)
        if status.is_terminal:
            return replace(self, status=status, ended_t=t, reason=reason, carrier_duration_s=duration_s)
        if _PROGRESS[status] <= _PROGRESS[self.status]:
            return self
        answered_t = t if status is CallStatus.IN_PROGRESS else None
        return replace(self, status=status, answered_t=answered_t)

    def _completed_by(self, status: CallStatus, reason: str, duration_s: float | None) -> CallRecord:
        if not status.is_terminal:
            return self
        kept_reason = self.reason or reason
        kept_duration = duration_s if self.carrier_duration_s is None else self.carrier_duration_s
        if (kept_reason, kept_duration) == (self.reason, self.carrier_duration_s):
            return self
        return replace(self, reason=kept_reason, carrier_duration_s=kept_duration)


class CallRegistry(Protocol):
    """All calls of one `Patter`. Every read is a snapshot: records and tuples of records, both immutable."""

    def add(self, record: CallRecord) -> CallRecord:
        """Take a new call, or return the record that this call (by either id) has already."""

    def bind(self, call_id: str, carrier_call_id: str) -> CallRecord | None:
        """Learn the carrier's id of a call that was dialled, and apply the reports that came before it."""

    def update(
        self, call_id: str, status: CallStatus, t: float, *, reason: str = "", duration_s: float | None = None
    ) -> CallRecord | None:
        """Move a call by `CallRecord.moved_to`; None for a call that is not known."""

    def report(self, carrier: str, report: StatusReport, t: float) -> CallRecord | None:
        """Apply a carrier's report; None for a call that is not known (yet)."""

    def bill(self, call_id: str, cost: CallCost) -> CallRecord | None:
        """Note what a call cost, as far as it is known by now; None for a call that is not known."""

    def measure(self, call_id: str, latency: CallMetrics) -> CallRecord | None:
        """Note the figures of a call's turns; None for a call that is not known."""

    def hold(self, call_id: str) -> None:
        """Keep a call active until `release()`: news of its end is only noted, for hooks come first (LC-06)."""

    def release(self, call_id: str) -> CallRecord | None:
        """Let the noted end take effect; harmless for a call that is not held. None for one that is not known."""

    def get(self, call_id: str) -> CallRecord | None:
        """One call, active or finished."""

    def find(self, carrier: str, carrier_call_id: str) -> CallRecord | None:
        """One call, by the carrier's id of it."""

    def active(self) -> tuple[CallRecord, ...]:
        """The calls going on, oldest first."""

    def finished(self) -> tuple[CallRecord, ...]:
        """The latest finished calls, first finished first."""

    def sweep(self, now: float) -> tuple[CallRecord, ...]:
        """Close as failed the dials of which nothing was heard until `silent_dial_ends_t`; returns them (DB-05).

        To be called at least every 30 s.
        """


class MemoryCallRegistry:
    """A `CallRegistry` in this process: the active calls and the last `finished_kept` finished ones."""

    def __init__(self, finished_kept: int = FINISHED_KEPT) -> None:
        self._finished_kept = finished_kept
        self._active: dict[str, CallRecord] = {}
        self._finished: dict[str, CallRecord] = {}
        self._by_carrier: dict[tuple[str, str], str] = {}
        self._held: dict[str, CallRecord | None] = {}
        self._early: dict[tuple[str, str], list[tuple[StatusReport, float]]] = {}

    def add(self, record: CallRecord) -> CallRecord:
        """Take a new call, or return the record that this call (by either id) has already."""
        known = self.get(record.call_id) or self.find(record.carrier, record.carrier_call_id)
        if known is not None:
            return known
        self._store(record)
        if record.carrier_call_id:
            return self._apply_early(record)
        return record

    def bind(self, call_id: str, carrier_call_id: str) -> CallRecord | None:
        """Learn the carrier's id of a call that was dialled, and apply the reports that came before it.

        A call keeps the first id it was given.
        """
        record = self._latest(call_id)
        if record is None or record.carrier_call_id or not carrier_call_id:
            return record
        record = replace(record, carrier_call_id=carrier_call_id)
        self._store(record)
        return self._apply_early(record)

    def update(
        self, call_id: str, status: CallStatus, t: float, *, reason: str = "", duration_s: float | None = None
    ) -> CallRecord | None:
        """Move a call by `CallRecord.moved_to`; None for a call that is not known."""
        record = self._latest(call_id)
        if record is None:
            return None
        moved = record.moved_to(status, t, reason=reason, duration_s=duration_s)
        if moved is not record:
            self._store(moved)
        return moved

    def report(self, carrier: str, report: StatusReport, t: float) -> CallRecord | None:
        """Apply a carrier's report; one for a carrier id not known yet is kept for `bind`, within bounds."""
        call_id = self._by_carrier.get((carrier, report.carrier_call_id))
        if call_id is not None:
            return self.update(call_id, report.status, t, reason=report.reason, duration_s=report.duration_s)
        self._keep_early((carrier, report.carrier_call_id), report, t)
        return None

    def bill(self, call_id: str, cost: CallCost) -> CallRecord | None:
        """Note what a call cost, as far as it is known by now; None for a call that is not known."""
        return self._noted(call_id, cost=cost)

    def measure(self, call_id: str, latency: CallMetrics) -> CallRecord | None:
        """Note the figures of a call's turns; None for a call that is not known."""
        return self._noted(call_id, latency=latency)

    def _noted(self, call_id: str, **what: Any) -> CallRecord | None:
        record = self._latest(call_id)
        if record is None:
            return None
        noted = replace(record, **what)
        self._store(noted)
        return noted

    def hold(self, call_id: str) -> None:
        """Keep a call active until `release()`: news of its end is only noted."""
        self._held.setdefault(call_id, None)

    def release(self, call_id: str) -> CallRecord | None:
        """Let the noted end take effect."""
        ended = self._held.pop(call_id, None)
        if ended is not None:
            self._store(ended)
        return self.get(call_id)

    def get(self, call_id: str) -> CallRecord | None:
        """One call, active or finished."""
        return self._active.get(call_id) or self._finished.get(call_id)

    def find(self, carrier: str, carrier_call_id: str) -> CallRecord | None:
        """One call, by the carrier's id of it."""
        call_id = self._by_carrier.get((carrier, carrier_call_id))
        return None if call_id is None else self.get(call_id)

    def active(self) -> tuple[CallRecord, ...]:
        """The calls going on, oldest first."""
        return tuple(self._active.values())

    def finished(self) -> tuple[CallRecord, ...]:
        """The latest finished calls, first finished first."""
        return tuple(self._finished.values())

    def sweep(self, now: float) -> tuple[CallRecord, ...]:
        """Close as failed the dials of which nothing was heard until `silent_dial_ends_t`; returns them (DB-05)."""
        closed = tuple(
            record.moved_to(CallStatus.FAILED, now, reason="the carrier never reported on this call")
            for record in self._active.values()
            if self._held.get(record.call_id) is None
            and (ends_t := record.silent_dial_ends_t) is not None
            and ends_t <= now
        )
        for record in closed:
            self._store(record)
        return closed

    def _store(self, record: CallRecord) -> None:
        if record.carrier_call_id:
            self._by_carrier[record.carrier, record.carrier_call_id] = record.call_id
        if record.is_active:
            self._active[record.call_id] = record
            return
        if record.call_id in self._held:
            self._held[record.call_id] = record
            return
        self._active.pop(record.call_id, None)
        self._finished[record.call_id] = record
        if len(self._finished) > self._finished_kept:
            evicted = self._finished.pop(next(iter(self._finished)))
            self._by_carrier.pop((evicted.carrier, evicted.carrier_call_id), None)

    def _apply_early(self, record: CallRecord) -> CallRecord:
        for report, t in self._early.pop((record.carrier, record.carrier_call_id), ()):
            self.report(record.carrier, report, t)
        return self._latest(record.call_id) or record

    def _latest(self, call_id: str) -> CallRecord | None:
        """One call with the news of its end, where that was noted."""
        return self._held.get(call_id) or self.get(call_id)

    def _keep_early(self, key: tuple[str, str], report: StatusReport, t: float) -> None:
        reports = self._early.setdefault(key, [])
        if all(kept.status is not report.status for kept, _ in reports):
            reports.append((report, t))
        if len(self._early) > EARLY_REPORTS_KEPT:
            del self._early[next(iter(self._early))]
