"""The watchdog of a call: stuck states are planted in the machines, each is found in time and repaired."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from patter.call.actions import Action, StartReply
from patter.call.playout import Chunk
from patter.call.session_state import SessionSettings, State
from patter.call.types import CallFailure
from patter.call.watchdog import LIMITS_S, CallWatchdog, Stuck
from patter.testing.machine_driver import MachineDriver, Replies


class Watched(MachineDriver):
    """A call of the machines that is looked at as the session does it; tests break what lies between.

    `lost_replies` are never made though their tasks may run; `lost_chunks` are handed out and sent by nobody.
    """

    def __init__(
        self, *, replies: Replies | None = None, first_message: str = "", turn_end: str = "vad"
    ) -> None:
        super().__init__(SessionSettings(first_message=first_message, turn_end=turn_end), replies=replies)
        self.watchdog = CallWatchdog(self.machine, "call_1")
        self.put(0.0, self._look)
        self.tasks: set[str] = set()
        self.tools = SimpleNamespace(busy=False)
        self.lost_replies = 0
        self.lost_chunks = False
        self.repaired: list[float] = []

    def _look(self, _: None) -> None:
        before = self.watchdog.repairs
        self.apply(self.watchdog.look(self.t, self.tasks, self.tools))
        if self.watchdog.repairs > before:
            self.repaired.append(self.t)
        self.put(self.watchdog.due, self._look)

    def apply(self, actions: Sequence[Action]) -> None:
        kept: list[Action] = []
        for action in actions:
            if isinstance(action, StartReply) and self.lost_replies > 0:
                self.lost_replies -= 1
                self.log.started.append((self.t, action))
            else:
                kept.append(action)
        super().apply(kept)

    def send(self, chunk: Chunk) -> None:
        if not self.lost_chunks:
            super().send(chunk)

    def asks(self, t: float, text: str) -> None:
        """Speech of 0.7 s with its final 0.1 s later."""
        self.speech(t - 0.8, t - 0.1)
        self.final(t, text)


def started(**options: object) -> Watched:
    call = Watched(**options)  # type: ignore[arg-type]
    call.begin()
    return call


def hold(call: Watched, text: str) -> None:
    """Plant the lost wake-up: a text that asks for an answer waits, and nobody remembers it."""
    call.machine.turns.hold(text, triggers=True)


# -- the caller's words wait and nothing is under way


def test_words_that_nobody_remembers_are_answered_after_three_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = started()
    call.at(5.0, lambda: hold(call, "is anybody there"))
    call.run(20.0)
    assert call.repaired == [pytest.approx(8.5, abs=0.6)]
    assert call.roles[0] == ("user", "is anybody there")
    assert call.roles[1][0] == "assistant"
    assert call.machine.state is State.LISTENING
    assert call.watchdog.repairs == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "call call_1 was stuck while listening and is freed: the caller's words wait and nothing is under way for 3 s"
    )


def test_words_wait_while_the_caller_speaks_or_the_recogniser_owes_a_text() -> None:
    speaking = started()
    speaking.at(5.0, lambda: hold(speaking, "well"))
    speaking.speech(5.1, 11.0)
    speaking.final(11.2, "then tell me")
    speaking.run(11.5)
    assert speaking.repaired == []
    assert [start.text for _, start in speaking.log.started] == ["well then tell me"]
    # the recogniser is silent: its own watch asks it, makes it anew and gives up; then the machine itself goes on
    silent = started()
    silent.at(5.0, lambda: hold(silent, "well"))
    silent.speech(5.1, 6.0)
    silent.run(30.0)
    assert silent.repaired == []
    assert [(round(t, 1), start.text) for t, start in silent.log.started] == [(12.0, "well")]
    # a noise that the VAD takes for endless speech does not keep the words for ever
    noise = started()
    noise.at(5.0, lambda: hold(noise, "well"))
    noise.at(5.1, lambda: noise.apply(noise.machine.speech_started(noise.t)))
    noise.run(60.0)
    assert noise.repaired == []
    assert [(round(t, 1), start.text) for t, start in noise.log.started] == [(25.1, "well")]
    # without a VAD the interims say that the caller goes on
    interims = started()
    interims.at(5.0, lambda: hold(interims, "well"))
    for second in range(6, 14):
        interims.interim(float(second), "then tell me")
    interims.run(14.0)
    assert interims.repaired == []


def test_speech_that_has_its_final_before_its_end_is_over_at_its_end() -> None:
    call = started()
    call.speech(1.0, 2.0)
    call.final(1.9, "hello")
    call.at(10.0, lambda: hold(call, "is anybody there"))
    call.run(20.0)
    assert call.repaired == [pytest.approx(13.5, abs=0.6)]


def test_a_backchannel_and_what_waits_for_a_commit_by_hand_ask_for_nothing() -> None:
    call = started()
    call.at(5.0, lambda: call.machine.turns.hold("okay", triggers=False))
    call.run(60.0)
    manual = started(turn_end="manual")
    manual.asks(5.0, "tell me something")
    manual.run(60.0)
    assert call.repaired == manual.repaired == []


# -- a reply of which nothing more comes


def test_a_reply_that_nobody_makes_is_given_up_as_failed() -> None:
    call = started()
    call.lost_replies = 1
    call.asks(2.0, "tell me something")
    call.asks(15.0, "hello")  # too late to restart the turn: it waits for the lost reply
    call.run(60.0)
    assert call.repaired == [pytest.approx(22.5, abs=0.6)]
    ((_, failure),) = call.log.named("failed")
    assert isinstance(failure, CallFailure)
    assert (failure.kind, failure.reference) == ("core", "reply 1")
    assert [reply for _, reply in call.log.cancelled] == [1]
    assert call.roles[:2] == [("user", "tell me something"), ("user", "hello")]
    assert call.roles[2][0] == "assistant"
    assert call.machine.state is State.LISTENING
    assert call.log.clears == []


def test_a_lost_greeting_leaves_the_agent_listening() -> None:
    call = Watched(first_message="Hello.")
    call.lost_replies = 1
    call.begin()
    call.run(25.0)
    assert call.repaired == [pytest.approx(20.5, abs=0.6)]
    assert call.machine.state is State.LISTENING
    assert call.machine.interruptions == 0


def test_a_reply_whose_maker_hangs_is_given_up_later_and_not_while_a_tool_works() -> None:
    hanging, working = started(), started()
    for call in (hanging, working):
        call.tasks.add("reply 1")
        call.lost_replies = 1
        call.asks(2.0, "tell me something")
    working.tools.busy = True
    for call in (hanging, working):
        call.run(150.0)
    assert hanging.repaired == [pytest.approx(62.5, abs=0.6)]
    assert [reply for _, reply in hanging.log.cancelled] == [1]
    assert working.repaired == []
    assert working.machine.state is State.THINKING


def test_a_maker_that_hangs_in_mid_speech_is_given_up_and_what_was_heard_stays() -> None:
    call = started()
    call.tasks.add("reply 1")
    call.lost_replies = 1
    call.asks(2.0, "tell me something")

    def half() -> None:
        playout = call.machine.playout
        playout.open_sentence(1, "This much came.")
        playout.add(1, b"\x55" * 16_000)
        playout.close_sentence(1)
        call.tick()

    call.at(2.5, half)
    call.run(100.0)
    # it counts from the end of what the caller heard
    assert call.repaired == [pytest.approx(2.5 + 2.0 + 60.5, abs=0.6)]
    assert call.roles == [("user", "tell me something"), ("assistant", "This much came.")]
    assert call.machine.state is State.LISTENING


# -- a reply that does not come to its end


@pytest.mark.parametrize(
    ("lost_from", "limit", "heard"),
    [
        (3.76, LIMITS_S[Stuck.UNFINISHED], "All of this is heard. Of this"),
        # much is left, and playout waits for the socket to take what it was given
        (2.80, LIMITS_S[Stuck.ABANDONED], "All of this is"),
    ],
)
def test_speech_whose_audio_was_lost_comes_to_an_end(lost_from: float, limit: float, heard: str) -> None:
    whole = ("All of this is heard.", "Of this not everything is to be heard by now.")
    call = started(replies=Replies(sentences=whole, sentence_s=1.0))
    call.asks(2.0, "tell me something")
    # the carrier swallows the rest; what is sent is 190 ms ahead of what is heard
    call.at(lost_from, lambda: setattr(call, "lost_chunks", True))
    call.at(30.0, lambda: setattr(call, "lost_chunks", False))
    call.asks(31.0, "and now")
    call.run(60.0)
    assert call.repaired == [pytest.approx(lost_from + 0.2 + limit + 0.6, abs=0.6)]
    assert [role for role, _ in call.roles] == ["user", "assistant", "user", "assistant"]
    assert call.roles[1][1].startswith(heard)
    assert call.roles[1][1] != " ".join(whole) == call.roles[3][1]
    assert call.machine.state is State.LISTENING
    # nothing of the lost rest may be played later
    assert call.log.clears == [pytest.approx(call.repaired[0])]


# -- calls in which all is well


@pytest.mark.parametrize("mode", ["cancel", "confirm", "pause"])
def test_a_call_in_which_all_is_well_is_left_alone(mode: str) -> None:
    call = Watched(
        first_message="Hello, this is a rather long greeting of the agent.",
        replies=Replies(llm_s=14.0, sentence_s=30.0, sentences=("One.", "Two.", "Three.")),
    )
    call.machine.barge_in.settings = type(call.machine.barge_in.settings)(mode=mode)  # type: ignore[arg-type]
    call.tasks.update(f"reply {number}" for number in range(10))
    call.begin()
    call.asks(3.0, "tell me something very long")
    call.asks(50.0, "stop now and tell me something else")
    call.speech(200.0, 200.4)  # a noise
    call.asks(240.0, "and one thing more")
    call.run(600.0)
    assert call.repaired == []
    assert call.machine.state is State.LISTENING
    assert len(call.log.named("turn_ended")) >= 3


def test_draining_has_a_deadline_of_its_own() -> None:
    call = started()
    call.lost_replies = 1
    call.asks(2.0, "goodbye")
    call.at(3.0, lambda: call.apply(call.machine.end_after_speech("the agent hung up", call.t)))
    call.run(60.0)
    assert call.repaired == []
    assert [t for t, _ in call.log.ended] == [pytest.approx(13.0, abs=0.02)]


def test_it_looks_once_a_second_and_when_a_limit_is_reached() -> None:
    call = started()
    assert call.watchdog.look(100.0, ()) == []
    assert call.watchdog.due == 101.0
    hold(call, "hello")
    for t in (101.0, 102.0, 103.0):
        assert call.watchdog.look(t, ()) == []
    assert call.watchdog.due == 101.0 + LIMITS_S[Stuck.UNANSWERED]
    assert any(isinstance(action, StartReply) for action in call.watchdog.look(104.0, ()))
