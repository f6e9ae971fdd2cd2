from __future__ import annotations

import io
from dataclasses import replace

import pytest

from patter.metrics import Breakdown, Part
from patter_demo.measures import BargeIn, Percentiles
from patter_demo.report import Report
from patter_demo.transcript import WordErrors
from patter_demo.view import Screen, View, longest_wait, make_view, printable


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def play(view: View) -> None:
    """A line, its answer, and an interruption."""
    view.connected()
    view.caller_speaks("Good evening.", False)
    view.hears("good")
    view.understood("Good evening.")
    view.agent_words("Hello ")
    view.agent_words("there, my friend.")
    view.agent_began()
    view.latency(642.3)
    view.caller_speaks("Wait, stop.", True)
    view.interruption("confirmed", "wait stop")
    view.agent_ended("Hello there", True)
    view.hung_up("everything was said")


def test_without_a_terminal_there_are_plain_lines() -> None:
    out = io.StringIO()
    play(make_view(out, brief=False))

    assert out.getvalue().splitlines() == [
        "the call is connected",
        "caller  Good evening.",
        "        heard: Good evening.",
        "caller  Wait, stop.  (interrupting)",
        "   ✂    interruption confirmed by “wait stop”",
        "agent   Hello there —  [after 642 ms]",
        "the call is over: everything was said",
    ]


def test_an_answer_shows_what_the_caller_waited_for() -> None:
    out = io.StringIO()
    view = make_view(out, brief=False)
    parts = (
        Part("endpointing", 400.4, "ears"),
        Part("hooks", 0.6),
        Part("llm_first_token", 120.0, "model\x1b[2J"),
    )
    view.agent_ended("Hello.", False, Breakdown(parts, 521.0, heard=True))
    view.agent_ended("Bye.", False, Breakdown(parts, 521.0, heard=False))

    assert out.getvalue().splitlines() == [
        "agent   Hello.",
        "        waited 521 ms: endpointing 400 (ears) + llm first token 120 (model [2J)",
        "agent   Bye.",
    ]


def test_the_summary_names_the_longest_wait_and_what_makes_it_shorter() -> None:
    first = Breakdown(
        (Part("endpointing", 400.0, "ears", "min_silence_ms"), Part("hooks", 10.0)), 410.0, True
    )
    second = Breakdown(
        (Part("endpointing", 200.0, "ears", "min_silence_ms"), Part("hooks", 300.0)), 500.0, True
    )

    assert longest_wait([first, second]) == (
        "longest wait: endpointing of ears, 300 ms for each answer; see min_silence_ms"
    )


def test_a_terminal_shows_words_as_they_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    play(make_view(out, brief=False))

    text = out.getvalue()
    assert "        hears … good\r\x1b[2K        heard: Good evening.\n" in text
    assert "agent … Hello\r\x1b[2Kagent … Hello there, my friend." in text
    assert "\x1b[3" not in text


def test_a_terminal_has_colours_unless_it_is_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    play(make_view(out, brief=False))

    assert "\x1b[36mcaller  Good evening.\x1b[0m" in out.getvalue()


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    play(make_view(out, brief=False))

    assert "\x1b" not in out.getvalue()


def test_a_long_changing_line_shows_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = Terminal()
    Screen(out, live=True, colour=False).status("a" * 50 + " the end")

    assert out.getvalue() == "…" + "a" * 30 + " the end"


def test_brief_says_only_that_something_loads() -> None:
    out = io.StringIO()
    view = make_view(out, brief=True)
    with view.progress("loading"):
        pass
    play(view)

    assert out.getvalue() == "… loading\n"


def test_progress_is_gone_from_a_terminal_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patter_demo.view.PATIENCE_S", 0.01)
    out = Terminal()
    view = View(Screen(out, live=True, colour=False))
    with view.progress("loading"):
        deadline = 200
        while "loading: 2 s" not in out.getvalue() and deadline:
            deadline -= 1
            _pause()
    view.close()

    assert "… loading: 2 s" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[2K")


def _pause() -> None:
    import time

    time.sleep(0.01)


def test_nothing_that_a_terminal_obeys_gets_through() -> None:
    assert printable("a\x1b[2Jb\r\nc\x07\u202ed  e") == "a [2Jb c d e"


def test_the_summary_names_figures_problems_and_files() -> None:
    out = io.StringIO()
    report = Report(
        turns=(),
        caller_script=(),
        word_errors=WordErrors(0.05),
        barge_in=BargeIn(432.1, True),
        latency_ms=Percentiles(640.4, 910.0),
        lost_ms=0.0,
        late_ms=0.0,
        leaks=(),
        problems=("the line 'day' had no answer",),
        wav="x/call.wav",
        transcript="x/transcript.txt",
    )
    make_view(out, brief=False).summary(report)
    of_engine = io.StringIO()
    unread = WordErrors(None, "it knows no words")
    make_view(of_engine, brief=False).summary(replace(report, word_errors=unread, greeting_heard=True))

    assert (
        of_engine.getvalue()
        .splitlines()[1]
        .startswith(
            "no word error rate: it knows no words; the greeting was heard in full; answers after 640 ms"
        )
    )
    assert out.getvalue().splitlines() == [
        "",
        "word error rate 5.0%; answers after 640 ms (p95 910); the agent stopped 432 ms after the interruption",
        "problem: the line 'day' had no answer",
        "the conversation failed",
        "recording (left: caller, right: agent): x/call.wav",
        "transcript: x/transcript.txt",
    ]
