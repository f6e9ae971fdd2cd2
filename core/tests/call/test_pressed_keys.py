"""Keys that the application presses, over the machines alone: they have the floor to themselves (CC-09)."""

from __future__ import annotations

import pytest

from patter.audio.dtmf import key_tones
from patter.call.barge_in import BargeInSettings
from patter.call.session_state import SessionSettings, State
from patter.providers.carrier import CallStatus
from patter.testing.keys import read_keys
from patter.testing.machine_driver import MULAW_8K, MachineDriver


def driver(mode: str = "cancel", **settings: object) -> MachineDriver:
    driven = MachineDriver(
        SessionSettings(**settings),  # type: ignore[arg-type]
        barge_in=BargeInSettings(mode=mode, confirm_s=0.5),  # type: ignore[arg-type]
    )
    driven.begin()
    return driven


def press(driven: MachineDriver, t: float, digits: str) -> None:
    tones = key_tones(digits, 300, MULAW_8K)
    driven.at(t, lambda: driven.apply(driven.machine.press_keys(tones, driven.t)))


def heard(driven: MachineDriver) -> str:
    """The keys that the carrier was sent, those of a cut tone excepted."""
    audio = b"".join(chunk.payload for _, chunk in driven.log.sent)
    return "".join(one.key for one in read_keys(audio, MULAW_8K) if one.end_ms - one.start_ms > 60)


def reply_ended(driven: MachineDriver) -> float:
    return driven.log.named("turn_ended")[0][0]


def first_key(driven: MachineDriver) -> float:
    spoken = b"\x55"
    return next(t for t, chunk in driven.log.sent if chunk.payload.strip(spoken))


def test_into_silence_they_are_played_at_once_and_are_no_turn() -> None:
    driven = driver()
    press(driven, 1.0, "12w#")
    driven.run(10.0)
    assert heard(driven) == "12#"
    assert driven.log.sent[0][0] == pytest.approx(1.0, abs=0.02)
    assert driven.machine.state is State.LISTENING
    assert (driven.roles, driven.log.started) == ([], [])
    assert [emit.event for _, emit in driven.log.events] == ["keys_pressed"]
    assert driven.log.events[0][0] == pytest.approx(1.0 + 3 * 0.4 + 0.5, abs=0.15)
    assert driven.machine.playout.waiting_marks == 0


def test_they_wait_for_the_end_of_the_reply_and_keep_their_order() -> None:
    driven = driver()
    driven.final(1.0, "press one for me")
    press(driven, 2.0, "1")
    press(driven, 2.5, "23")
    driven.run(20.0)
    assert heard(driven) == "123"
    assert first_key(driven) == pytest.approx(reply_ended(driven), abs=0.05)
    assert [role for role, _ in driven.roles] == ["user", "assistant"]


@pytest.mark.parametrize("mode", ["cancel", "confirm", "pause"])
def test_a_caller_who_speaks_does_not_stop_them_and_is_answered_afterwards(mode: str) -> None:
    driven = driver(mode)
    press(driven, 1.0, "123456")
    driven.speech(1.5, 2.2)
    driven.interim(1.8, "wait")
    driven.final(2.3, "wait a moment")
    driven.run(3.0)
    assert driven.log.started == []
    driven.run(20.0)
    assert heard(driven) == "123456"
    assert (driven.log.clears, driven.log.named("interruption")) == ([], [])
    assert [start.text for _, start in driven.log.started] == ["wait a moment"]
    assert driven.roles[0] == ("user", "wait a moment")
    assert not any(line.backchannel for line in driven.machine.conversation.transcript)


def test_an_interrupted_reply_gives_way_to_the_answer_and_then_to_the_keys() -> None:
    driven = driver()
    driven.final(1.0, "tell me something")
    press(driven, 2.0, "7")
    driven.speech(2.5, 3.0)
    driven.final(3.1, "something else")
    driven.run(20.0)
    assert [start.text for _, start in driven.log.started] == ["tell me something", "something else"]
    assert heard(driven) == "7"


def test_the_application_neither_cuts_them_nor_loses_its_words() -> None:
    driven = driver()
    press(driven, 1.0, "123")
    driven.at(1.2, lambda: driven.apply(driven.machine.interrupt(driven.t)))
    driven.at(1.3, lambda: driven.apply(driven.machine.announce("One moment.", driven.t)))
    driven.run(20.0)
    assert heard(driven) == "123"
    assert driven.log.clears == []
    assert [start.text for _, start in driven.log.started] == ["One moment."]
    assert ("assistant", "One moment.") in driven.roles


def test_a_turn_that_is_committed_meanwhile_is_answered_afterwards() -> None:
    driven = driver(turn_end="manual")
    press(driven, 1.0, "123")
    driven.final(1.2, "that was all")
    driven.at(1.3, lambda: driven.apply(driven.machine.commit_turn(driven.t)))
    driven.run(20.0)
    assert heard(driven) == "123"
    assert [(start.text, start.trigger) for _, start in driven.log.started] == [
        ("that was all", "manual_commit")
    ]


def test_what_is_not_committed_still_waits_afterwards() -> None:
    driven = driver(turn_end="manual")
    press(driven, 1.0, "1")
    driven.at(1.1, lambda: driven.apply(driven.machine.commit_turn(driven.t)))  # of nothing
    driven.final(1.2, "not yet")
    driven.run(10.0)
    assert driven.log.started == []


@pytest.mark.parametrize("replying", [False, True])
def test_a_call_that_is_to_end_ends_after_them(replying: bool) -> None:
    driven = driver()
    if replying:
        driven.final(0.5, "press it and goodbye")
    press(driven, 1.0, "12")
    driven.at(1.1, lambda: driven.apply(driven.machine.end_after_speech("done", driven.t)))
    driven.run(20.0)
    assert heard(driven) == "12"
    ((t, end),) = driven.log.ended
    assert (end.status, end.reason) == (CallStatus.COMPLETED, "done")
    assert t < 11.2


def test_a_call_that_ends_drops_them() -> None:
    driven = driver()
    driven.final(0.5, "hello")
    press(driven, 1.0, "12")
    driven.at(1.5, lambda: driven.apply(driven.machine.end(CallStatus.COMPLETED, "hung up", driven.t)))
    press(driven, 1.6, "3")
    driven.run(20.0)
    assert heard(driven) == ""
    assert len(driven.log.ended) == 1


def test_a_carrier_that_takes_nothing_for_a_while_still_gets_each_once() -> None:
    driven = driver()
    press(driven, 1.0, "123456")
    driven.at(1.4, lambda: setattr(driven, "socket_open", False))
    driven.at(2.1, lambda: setattr(driven, "socket_open", True))
    driven.run(20.0)
    assert heard(driven) == "123456"


def test_the_idle_caller_is_not_asked_while_keys_sound() -> None:
    driven = driver(idle_prompt="Are you there?", idle_prompt_s=2.0)
    press(driven, 1.0, "1WWW2")
    driven.run(5.5)
    assert driven.log.started == []
    driven.run(8.0)
    assert [start.kind for _, start in driven.log.started] == ["idle_prompt"]
