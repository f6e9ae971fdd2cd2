"""Which of the caller's words are answered together: the corners that simulation has found."""

from __future__ import annotations

from math import inf

import pytest

from patter.call.barge_in import BargeInSettings
from patter.call.session_state import SessionSettings, State
from patter.call.turns import merge
from patter.providers.carrier import CallStatus
from patter.testing.machine_driver import MachineDriver, Replies


def call(mode: str = "cancel", turn_end: str = "stt", **options: object) -> MachineDriver:
    driver = MachineDriver(
        SessionSettings(turn_end=turn_end),
        barge_in=BargeInSettings(mode=mode),  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )
    driver.begin()
    return driver


def user(driver: MachineDriver) -> list[str]:
    return [text for role, text in driver.roles if role == "user"]


@pytest.mark.parametrize(
    ("earlier", "later", "merged"),
    [
        ("I", "ill, it seems", "I ill, it seems"),
        ("I want", "I want a pizza", "I want a pizza"),
        ("Okay.", "okay then", "okay then"),
        ("", "so", "so"),
        ("so", "", "so"),
    ],
)
def test_a_final_replaces_the_one_before_only_if_it_begins_with_its_words(
    earlier: str, later: str, merged: str
) -> None:
    assert merge(earlier, later) == merged


def test_late_finals_restart_a_turn_no_more_often_than_others() -> None:
    driver = call(replies=Replies(llm_s=0.1))
    driver.final(1.0, "one")
    for number in range(2, 8):
        t = number / 2 + 0.5
        # spoken while the agent thinks about the final before, transcribed when it has begun to speak
        driver.speech(t - 0.48, t - 0.45)
        driver.final(t, f"more {number}")
    driver.run(20.0)
    times: dict[int, int] = {}
    for _, start in driver.log.started:
        assert start.user_turn is not None
        times[start.user_turn] = times.get(start.user_turn, 0) + 1
    assert max(times.values()) == 4
    assert sum(times.values()) == 7
    assert " ".join(user(driver)) == "one " + " ".join(f"more {number}" for number in range(2, 8))


def test_what_waited_precedes_the_late_final_that_restarts_the_turn() -> None:
    from patter.providers.barge_in import BargeInEvent, BargeInStrategy

    class Stop(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            return "stop" in event.transcript

    driver = call("confirm", strategies=[Stop()])
    driver.speech(0.2, 0.6)
    driver.final(0.7, "a table")
    driver.speech(0.72, 0.78)
    driver.final(1.0, "for two")
    driver.final(1.2, "stop please")
    driver.run(9.0)
    assert user(driver) == ["a table for two stop please"]


@pytest.mark.parametrize("turn_end", ["manual", "vad", "stt"])
def test_committing_nothing_changes_nothing(turn_end: str) -> None:
    driver = call(turn_end=turn_end, replies=Replies(llm_s=1.0))
    driver.final(0.5, "hello")
    driver.at(0.6, lambda: driver.apply(driver.machine.commit_turn(driver.t)))
    driver.at(0.8, lambda: driver.apply(driver.machine.commit_turn(driver.t)))
    driver.run(9.0)
    assert driver.machine.state is State.LISTENING
    assert driver.log.cancelled == []
    assert [role for role, _ in driver.roles] == ["user", "assistant"]


def test_a_commit_before_anything_was_heard_goes_on_with_the_turn() -> None:
    driver = call(turn_end="manual", replies=Replies(llm_s=1.0))
    for t, text in ((0.5, "a table"), (1.0, "for two")):
        driver.final(t, text)
        driver.at(t + 0.1, lambda: driver.apply(driver.machine.commit_turn(driver.t)))
    driver.run(9.0)
    assert user(driver) == ["a table for two"]
    assert sum(role == "assistant" for role, _ in driver.roles) == 1


def test_nothing_but_a_commit_answers_in_manual() -> None:
    driver = call(turn_end="manual")
    driver.final(0.5, "a table")
    driver.at(0.6, lambda: driver.apply(driver.machine.commit_turn(driver.t)))
    driver.speech(0.61, 0.65)
    driver.final(1.2, "for two")
    driver.run(9.0)
    assert len(driver.log.started) == 1


def test_an_announcement_is_not_given_up_for_what_the_caller_said_before_it() -> None:
    driver = call(replies=Replies(llm_s=0.1))
    driver.final(0.5, "hello")
    driver.at(1.0, lambda: driver.apply(driver.machine.announce("Please hold on.", driver.t)))
    driver.final(1.0, "and good morning")
    driver.run(12.0)
    assert [text for role, text in driver.roles if role == "assistant"][1] == "Please hold on."
    assert user(driver) == ["hello", "and good morning"]


def test_what_waited_is_answered_when_the_application_stops_the_agent() -> None:
    driver = call("confirm", replies=Replies(llm_s=0.1))
    driver.final(0.5, "hello")
    driver.speech(0.7, 0.75)
    driver.run(0.8)
    driver.machine.turns.hold("are you open", triggers=True)
    driver.at(1.0, lambda: driver.apply(driver.machine.interrupt(driver.t)))
    driver.run(8.0)
    assert user(driver) == ["hello", "are you open"]
    assert sum(role == "assistant" for role, _ in driver.roles) == 2


def test_the_caller_says_nothing_after_the_end() -> None:
    driver = call()
    driver.apply(driver.machine.end(CallStatus.COMPLETED, "hung up", driver.t))
    assert driver.machine.speech_started(0.1) == []
    assert driver.machine.interim("hel", 0.2) == []
    assert driver.machine.speech_ended(0.3) == []


def test_a_goodbye_wakes_the_pacer_only_when_something_is_due() -> None:
    driver = call(replies=Replies(llm_s=0.1, sentence_s=3.0))
    driver.final(0.5, "bye")
    driver.at(0.7, lambda: driver.apply(driver.machine.end_after_speech("goodbye", driver.t)))
    driver.run(1.5)
    deadline = driver.machine.deadline(driver.t)
    assert driver.t < deadline < inf
