from __future__ import annotations

import pytest
from demo_sounds import silence, tone

from patter_demo.hearing import Ear, audible_spans


def test_audible_is_what_lies_between_the_silences() -> None:
    spans = audible_spans([(10.0, silence(40) + tone(60) + silence(100) + tone(20))])

    assert [(round(span.start, 3), round(span.end, 3)) for span in spans] == [(10.04, 10.1), (10.2, 10.22)]


def test_a_quiet_line_is_not_audible() -> None:
    assert audible_spans([(0.0, tone(200, amplitude=60))]) == []


def test_parts_that_touch_are_one_span_and_a_short_pause_joins_on_request() -> None:
    parts = [(1.0, tone(20)), (1.02, tone(20)), (1.1, tone(20))]

    assert [round(span.end, 3) for span in audible_spans(parts)] == [1.04, 1.12]
    assert [(span.start, round(span.end, 3)) for span in audible_spans(parts, join_s=0.1)] == [(1.0, 1.12)]


def test_the_end_of_a_part_that_is_no_whole_window_counts() -> None:
    (span,) = audible_spans([(0.0, tone(25))])

    assert span.end == pytest.approx(0.025)


def test_an_ear_hears_a_growing_recording_like_a_finished_one() -> None:
    whole = [(5.0, tone(40)), (5.04, silence(10) + tone(30)), (6.5, tone(50))]
    ear = Ear(0.8)

    ear.hear([])
    assert ear.utterance is None
    for end in range(0, 41, 7):
        ear.hear([(5.0, whole[0][1][: end * 8])])
    ear.hear([whole[0], (5.04, whole[1][1][:100])])
    ear.hear(whole[:2])
    first = ear.utterance
    assert first is not None
    assert (first.start, first.end) == (5.0, pytest.approx(5.08))
    ear.hear(whole)
    second = ear.utterance
    assert second is not None
    assert (second.start, second.end) == (6.5, pytest.approx(6.55))


def test_audio_that_was_cleared_is_never_heard() -> None:
    ear = Ear(0.8)
    ear.hear([(0.0, tone(40)[:160])])
    ear.hear([(0.0, tone(40)[:160]), (2.0, tone(20))])

    assert ear.utterance is not None
    assert ear.utterance.start == 2.0
