"""Edges of speech from probabilities; windows of 256 samples at 8 kHz (32 ms) unless said otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.call.vad_detection import Hysteresis, ProbabilityDetector

WINDOW = 256
USUAL = Hysteresis(activation=0.5, deactivation=0.35, min_speech_ms=250, min_silence_ms=400)


def detector(**changes):
    settings = {name: getattr(USUAL, name) for name in USUAL.__slots__} | changes
    return ProbabilityDetector(Hysteresis(**settings), rate=8000, window_samples=WINDOW)


def events_of(detector, probabilities, first=1):
    """(window number, event) for each event; windows count from 1."""
    found = []
    for number, probability in enumerate(probabilities, first):
        event = detector.feed(probability, number * WINDOW)
        if event is not None:
            found.append((number, event))
    return found


def test_speech_starts_where_it_began_once_it_has_lasted():
    ((number, event),) = events_of(detector(), [0.1] * 10 + [0.9] * 20)
    assert (event.kind, event.sample_position, event.confidence) == ("speech_start", 10 * WINDOW, 0.9)
    assert number == 18  # 8 windows are the first 250 ms


@pytest.mark.parametrize(("dip", "starts"), [(0.36, True), (0.34, False)])
def test_only_a_window_below_deactivation_interrupts_the_start(dip, starts):
    found = events_of(detector(), [0.9] * 4 + [dip] + [0.9] * 3)
    assert bool(found) is starts


def test_a_probability_between_the_thresholds_starts_nothing():
    assert events_of(detector(), [0.49] * 100) == []


def test_without_a_minimum_the_first_window_is_a_start():
    ((number, event),) = events_of(detector(min_speech_ms=0), [0.1, 0.5])
    assert (number, event.sample_position) == (2, WINDOW)


def test_dips_above_deactivation_do_not_end_speech_and_sustained_ones_below_do():
    speaking = [0.9] * 10
    assert [event.kind for _, event in events_of(detector(), [*speaking, 0.55, *[0.40] * 200])] == [
        "speech_start"
    ]
    found = events_of(detector(), speaking + [0.34] * 20)
    assert [event.kind for _, event in found] == ["speech_start", "speech_end"]


def test_silence_counts_from_the_first_window_below():
    (_, start), (number, end) = events_of(detector(), [0.9] * 10 + [0.1] * 20)
    assert number == 10 + 13  # 13 windows are the first 400 ms
    assert (end.kind, end.sample_position, end.confidence) == ("speech_end", 10 * WINDOW, 0.1)
    assert end.duration_ms == (end.sample_position - start.sample_position) / 8 == 320


def test_speech_within_the_silence_starts_its_count_again():
    (_, _), (number, end) = events_of(detector(), [0.9] * 10 + [0.1] * 12 + [0.6] + [0.1] * 20)
    assert (number, end.sample_position) == (23 + 13, 23 * WINDOW)


def test_a_window_between_the_thresholds_neither_starts_nor_cancels_silence():
    (_, _), (number, end) = events_of(detector(), [0.9] * 10 + [0.1] + [0.4] * 13 + [0.1])
    assert (number, end.sample_position) == (25, 10 * WINDOW)


def test_a_reset_ends_speech_without_an_event():
    one = detector()
    assert len(events_of(one, [0.9] * 10)) == 1
    one.reset()
    assert events_of(one, [0.1] * 50, first=11) == []
    assert len(events_of(one, [0.9] * 8, first=61)) == 1


def test_positions_decide_and_not_the_number_of_windows():
    one = detector()
    assert one.feed(0.9, 1000 * WINDOW) is None
    event = one.feed(0.9, 1010 * WINDOW)
    assert (event.kind, event.sample_position) == ("speech_start", 999 * WINDOW)


@given(st.lists(st.floats(0, 1), max_size=400))
def test_starts_and_ends_alternate_and_last_long_enough(probabilities):
    events = [event for _, event in events_of(detector(), probabilities)]
    assert [event.kind for event in events] == ["speech_start", "speech_end"] * (len(events) // 2) + [
        "speech_start"
    ] * (len(events) % 2)
    positions = [event.sample_position for event in events]
    assert positions == sorted(positions)
    for start, end in zip(events[::2], events[1::2], strict=False):
        assert end.duration_ms == (end.sample_position - start.sample_position) / 8
        assert end.confidence < 0.35 <= start.confidence
