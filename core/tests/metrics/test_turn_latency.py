"""The latency of a turn, from its moments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.metrics import (
    CallerTimes,
    EndOfUtteranceMetrics,
    InterruptionMetrics,
    Settings,
    SpeechAnchor,
    TurnTimes,
    call_metrics,
    turn_metrics,
)

#: a turn in which every moment comes, in s
WHOLE = {
    "llm_request": 5.3,
    "answering_request": 5.3,
    "first_token": 5.7,
    "llm_complete": 6.5,
    "first_sentence": 5.9,
    "tts_request": 5.95,
    "tts_first_byte": 6.1,
    "tts_last_byte": 7.0,
    "first_audio": 6.12,
    "first_audio_sent": 6.13,
    "ended": 9.0,
}
CALLER = CallerTimes(turn_start=0.0, end_of_speech=5.0, stt_complete=5.2, vad_stopped=5.0)


def measured(caller: CallerTimes | None = CALLER, *, committed: float = 5.25, interrupted=False, **changes):
    times = TurnTimes(committed, caller, **{**WHOLE, **changes})
    return turn_metrics(1, times, Settings(), interrupted=interrupted)


def anchored(*events: tuple[str, float], has_vad: bool = True) -> SpeechAnchor:
    anchor = SpeechAnchor(has_vad=has_vad)
    for event, t in events:
        getattr(anchor, event)(t)
    return anchor


@pytest.mark.behaviour("MX-01")
def test_recognition_is_what_comes_after_the_end_of_speech() -> None:
    anchor = anchored(("speech_started", 0.0), ("speech_ended", 5.0), ("final", 5.2))
    figures = measured(anchor.committed(5.2))
    assert (figures.stt_ms, figures.user_speech_duration_ms) == (200.0, 5000.0)
    # without the signal the base is the turn's start, and nobody knows how long the caller spoke
    figures = measured(CallerTimes(turn_start=4.0, stt_complete=5.2))
    assert (figures.stt_ms, figures.user_speech_duration_ms) == (1200.0, None)
    # the end of speech is the first of VAD stop and final
    anchor = anchored(("speech_started", 0.0), ("final", 4.8), ("speech_ended", 5.0))
    assert anchor.committed(5.0) == CallerTimes(0.0, 4.8, 4.8, 5.0)
    anchor = anchored(("speech_heard", 1.0), ("final", 4.8), has_vad=False)
    assert anchor.committed(4.8) == CallerTimes(1.0, 4.8, 4.8, None)
    figures = measured(None)
    assert (figures.stt_ms, figures.user_speech_duration_ms) == (None, None)


@pytest.mark.behaviour("MX-02")
def test_model_and_voice_are_measured_from_what_they_wait_for() -> None:
    figures = measured()
    assert figures.llm_ttft_ms == 500.0
    assert figures.llm_ms == figures.llm_total_ms == 1300.0
    assert figures.tts_ms == 200.0
    assert figures.tts_total_ms == 1300.0
    # without sentences the voice waits for the end of the answer
    figures = measured(first_sentence=None, tts_first_byte=6.8)
    assert (figures.tts_ms, figures.tts_total_ms) == (300.0, 1300.0)
    assert measured(first_token=None).tts_total_ms == 1100.0
    assert measured(first_token=None, first_sentence=None).tts_total_ms == 500.0
    nothing = measured(llm_complete=None, first_sentence=None, first_token=None)
    assert (nothing.tts_ms, nothing.tts_total_ms, nothing.llm_ms, nothing.llm_ttft_ms) == (None,) * 4
    # a moment that comes before what it is measured from took no time
    assert measured(tts_first_byte=5.8).tts_ms == 0.0


@pytest.mark.behaviour("MX-03")
def test_the_whole_of_a_turn() -> None:
    figures = measured(interrupted=True, bargein_detected=8.0, output_stopped=8.35)
    assert figures.total_ms == 6100.0
    assert figures.endpoint_ms == 250.0
    assert figures.bargein_ms == 350.0
    assert figures.agent_response_ms == 250.0 + 500.0 + 200.0
    assert measured(tts_first_byte=-0.5).total_ms == -500.0
    # no fallback value for what is missing
    assert measured(CallerTimes(0.0, None, 5.2)).agent_response_ms is None
    assert measured(first_token=None).agent_response_ms is None
    assert measured(tts_first_byte=None).agent_response_ms is None
    assert measured(tts_first_byte=WHOLE["first_sentence"]).agent_response_ms is None
    assert measured().bargein_ms is None


@pytest.mark.behaviour("MX-04")
@pytest.mark.parametrize(
    ("interruption", "belongs_to_it"),
    [(-0.05, True), (-0.1, True), (-0.11, False), (None, False), (0.08, True)],
)
def test_a_turn_that_begins_with_an_interruption(interruption: float | None, belongs_to_it: bool) -> None:
    figures = turn_metrics(2, TurnTimes(5.25, CALLER, **WHOLE), Settings(), last_interruption=interruption)
    assert (figures.stt_ms, figures.endpoint_ms) == ((0.0, None) if belongs_to_it else (200.0, 250.0))
    assert (figures.agent_response_ms is None) is belongs_to_it


@pytest.mark.behaviour("MX-06")
def test_the_end_of_an_utterance() -> None:
    figures = EndOfUtteranceMetrics.of(3, vad_stopped=1.0, stt_final=1.2, turn_commit=1.25, hooks_s=0.0301)
    assert (figures.end_of_utterance_delay, figures.transcription_delay) == (200.0, 250.0)
    assert figures.on_user_turn_completed_delay == 30.1
    early = EndOfUtteranceMetrics.of(3, vad_stopped=1.3, stt_final=1.2, turn_commit=1.25, hooks_s=-0.1)
    assert early == EndOfUtteranceMetrics(3, 0.0, 0.0, 0.0)


@pytest.mark.behaviour("MX-07")
def test_interruptions_and_turns_without_a_signal_are_counted() -> None:
    first = InterruptionMetrics.of(2.0, 2.45, interruptions=1, backchannels=2)
    assert first.total_duration == first.detection_delay == 450.0
    assert (first.interruptions, first.backchannels) == (1, 2)
    unsignalled = measured(CallerTimes(4.0, None, 5.2))
    call = call_metrics([unsignalled, measured(), measured(None)], overlaps=[first], backchannels=3)
    assert (call.interruptions, call.backchannels, call.overlaps) == (1, 3, (first,))
    assert call.endpoint_signal_missing_count == 1
    assert call.as_dict()["endpoint_signal_missing_count"] == 1


@pytest.mark.behaviour("MX-08")
def test_a_turn_begins_with_its_last_speech_before_the_commit() -> None:
    anchor = anchored(("speech_started", 1.0), ("speech_ended", 1.3), ("speech_started", 4.0))
    assert anchor.committed(4.5).turn_start == 4.0
    # what comes after the commit is of the next turn
    anchor = anchored(("speech_started", 1.0), ("speech_ended", 2.0), ("final", 2.2))
    times = anchor.committed(2.2)
    anchor.anchor_user_speech_start(3.0)
    assert times == CallerTimes(1.0, 2.0, 2.2, 2.0)
    assert anchor.committed(3.5).turn_start == 3.0
    # a caption of silence, or what was said twice, is no beginning
    anchor = anchored(("speech_started", 1.0), ("speech_ended", 1.5), ("dropped", 1.7), ("final", 6.0))
    assert anchor.committed(6.0) == CallerTimes(1.7, 6.0, 6.0, None)


def test_words_that_wait_keep_their_times_while_the_caller_goes_on() -> None:
    anchor = anchored(("speech_started", 1.0), ("speech_ended", 2.0), ("final", 2.2), ("speech_started", 4.0))
    assert anchor.committed(4.5) == CallerTimes(1.0, 2.0, 2.2, 2.0)
    anchor.speech_ended(5.0)
    anchor.final(5.1)
    assert anchor.committed(5.1) == CallerTimes(4.0, 5.0, 5.1, 5.0)


def test_speech_that_goes_on_over_a_commit_begins_the_next_turn_there() -> None:
    anchor = anchored(("speech_started", 1.0), ("final", 3.0))
    assert anchor.committed(3.0) == CallerTimes(1.0, 3.0, 3.0, None)
    anchor.speech_ended(4.0)
    anchor.final(4.2)
    assert anchor.committed(4.2) == CallerTimes(3.0, 4.0, 4.2, 4.0)


moments = st.one_of(st.none(), st.floats(-2.0, 20.0, allow_nan=False))


@given(
    committed=st.floats(0.0, 10.0),
    start=st.floats(0.0, 10.0),
    caller=st.tuples(moments, moments, moments),
    names=st.fixed_dictionaries({name: moments for name in WHOLE if name != "ended"}),
    ended=st.floats(0.0, 20.0),
    silence_s=st.floats(0.0, 2.0),
)
def test_the_parts_of_any_turn_add_up(committed, start, caller, names, ended, silence_s) -> None:
    times = TurnTimes(committed, CallerTimes(start, *caller), **names, ended=ended)
    result = turn_metrics(1, times, Settings(silence_s=silence_s)).breakdown
    assert abs(sum(part.ms for part in result.parts) - result.total_ms) < 1.0
    assert all(part.ms >= 0 for part in result.parts)
    assert result.heard is (names["first_audio_sent"] is not None)
