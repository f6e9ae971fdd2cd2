"""The record of a call and the registry of all calls."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.record import CallRecord, CallRegistry, CallStatus, MemoryCallRegistry
from patter.providers.carrier import StatusReport

TERMINAL = [status for status in CallStatus if status.is_terminal]
PROGRESS = [status for status in CallStatus if not status.is_terminal]


def dialled(
    call_id: str = "call_1", *, ring_s: float = 25.0, started_t: float = 100.0, sid: str = ""
) -> CallRecord:
    return CallRecord(
        call_id,
        "twilio",
        "outbound",
        caller="+15550001234",
        callee="+15550009876",
        started_at=1_800_000_000.0,
        started_t=started_t,
        ring_s=ring_s,
        carrier_call_id=sid,
    )


def inbound(call_id: str, sid: str = "") -> CallRecord:
    return dataclasses.replace(dialled(call_id, sid=sid), direction="inbound")


def registry_with(record: CallRecord) -> CallRegistry:
    registry = MemoryCallRegistry()
    registry.add(record)
    return registry


def test_the_statuses_are_the_nine_of_the_ledger() -> None:
    assert {status.value for status in CallStatus} == {
        "initiated",
        "ringing",
        "in-progress",
        "completed",
        "no-answer",
        "busy",
        "failed",
        "canceled",
        "webhook_error",
    }
    assert {status.value for status in PROGRESS} == {"initiated", "ringing", "in-progress"}


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        dialled().status = CallStatus.FAILED  # type: ignore[misc]


def test_progress_never_goes_back() -> None:
    answered = dialled().moved_to(CallStatus.IN_PROGRESS, 105.0)

    assert answered.moved_to(CallStatus.RINGING, 106.0) is answered
    assert answered.moved_to(CallStatus.IN_PROGRESS, 107.0).answered_t == 105.0


@pytest.mark.parametrize("terminal", TERMINAL)
@pytest.mark.parametrize("late", PROGRESS)
def test_a_late_report_does_not_reopen_a_call(terminal: CallStatus, late: CallStatus) -> None:
    over = dialled().moved_to(terminal, 110.0, reason="486")

    assert over.moved_to(late, 111.0, reason="late", duration_s=9.0) is over


def test_the_first_end_stays_and_learns_the_carriers_duration() -> None:
    over = (
        dialled().moved_to(CallStatus.IN_PROGRESS, 105.0).moved_to(CallStatus.COMPLETED, 165.5, reason="stop")
    )
    assert over.duration_s == 60.5

    reported = over.moved_to(CallStatus.FAILED, 170.0, reason="SIP 500", duration_s=61.0)
    assert (reported.status, reported.ended_t, reported.reason) == (CallStatus.COMPLETED, 165.5, "stop")
    assert reported.duration_s == 61.0
    assert reported.moved_to(CallStatus.COMPLETED, 171.0, duration_s=99.0).duration_s == 61.0


def test_duration_is_unknown_during_the_call_and_zero_when_nobody_answered() -> None:
    assert dialled().duration_s is None
    assert dialled().moved_to(CallStatus.BUSY, 120.0).duration_s == 0.0


reports = st.lists(
    st.tuples(st.sampled_from(list(CallStatus)), st.floats(0, 100), st.one_of(st.none(), st.floats(0, 3600))),
    max_size=12,
)


@pytest.mark.behaviour("CC-20")
@given(reports)
def test_any_order_and_number_of_reports_leaves_one_record(
    news: list[tuple[CallStatus, float, float | None]],
) -> None:
    registry = registry_with(dialled(sid="CA1"))
    first_end: CallStatus | None = None
    for status, t, duration_s in news:
        by_report = StatusReport("CA1", status, duration_s=duration_s)
        # a status callback and the end of the media stream take these two ways
        registry.report("twilio", by_report, t)
        registry.update("call_1", status, t, duration_s=duration_s)
        first_end = first_end or (status if status.is_terminal else None)

    record = registry.get("call_1")
    assert record is not None
    assert [*registry.active(), *registry.finished()] == [record]
    assert record.is_active is (first_end is None)
    assert first_end in (None, record.status)
    assert (record.caller, record.callee, record.started_at, record.started_t) == (
        "+15550001234",
        "+15550009876",
        1_800_000_000.0,
        100.0,
    )


@pytest.mark.behaviour("CC-20")
def test_the_501st_finished_call_evicts_the_oldest_and_active_ones_stay() -> None:
    registry = MemoryCallRegistry()
    registry.add(inbound("call_active", "CA_active"))
    for number in range(501):
        registry.add(inbound(f"call_{number}", f"CA{number}"))
        registry.update(f"call_{number}", CallStatus.COMPLETED, 1.0)

    assert len(registry.finished()) == 500
    assert registry.get("call_0") is None
    assert registry.find("twilio", "CA0") is None
    assert registry.finished()[0].call_id == "call_1"
    assert registry.finished()[-1].call_id == "call_500"
    assert [record.call_id for record in registry.active()] == ["call_active"]


@pytest.mark.behaviour("CC-20")
def test_reads_are_snapshots() -> None:
    registry = registry_with(inbound("call_1"))
    before, active = registry.get("call_1"), registry.active()

    registry.update("call_1", CallStatus.COMPLETED, 2.0)

    assert before is not None
    assert before.is_active
    assert active == (before,)
    assert registry.active() == ()


def test_a_call_announced_twice_is_one_call() -> None:
    registry = MemoryCallRegistry()
    first = registry.add(inbound("call_1", "CA1"))

    assert registry.add(inbound("call_2", "CA1")) is first
    assert registry.add(dataclasses.replace(inbound("call_1"), caller="+1")) is first
    assert registry.active() == (first,)


def test_the_same_id_at_two_carriers_is_two_calls() -> None:
    registry = registry_with(inbound("call_1", "X1"))
    registry.add(dataclasses.replace(inbound("call_2", "X1"), carrier="other"))

    registry.report("other", StatusReport("X1", CallStatus.COMPLETED), 5.0)

    assert [record.call_id for record in registry.active()] == ["call_1"]


def test_a_report_that_overtakes_the_answer_to_the_dial_is_not_lost() -> None:
    registry = registry_with(dialled())
    for status in (CallStatus.RINGING, CallStatus.RINGING, CallStatus.BUSY):
        assert registry.report("twilio", StatusReport("CA9", status, reason="SIP 486"), 101.0) is None

    bound = registry.bind("call_1", "CA9")

    assert bound is not None
    assert (bound.status, bound.ended_t, bound.reason) == (CallStatus.BUSY, 101.0, "SIP 486")
    assert registry.bind("call_1", "CA10") == bound


def test_reports_of_foreign_calls_do_not_pile_up() -> None:
    registry = MemoryCallRegistry()
    for number in range(10_000):
        registry.report("twilio", StatusReport(f"CA{number}", CallStatus.COMPLETED), 1.0)

    assert len(registry._early) <= 256
    assert registry.update("call_unknown", CallStatus.COMPLETED, 1.0) is None
    assert registry.bind("call_unknown", "CA1") is None


@pytest.mark.behaviour("DB-05")
@pytest.mark.parametrize("heard", [None, CallStatus.RINGING])
def test_a_dial_without_news_is_closed_as_failed_within_a_minute_of_its_ring_time(
    heard: CallStatus | None,
) -> None:
    registry = registry_with(dialled(ring_s=25.0, started_t=100.0))
    if heard is not None:
        registry.update("call_1", heard, 103.0)

    assert registry.sweep(100.0 + 25.0) == ()
    # sweeps come at least every 30 s, so this is the last that may find the call open
    (closed,) = registry.sweep(100.0 + 25.0 + 30.0)

    assert closed.status is CallStatus.FAILED
    assert closed.reason
    assert registry.active() == ()
    assert registry.finished() == (closed,)


def test_answered_and_inbound_calls_are_never_swept() -> None:
    registry = registry_with(dialled())
    registry.update("call_1", CallStatus.IN_PROGRESS, 101.0)
    registry.add(inbound("call_2"))

    assert registry.sweep(1e9) == ()
    assert len(registry.active()) == 2


@pytest.mark.behaviour("DB-05")
def test_ten_thousand_silent_dials_leave_no_growth() -> None:
    registry = MemoryCallRegistry()
    for number in range(10_000):
        registry.add(dialled(f"call_{number}", started_t=float(number), sid=f"CA{number}"))
        if number % 50 == 0:
            registry.sweep(float(number))
    registry.sweep(20_000.0)

    assert registry.active() == ()
    assert len(registry.finished()) == 500
    assert len(registry._by_carrier) == 500


# -- a call whose end is still being told


@pytest.mark.parametrize("news", ["report", "update", "early report", "sweep"])
def test_a_held_call_stays_active_whatever_ends_it_until_it_is_released(news: str) -> None:
    registry = MemoryCallRegistry()
    registry.hold("call_1")
    if news == "early report":
        registry.report("twilio", StatusReport("CA1", CallStatus.BUSY, reason="busy"), 101.0)
    opened = registry.add(dialled())
    assert opened.is_active
    bound = registry.bind("call_1", "CA1")
    if news == "report":
        bound = registry.report("twilio", StatusReport("CA1", CallStatus.BUSY, reason="busy"), 101.0)
    elif news == "update":
        bound = registry.update("call_1", CallStatus.FAILED, 101.0, reason="no route")
    elif news == "sweep":
        (bound,) = registry.sweep(1000.0)
        assert registry.sweep(1000.0) == ()
    assert bound is not None
    assert not bound.is_active  # whoever brought the news learns of it
    assert [record.call_id for record in registry.active()] == ["call_1"]
    assert registry.finished() == ()
    kept = registry.get("call_1")
    assert kept is not None
    assert kept.is_active

    # what comes later completes the end and does not change it
    registry.update("call_1", CallStatus.COMPLETED, 200.0, reason="later", duration_s=3.0)
    final = registry.release("call_1")
    assert final is not None
    assert (final.status, final.reason, final.ended_t) == (bound.status, bound.reason, bound.ended_t)
    assert final.duration_s == 3.0
    assert (registry.active(), registry.finished()) == ((), (final,))
    assert registry.find("twilio", "CA1") == final
    assert registry.release("call_1") == final


def test_releasing_a_call_that_goes_on_or_is_unknown_changes_nothing() -> None:
    registry = registry_with(dialled())
    registry.hold("call_1")
    registry.hold("call_1")
    record = registry.release("call_1")
    assert record is not None
    assert record.is_active
    assert registry.release("call_2") is None
    registry.update("call_1", CallStatus.FAILED, 101.0)
    assert registry.active() == ()
