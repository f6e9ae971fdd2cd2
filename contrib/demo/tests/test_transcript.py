from __future__ import annotations

from dataclasses import replace

import pytest
from demo_sounds import agent_turn, tone

from patter.call.first_message_actions import GreetingReport
from patter.call.types import CallSummary, TranscriptEntry, TurnReport
from patter.metrics import TurnMetrics
from patter.providers.carrier import CallStatus
from patter_demo.evidence import AgentTurn, Evidence, SpokenLine
from patter_demo.script import Line, Script
from patter_demo.transcript import (
    WordErrors,
    greeting_heard,
    greeting_problems,
    order_problems,
    word_errors,
)


def evidence(*entries: tuple[str, float], engine: bool = True) -> Evidence:
    """A call that began at 1 s with two lines, said at 5 and 9 s: 4000 and 8000 ms into it."""
    script = Script((Line("hello", "Good evening."), Line("stop", "Wait, stop.", b"", True)))
    found = Evidence(script, engine=engine, started=1.0)
    found.spoken = [SpokenLine(0, 5.0, [(5.0, tone(1000))]), SpokenLine(1, 9.0, [(9.0, tone(1000))])]
    transcript = tuple(TranscriptEntry(role, role, at_ms) for role, at_ms in entries)  # type: ignore[arg-type]
    found.summary = CallSummary("call_1", True, CallStatus.COMPLETED, "", 12.0, transcript=transcript)
    return found


GOOD = (
    ("assistant", 100.0),
    ("user", 4050.0),
    ("assistant", 5600.0),
    ("user", 8010.0),
    ("assistant", 9900.0),
)


def test_a_transcript_in_order_is_well() -> None:
    assert order_problems(evidence(*GOOD), {0, 1}) == []


def test_a_line_that_the_engine_split_in_two_is_well() -> None:
    assert order_problems(evidence(*GOOD[:2], ("user", 4800.0), *GOOD[2:]), {0, 1}) == []


def test_an_answer_before_its_line_is_a_problem() -> None:
    found = evidence(*GOOD[:3], ("assistant", 8005.0), ("user", 8010.0))

    assert order_problems(found, {0, 1}) == ["the line 'stop' stands after its answer in the transcript"]


def test_times_that_go_back_are_a_problem() -> None:
    found = evidence(GOOD[0], GOOD[2], GOOD[1], *GOOD[3:])

    assert order_problems(found, {0, 1}) == [
        "the transcript is not in the order of what was said",
        "the line 'hello' stands after its answer in the transcript",
    ]


def test_a_line_that_was_answered_and_is_not_written_down_is_a_problem() -> None:
    found = evidence(*GOOD[:3], GOOD[4])

    assert order_problems(found, {0, 1}) == ["the line 'stop' is missing from the transcript"]
    assert order_problems(found, {0}) == []


def test_of_an_engine_without_transcripts_and_of_a_pipeline_only_the_times_count() -> None:
    assert order_problems(evidence(GOOD[0], GOOD[2], GOOD[4]), {0, 1}) == []
    assert order_problems(evidence(*GOOD[:3], GOOD[4], engine=False), {0, 1}) == []
    assert len(order_problems(evidence(*GOOD[::-1], engine=False), {0, 1})) == 1


def test_only_who_recognises_words_is_judged_by_them() -> None:
    found = evidence(*GOOD)
    assert word_errors(found) == WordErrors(None, "the engine transcribed nothing of the caller")
    found.understood = ["good evening", "wait"]
    assert word_errors(found).rate == 0.25
    assert word_errors(found).problems() == []
    found.understood = ["good evening"]
    assert word_errors(found).problems() == ["the word error rate is 0.50, more than 0.25"]
    found.simulated = True
    assert word_errors(found) == WordErrors(None, "the engine's simulator knows no words")
    assert word_errors(found).problems() == []
    assert word_errors(evidence(*GOOD, engine=False)).rate == 1.0


@pytest.mark.parametrize(
    ("report", "heard", "problems"),
    [
        (GreetingReport(1, 800.0), True, []),
        (GreetingReport(1, 700.0, partial=True), False, ["the greeting was not heard in full"]),
        (GreetingReport(3, reason="refused"), False, ["the greeting was not heard in full: refused"]),
        (None, False, ["the greeting was not heard in full"]),
    ],
)
def test_the_greeting_of_an_engine(report: GreetingReport | None, heard: bool, problems: list[str]) -> None:
    found = evidence(*GOOD)
    assert greeting_heard(found) is None
    assert greeting_problems(found) == []
    found.greets, found.greeting = True, report

    assert greeting_heard(found) is heard
    assert greeting_problems(found) == problems


def test_the_greeting_of_a_pipeline() -> None:
    found = evidence(*GOOD, engine=False)
    found.greets = True
    found.turns = [agent_turn(2, 6.6, 900.0)]
    assert greeting_heard(found) is False
    whole = TurnReport(1, "", "Hello.", False, 800.0, metrics=TurnMetrics(1, "greeting"))
    found.turns = [AgentTurn(1, 1.1, whole)]
    assert greeting_heard(found) is True
    found.turns = [AgentTurn(1, 1.1, replace(whole, interrupted=True))]
    assert greeting_heard(found) is False
