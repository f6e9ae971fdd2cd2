from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from demo_sounds import agent_turn, speech, tone

from patter.call.types import BargeInOutcome, CallSummary, TranscriptEntry
from patter.metrics import Breakdown, Part, TurnMetrics, call_metrics
from patter.providers.carrier import CallStatus
from patter_demo.evidence import Evidence, SpokenLine
from patter_demo.output import output_folder, write_all
from patter_demo.report import make_report
from patter_demo.script import Line, Script


def good() -> Evidence:
    """A greeting, a line with a long answer, and a line that interrupts it and is answered."""
    script = Script((Line("hello", "Good evening. I need a table."), Line("stop", "Wait, stop.", b"", True)))
    evidence = Evidence(script, started=1.0)
    evidence.spoken = [SpokenLine(0, 5.0, [(5.0, tone(1000))]), SpokenLine(1, 9.0, [(9.0, tone(1000))])]
    evidence.turns = [
        agent_turn(1, 2.0, 800.0),
        agent_turn(2, 6.6, 2900.0, interrupted=True),
        agent_turn(3, 10.7, 400.0),
    ]
    evidence.heard = [*speech(2.0, 0.8), *speech(6.6, 2.8), *speech(10.7, 0.4)]
    evidence.understood = ["good evening i need a table", "Wait. Stop!"]
    evidence.interruptions = [BargeInOutcome(2, "confirmed", "wait stop", 300.0)]
    evidence.summary = CallSummary(
        "call_1",
        True,
        CallStatus.COMPLETED,
        "",
        12.0,
        transcript=(
            TranscriptEntry("assistant", "Hello.", 1000.0),
            TranscriptEntry("user", "good evening i need a table", 4000.04),
            TranscriptEntry("assistant", "Gladly. We", 65_600.0, interrupted=True),
        ),
        latency=call_metrics(
            [
                TurnMetrics(1, "greeting", breakdown=Breakdown((), 20.0, heard=True)),
                TurnMetrics(2, breakdown=Breakdown((Part("stt", 600.0, "ears", "stt"),), 600.0, heard=True)),
                TurnMetrics(3, breakdown=Breakdown((), 90.0, heard=False)),
            ]
        ),
    )
    return evidence


def test_the_object_has_exactly_the_promised_keys() -> None:
    report = make_report(good(), "call.wav", "transcript.txt")

    assert report.problems == ()
    assert report.as_json() == {
        "turns": [
            {"role": "assistant", "text": "Hello.", "heard_ms": 1000.0, "interrupted": False},
            {"role": "user", "text": "good evening i need a table", "heard_ms": 4000.0, "interrupted": False},
            {"role": "assistant", "text": "Gladly. We", "heard_ms": 65600.0, "interrupted": True},
        ],
        "caller_script": ["Good evening. I need a table.", "Wait, stop."],
        "word_error_rate": 0.0,
        "word_error_rate_reason": None,
        "greeting_heard": None,
        "barge_in": {"stop_ms": 400.0, "confirmed": True},
        "latency_ms": {"p50": 650.0, "p95": 695.0},
        "latency_parts": [
            {
                "turn": 2,
                "total_ms": 600.0,
                "heard": True,
                "parts": [{"name": "stt", "ms": 600.0, "provider": "ears", "setting": "stt"}],
            }
        ],
        "audio": {"lost_ms": 0.0, "late_ms": 0.0},
        "leaks": [],
        "files": {"wav": "call.wav", "transcript": "transcript.txt"},
    }


def problems(evidence: Evidence) -> str:
    return "\n".join(make_report(evidence, "", "").problems)


def test_a_line_that_was_not_answered_is_named() -> None:
    evidence = good()
    del evidence.turns[2]
    evidence.heard = evidence.heard[:-10]

    assert problems(evidence) == "the line 'stop' had no answer"


def test_a_line_that_was_not_said_is_named_with_the_reason() -> None:
    evidence = good()
    del evidence.spoken[1]
    evidence.hung_up = "2 lines in a row had no answer"

    assert "the line 'stop' was never said (2 lines in a row had no answer)" in problems(evidence)


def test_an_interruption_that_nothing_confirmed_is_a_problem() -> None:
    evidence = good()
    evidence.interruptions = [BargeInOutcome(2, "unconfirmed", "", 1500.0)]

    assert problems(evidence) == "the interruption was not confirmed"


@pytest.mark.parametrize(("until_s", "slow"), [(10.2, False), (10.24, True)])
def test_an_agent_that_stops_after_1200_ms_is_a_problem(until_s: float, slow: bool) -> None:
    evidence = good()
    evidence.heard = [*speech(2.0, 0.8), *speech(6.6, until_s - 6.6), *speech(10.7, 0.4)]

    assert ("more than 1200" in problems(evidence)) is slow


def test_an_agent_that_had_finished_is_a_problem() -> None:
    evidence = good()
    evidence.heard = [*speech(2.0, 0.8), *speech(6.6, 2.0), *speech(10.7, 0.4)]

    assert "was not talking any more" in problems(evidence)


def test_a_script_without_an_interruption_needs_none() -> None:
    evidence = good()
    evidence.script = Script(tuple(replace(line, interrupts=False) for line in evidence.script.lines))
    evidence.interruptions = []
    report = make_report(evidence, "", "")

    assert report.problems == ()
    assert report.as_json()["barge_in"] == {"stop_ms": None, "confirmed": False}


@pytest.mark.parametrize(
    ("understood", "wrong"),
    [("good evening i need a cable wait top", False), ("good evening i need cables wait top", True)],
)
def test_more_than_a_quarter_of_the_words_wrong_is_a_problem(understood: str, wrong: bool) -> None:
    evidence = good()
    evidence.understood = understood.split(" wait ")
    evidence.understood[1] = f"wait {evidence.understood[1]}"

    assert ("word error rate" in problems(evidence)) is wrong


def test_lost_audio_leaks_failures_and_no_call_are_problems() -> None:
    evidence = good()
    evidence.turns[0] = agent_turn(1, 2.0, 820.0)
    evidence.leaks = ["task reader"]
    evidence.failures = ["llm x: broke"]

    assert problems(evidence).splitlines() == [
        "llm x: broke",
        "20.0 ms of the agent's audio were lost",
        "left over: task reader",
    ]
    evidence.summary = None
    assert problems(evidence).startswith("the call was never connected")


def test_a_call_that_never_was_has_a_report_too(tmp_path: Path) -> None:
    report = write_all(Evidence(Script((Line("hello", "Hello."),))), tmp_path)

    assert "the line 'hello' was never said (the call ended)" in report.problems
    assert report.as_json()["word_error_rate"] == 1.0
    assert report.as_json()["latency_ms"] == {"p50": None, "p95": None}


def test_three_files_are_written(tmp_path: Path) -> None:
    report = write_all(good(), tmp_path)

    assert report.wav == str(tmp_path / "call.wav")
    assert (tmp_path / "call.wav").stat().st_size > 44
    assert (tmp_path / "transcript.txt").read_text(encoding="utf-8").splitlines() == [
        "00:01  agent   Hello.",
        "00:04  caller  good evening i need a table",
        "01:05  agent   Gladly. We (interrupted)",
    ]
    assert json.loads((tmp_path / "call.json").read_text(encoding="utf-8")) == {
        **report.as_json(),
        "problems": [],
    }


def test_the_folder_is_the_chosen_one_or_named_after_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert output_folder("chosen/one").is_dir()
    folder = output_folder(None)
    assert folder.is_dir()
    assert folder.parent == Path("patter-demo")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        output_folder("file")
