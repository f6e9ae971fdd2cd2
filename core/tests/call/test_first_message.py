"""The machine of an engine's first message: every way through it, and what holds on all of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.call.first_message import FirstMessage, FirstMessageSettings, Step
from patter.call.first_message_actions import (
    Abandon,
    AddToHistory,
    CancelGreeting,
    FinishGreeting,
    GreetingReport,
    Guard,
    ProtectionReport,
    Reconnect,
    Release,
    Report,
    RequestGreeting,
    Restart,
    Restore,
    SpeakFallback,
)

TEXT = "Hello, Acme here."
ASK = RequestGreeting(TEXT)
DELIVERED = Report("greeting_delivered", GreetingReport(1, 1020.0))


def made(**settings):
    return FirstMessage(FirstMessageSettings(TEXT, **settings))


def failed(reason, attempts, played_ms=0.0):
    return Report("greeting_failed", GreetingReport(attempts, played_ms, reason=reason))


def spoken(greeting, response="r1", t=0.1):
    """The engine makes the greeting, whole."""
    actions = greeting.response_started(response, t)
    greeting.audio(response, t)
    return [*actions, *greeting.response_done(response, "completed", "", 0.0, t + 0.1)]


def test_guard_and_request_go_out_back_to_back_and_one_restore_leads_out():
    greeting = made()
    assert greeting.connected(0.0) == [Guard(), ASK]
    assert greeting.protects
    assert greeting.echo(True, {}, 0.05) == []
    assert spoken(greeting) == [FinishGreeting()]
    assert greeting.protects, "heard is what counts, not complete"
    assert greeting.turn_over(1.0, 1020.0, 1.5, interrupted=False) == [DELIVERED, Restore(), Release()]
    assert not greeting.protects
    assert greeting.deadline() is None
    assert greeting.turn_over(1.0, 1020.0, 1.6, interrupted=False) == []
    assert greeting.response_done("r1", "completed", "", 1.0, 2.0) == []


def test_with_wait_the_request_follows_the_acknowledgement_that_shows_both_flags_off():
    greeting = made(waits_for_ack=True)
    assert greeting.connected(0.0) == [Guard()]
    assert greeting.echo(False, {"create_response": True}, 0.1) == []
    assert greeting.echo(None, {}, 0.2) == []
    assert greeting.echo(True, {"create_response": False}, 0.3) == [ASK]
    assert greeting.time_passed(5.0) == []


def test_with_wait_a_late_acknowledgement_asks_no_second_time():
    greeting = made(waits_for_ack=True)
    greeting.connected(0.0)
    assert greeting.deadline() == 1.5
    assert greeting.time_passed(1.49) == []
    report = Report("protection_not_applied", ProtectionReport())
    assert greeting.time_passed(1.5) == [report, ASK]
    assert greeting.echo(True, {}, 1.6) == []
    assert greeting.time_passed(3.1) == []


def test_an_acknowledgement_with_other_values_neither_counts_nor_ends_the_wait():
    greeting = made()
    greeting.connected(0.0)
    old = {"create_response": True}
    assert greeting.echo(False, old, 0.1) == []
    assert spoken(greeting) == [FinishGreeting()]
    assert greeting.time_passed(1.5) == [Report("protection_not_applied", ProtectionReport(old))]
    assert greeting.turn_over(1.0, 1020.0, 1.7, interrupted=False)[0] == DELIVERED


def test_a_refused_guard_is_told_once_and_delays_nothing():
    greeting = made()
    greeting.connected(0.0)
    report = Report("protection_not_applied", ProtectionReport(code="bad", parameter="x.y"))
    assert greeting.guard_refused("bad", "x.y", 0.1) == [report]
    assert greeting.guard_refused("bad", "x.y", 0.2) == []
    assert greeting.time_passed(9.0) == []
    waiting = made(waits_for_ack=True)
    waiting.connected(0.0)
    assert waiting.guard_refused("bad", "x.y", 0.1) == [report, ASK]


def test_a_guard_that_is_acknowledged_after_the_greeting_is_not_reported():
    greeting = made()
    greeting.connected(0.0)
    spoken(greeting)
    greeting.turn_over(1.0, 1020.0, 0.9, interrupted=False)
    assert greeting.deadline() == 1.5
    greeting.echo(True, {}, 1.0)
    assert greeting.deadline() is None


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_greeting_that_breaks_off_is_tried_twice_again_and_then_given_up(status):
    greeting = made()
    greeting.connected(0.0)
    for number in (1, 2):
        response = f"r{number}"
        greeting.response_started(response, number)
        greeting.audio(response, number)
        assert greeting.response_done(response, status, "", 0.79, number) == [
            Restart(),
            Abandon(response),
            ASK,
        ]
        assert greeting.is_over(response)
    greeting.response_started("r3", 3.0)
    assert greeting.response_done("r3", status, "", 0.5, 3.0) == [FinishGreeting()]
    assert greeting.turn_over(0.5, 400.0, 3.5, interrupted=False) == [
        failed(status, 3, 400.0),
        Restore(),
        Release(),
    ]


def test_a_complete_greeting_without_a_byte_of_audio_has_failed():
    greeting = made(retries=0)
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    assert greeting.response_done("r1", "completed", "", 1.0, 0.2) == [FinishGreeting()]
    greeting = made(retries=0)
    greeting.connected(0.0)
    greeting.response_done("r1", "completed", "", 0.0, 0.2)
    assert greeting.turn_over(0.0, 0.0, 0.3, interrupted=False)[0] == failed("no audio", 1)


def test_what_was_heard_to_four_fifths_counts_as_delivered_and_is_not_said_again():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    greeting.audio("r1", 0.1)
    assert greeting.response_done("r1", "cancelled", "", 0.8, 1.0) == [FinishGreeting()]
    told = greeting.turn_over(0.9, 900.0, 1.1, interrupted=False)
    assert told == [
        Report("greeting_delivered", GreetingReport(1, 900.0, partial=True)),
        Restore(),
        Release(),
    ]


def test_a_retry_waits_for_the_end_of_the_response_and_several_words_for_it_count_once():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    assert greeting.cancelled("r1", "turn_detected", 0.2) == []
    assert greeting.cancelled("r1", "turn_detected", 0.2) == []
    again = greeting.response_done("r1", "cancelled", "", 0.0, 0.3)
    assert again == [Restart(), Abandon("r1"), ASK]
    assert greeting.response_done("r1", "cancelled", "", 0.0, 0.4) == []
    assert greeting.cancelled("r1", "turn_detected", 0.4) == []
    assert greeting.attempts == 2


def test_a_cancellation_without_an_end_is_waited_for_only_so_long():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    greeting.cancelled("r1", "turn_detected", 0.2)
    assert greeting.overdue(0.0, 2.1) == []
    assert greeting.overdue(0.0, 2.2) == [Restart(), Abandon("r1"), ASK]


@pytest.mark.parametrize(("native", "limit_s"), [(False, 5.0), (True, 3.0)])
def test_a_greeting_of_which_nothing_comes_has_failed(native, limit_s):
    greeting = made(native=native, requests=not native, retries=0)
    greeting.connected(0.0)
    assert greeting.overdue(0.0, limit_s - 0.01) == []
    assert greeting.overdue(0.0, limit_s) == [FinishGreeting()]
    assert greeting.turn_over(0.0, 0.0, limit_s, interrupted=False)[0] == failed("silence", 1)


def test_one_that_stops_in_the_middle_is_cancelled_before_it_is_asked_for_again():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    greeting.audio("r1", 1.0)
    assert greeting.deadline() == 1.5
    greeting.echo(True, {}, 1.1)
    assert greeting.deadline() == 6.0
    assert greeting.overdue(0.1, 6.0) == [CancelGreeting("r1"), Restart(), Abandon("r1"), ASK]


def test_an_engine_that_protects_its_greeting_itself_is_neither_guarded_nor_asked():
    greeting = made(native=True, requests=False)
    assert greeting.connected(0.0) == []
    assert greeting.protects
    assert spoken(greeting, None) == [FinishGreeting()]
    assert greeting.turn_over(1.0, 1020.0, 1.5, interrupted=False) == [DELIVERED, Release()]


def test_an_engine_that_can_be_asked_for_nothing_leaves_the_greeting_to_the_fallback():
    greeting = made(requests=False, guards=False, has_fallback=True)
    assert greeting.connected(0.0) == [Restart(), Abandon(None), SpeakFallback(TEXT)]
    assert greeting.turn_over(1.0, 1020.0, 1.5, interrupted=False) == [
        Report("greeting_fallback", GreetingReport(0, 1020.0)),
        AddToHistory(TEXT),
        Release(),
    ]


def test_a_fallback_voice_that_fails_too_is_reported():
    greeting = made(retries=0, has_fallback=True)
    greeting.connected(0.0)
    assert greeting.response_done("r1", "failed", "quota", 0.0, 0.5)[-1] == SpeakFallback(TEXT)
    told = greeting.turn_over(0.1, 100.0, 1.5, interrupted=False)
    assert told == [failed("the fallback voice failed", 1, 100.0), Restore(), Release()]


def test_a_lost_session_is_made_anew_once_and_the_greeting_starts_again_under_protection():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    greeting.audio("r1", 0.1)
    assert greeting.dropped(0.5, 0.5) == [Restart(), Reconnect()]
    assert greeting.dropped(0.5, 0.5) == []
    assert greeting.connected(0.7) == [Guard(), ASK]
    assert greeting.attempts == 2
    assert spoken(greeting, "r1", 0.8) == [], "the old session's response is over"
    assert spoken(greeting, "r2", 0.8) == [FinishGreeting()]
    told = greeting.turn_over(1.0, 1020.0, 2.0, interrupted=False)
    assert told == [Report("greeting_delivered", GreetingReport(2, 1020.0)), Restore(), Release()]


def test_a_session_lost_after_four_fifths_is_only_renewed():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    greeting.audio("r1", 0.1)
    assert greeting.dropped(0.8, 0.5) == [FinishGreeting(), Reconnect()]
    report = Report("greeting_delivered", GreetingReport(1, 900.0, partial=True))
    assert greeting.turn_over(0.85, 900.0, 0.6, interrupted=False) == [report]
    assert greeting.connected(0.7) == [Restore(), Release()], "owed until there is a session"
    assert greeting.connected(0.9) == []


def test_a_session_that_cannot_be_made_anew_leaves_it_to_the_fallback_or_reports():
    greeting = made()
    greeting.connected(0.0)
    greeting.dropped(0.1, 0.5)
    assert greeting.unreachable(1.0) == [FinishGreeting()]
    assert greeting.turn_over(0.0, 0.0, 1.0, interrupted=False) == [failed("no connection", 1)]
    assert greeting.connected(4.0) == [Restore(), Release()]
    never = made(has_fallback=True)
    assert never.unreachable(1.0) == [Restart(), Abandon(None), SpeakFallback(TEXT)]
    assert never.connected(1.5) == [Guard()]
    told = never.turn_over(1.0, 1020.0, 2.0, interrupted=False)
    assert told[1:] == [AddToHistory(TEXT), Restore(), Release()]


def test_sessions_that_are_lost_again_and_again_do_not_go_on_for_ever():
    greeting = made(waits_for_ack=True)
    t, connections = 0.0, 0
    while greeting.step is not Step.FAILED:
        connections += 1
        assert connections < 5
        greeting.connected(t)
        greeting.dropped(0.0, t)
    assert greeting.attempts == 3


def test_the_application_may_stop_it():
    greeting = made()
    greeting.connected(0.0)
    greeting.response_started("r1", 0.1)
    greeting.audio("r1", 0.1)
    assert greeting.turn_over(0.2, 200.0, 0.5, interrupted=True) == [
        failed("stopped", 1, 200.0),
        Restore(),
        Release(),
    ]
    greeting = made()
    greeting.connected(0.0)
    spoken(greeting)
    told = greeting.turn_over(0.9, 900.0, 0.5, interrupted=True)
    assert told[0] == Report("greeting_delivered", GreetingReport(1, 900.0, partial=True))


#: what may happen to a greeting, as (greeting, response, share, t) -> actions
HAPPENINGS = {
    "connected": lambda greeting, response, share, t: greeting.connected(t),
    "dropped": lambda greeting, response, share, t: greeting.dropped(share, t),
    "unreachable": lambda greeting, response, share, t: greeting.unreachable(t),
    "echo": lambda greeting, response, share, t: greeting.echo(True, {}, t),
    "old echo": lambda greeting, response, share, t: greeting.echo(False, {}, t),
    "refused": lambda greeting, response, share, t: greeting.guard_refused("code", "x", t),
    "started": lambda greeting, response, share, t: greeting.response_started(response, t),
    "audio": lambda greeting, response, share, t: greeting.audio(response, t) or [],
    "cancelled": lambda greeting, response, share, t: greeting.cancelled(response, "caller", t),
    "done": lambda greeting, response, share, t: greeting.response_done(response, "completed", "", share, t),
    "broken": lambda greeting, response, share, t: greeting.response_done(
        response, "cancelled", "", share, t
    ),
    "not asked": lambda greeting, response, share, t: greeting.request_refused("code", share, t),
    "over": lambda greeting, response, share, t: greeting.turn_over(share, 0.0, t, interrupted=False),
    "stopped": lambda greeting, response, share, t: greeting.turn_over(share, 0.0, t, interrupted=True),
    "time": lambda greeting, response, share, t: [*greeting.time_passed(t), *greeting.overdue(share, t)],
}
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(sorted(HAPPENINGS)),
        st.integers(1, 5),
        st.sampled_from([0.0, 0.5, 0.8, 1.0]),
        st.sampled_from([0.0, 0.1, 1.6, 6.0]),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(EVENTS, st.booleans(), st.booleans(), st.integers(0, 3))
def test_whatever_happens_it_is_asked_for_a_bounded_number_of_times_and_told_once(
    events, waits, fallback, retries
):
    greeting = made(waits_for_ack=waits, has_fallback=fallback, retries=retries)
    t, log, connected = 0.0, [], False
    for event, number, share, passed in events:
        t += passed
        if event in ("connected", "dropped", "unreachable") and connected is (event != "dropped"):
            continue  # only a session that is there is lost, and only one that is not there cannot be had
        connected = {"connected": True, "dropped": False}.get(event, connected)
        was_over = not greeting.protects
        actions = HAPPENINGS[event](greeting, f"r{number}", share, t)
        assert not was_over or not any(isinstance(one, RequestGreeting | Guard) for one in actions)
        assert connected or not any(isinstance(one, RequestGreeting | Guard | Restore) for one in actions)
        log += actions
    asked = log.count(ASK)
    assert asked <= 1 + retries
    assert greeting.attempts <= 1 + retries
    events_told = [one.event for one in log if isinstance(one, Report)]
    assert events_told.count("protection_not_applied") <= 1
    ends = [one for one in events_told if one != "protection_not_applied"]
    assert len(ends) == (0 if greeting.protects else 1)
    assert log.count(Restore()) <= 1
    assert log.count(Release()) <= (0 if greeting.protects else 1)
    assert greeting.protects or not connected or Release() in log
    if Restore() in log and Release() in log:
        assert log.index(Restore()) < log.index(Release())
    if Guard() in log and Release() in log:
        assert Restore() in log
    assert log.count(SpeakFallback(TEXT)) <= (1 if fallback else 0)
