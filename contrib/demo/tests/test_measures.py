from __future__ import annotations

import pytest
from demo_sounds import agent_turn, silence, speech, tone

from patter.call.types import BargeInOutcome
from patter_demo.evidence import Evidence, SpokenLine
from patter_demo.measures import (
    Answer,
    Percentiles,
    answers,
    barge_in,
    heard_turns,
    late_ms,
    lost_ms,
    percentiles,
)
from patter_demo.script import Line, Script


def conversation(*interrupts: bool) -> Evidence:
    """Lines at 10 s, 20 s … of 1 s each, with 40 ms of silence around what is audible."""
    lines = tuple(Line(f"line-{index}", "words", b"", flag) for index, flag in enumerate(interrupts))
    evidence = Evidence(Script(lines))
    for index in range(len(lines)):
        began = 10.0 * (index + 1)
        audio = silence(40) + tone(920) + silence(40)
        evidence.spoken.append(SpokenLine(index, began, [(began, audio)]))
    return evidence


def test_latency_is_from_the_last_audible_sound_to_the_first() -> None:
    evidence = conversation(False)
    evidence.turns = [agent_turn(1, 11.5, 400.0)]
    evidence.heard = [(11.51, silence(30)), *speech(11.54, 0.4)]

    assert answers(evidence, heard_turns(evidence)) == [Answer(0, pytest.approx(580.0))]


def test_an_answer_belongs_to_the_line_before_it() -> None:
    evidence = conversation(False, False, False)
    evidence.turns = [agent_turn(1, 3.0, 400.0), agent_turn(2, 11.5, 400.0), agent_turn(3, 31.46, 400.0)]
    evidence.heard = [*speech(3.0, 0.4), *speech(11.5, 0.4), *speech(31.46, 0.4)]

    assert answers(evidence, heard_turns(evidence)) == [
        Answer(0, pytest.approx(540.0)),
        Answer(2, pytest.approx(500.0)),
    ]


def test_an_agent_that_begins_in_mid_line_answers_without_a_latency() -> None:
    evidence = conversation(False)
    evidence.turns = [agent_turn(1, 10.5, 2000.0)]
    evidence.heard = speech(10.5, 2.0)

    assert answers(evidence, heard_turns(evidence)) == [Answer(0, None)]


def test_a_turn_without_a_sound_is_no_answer() -> None:
    evidence = conversation(False)
    evidence.turns = [agent_turn(1, 11.5, 400.0)]
    evidence.heard = [(11.5, silence(400))]

    assert answers(evidence, heard_turns(evidence)) == []


def interrupted(outcome: str, until_s: float) -> Evidence:
    """The second line breaks into turn 2, which sounds from 18 s until `until_s`."""
    evidence = conversation(False, True)
    evidence.turns = [
        agent_turn(1, 11.5, 400.0),
        agent_turn(2, 18.0, 2400.0, interrupted=outcome == "confirmed"),
        agent_turn(3, 22.0, 400.0),
    ]
    evidence.heard = [*speech(11.5, 0.4), *speech(18.0, until_s - 18.0), *speech(22.0, 0.4)]
    evidence.interruptions = [BargeInOutcome(2, outcome, "wait please", 300.0)]  # type: ignore[arg-type]
    return evidence


def test_the_stop_is_measured_from_audible_onset_to_the_last_audible_sound() -> None:
    evidence = interrupted("confirmed", 20.44)

    found = barge_in(evidence, heard_turns(evidence))

    assert found.stop_ms == pytest.approx(400.0)
    assert found.confirmed


def test_an_agent_that_talks_on_is_not_stopped() -> None:
    evidence = interrupted("unconfirmed", 21.84)

    found = barge_in(evidence, heard_turns(evidence))

    assert found.stop_ms == pytest.approx(1800.0)
    assert not found.confirmed


def test_an_agent_that_was_silent_cannot_be_interrupted() -> None:
    evidence = interrupted("confirmed", 19.6)

    found = barge_in(evidence, heard_turns(evidence))

    assert found.stop_ms is None
    assert not found.confirmed


def test_a_confirmation_of_another_turn_does_not_count() -> None:
    evidence = interrupted("confirmed", 20.44)
    evidence.interruptions = [BargeInOutcome(1, "confirmed", "hm", 300.0)]

    assert not barge_in(evidence, heard_turns(evidence)).confirmed


def test_of_several_interruptions_the_slowest_counts() -> None:
    evidence = interrupted("confirmed", 20.44)
    evidence.script = Script(tuple(Line(str(index), "words", b"", True) for index in range(2)))
    evidence.turns[0] = agent_turn(1, 9.0, 2000.0, interrupted=True)
    evidence.heard = [*speech(9.0, 2.0), *evidence.heard[10:]]
    evidence.interruptions.append(BargeInOutcome(1, "confirmed", "wait please", 300.0))

    found = barge_in(evidence, heard_turns(evidence))

    assert found.stop_ms == pytest.approx(960.0)
    assert found.confirmed


def test_lost_audio_is_what_the_engine_holds_for_heard_and_did_not_arrive() -> None:
    evidence = conversation(False)
    evidence.turns = [agent_turn(1, 3.0, 440.0), agent_turn(2, 11.5, 900.0, interrupted=True)]
    evidence.heard = [*speech(3.0, 0.4), *speech(11.5, 0.4)]

    assert lost_ms(heard_turns(evidence)) == pytest.approx(40.0)


def test_nothing_is_lost_where_all_arrived_even_a_little_before_it_was_noted() -> None:
    evidence = conversation(False)
    evidence.turns = [agent_turn(1, 3.005, 400.0), agent_turn(2, 11.5, 400.0)]
    evidence.heard = [*speech(3.0, 0.4), *speech(11.5, 0.4)]

    assert lost_ms(heard_turns(evidence)) == 0.0


def test_late_is_an_empty_buffer_inside_a_turn_and_not_between_turns() -> None:
    evidence = conversation(False)
    evidence.turns = [agent_turn(1, 3.0, 800.0), agent_turn(2, 11.5, 400.0)]
    evidence.heard = [*speech(3.0, 0.4), *speech(3.43, 0.4), *speech(11.5, 0.4)]

    assert late_ms(heard_turns(evidence)) == pytest.approx(30.0)


def test_percentiles_are_interpolated() -> None:
    assert percentiles([]) == Percentiles(None, None)
    assert percentiles([700.0]) == Percentiles(700.0, 700.0)
    assert percentiles([100.0 * n for n in range(1, 12)]) == Percentiles(600.0, 1050.0)
