"""What the simulation of whole calls found in the machines, each as the shortest call that showed it."""

from __future__ import annotations

from patter.call.barge_in import BargeInSettings
from patter.call.session_state import SessionSettings
from patter.providers.barge_in import BargeInEvent, BargeInStrategy
from patter.providers.stt import Final
from patter.testing.machine_driver import MachineDriver, Replies


class AfterSpeech(BargeInStrategy):
    """Confirms once the caller has spoken for 400 ms."""

    def evaluate(self, event: BargeInEvent) -> bool:
        return event.speech_ms >= 400


def test_words_that_came_before_they_interrupted_are_answered_once_they_have() -> None:
    call = MachineDriver(barge_in=BargeInSettings(mode="confirm"), strategies=[AfterSpeech()])
    call.begin()
    call.final(1.0, "tell me")
    call.speech(1.05, 1.8)
    call.final(1.3, "no wait")
    call.run(3.0)
    assert [start.text for _, start in call.log.started] == ["tell me", "no wait"]
    assert [round(t, 2) for t, _ in call.log.started] == [1.0, 1.46]
    assert [round(t, 2) for t, _ in call.log.cancelled][:1] == [1.46]


def test_words_before_an_interruption_without_words_are_answered_when_the_recogniser_gives_up() -> None:
    call = MachineDriver(SessionSettings(first_message="Hello from Acme."), replies=Replies(sentence_s=3.0))
    call.begin()
    call.apply(call.machine.final(Final("hi"), call.t))
    call.speech(1.0, 1.5)
    call.run(7.0)
    assert [(t, start.text) for t, start in call.log.started] == [(0.0, "Hello from Acme.")]
    call.run(12.0)
    assert [(round(t, 1), start.text) for t, start in call.log.started[1:]] == [(7.5, "hi")]


def test_speech_over_a_goodbye_is_no_interruption() -> None:
    call = MachineDriver(replies=Replies(["Goodbye then."]))
    call.begin()
    call.final(1.0, "bye")
    call.at(1.5, lambda: call.apply(call.machine.end_after_speech("goodbye", call.t)))
    call.speech(2.0, 2.4)
    call.run(20.0)
    assert call.log.named("interruption") == []
    assert call.log.clears == []
    assert [round(t, 1) for t, _ in call.log.ended] == [3.2]


def test_a_goodbye_goes_on_where_speech_had_paused_it() -> None:
    pausing = BargeInSettings(mode="pause")
    call = MachineDriver(barge_in=pausing, strategies=[AfterSpeech()], replies=Replies(["Goodbye then."]))
    call.begin()
    call.final(1.0, "bye")
    call.speech(2.0, 2.2)
    call.at(2.1, lambda: call.apply(call.machine.end_after_speech("goodbye", call.t)))
    call.run(30.0)
    (ended,) = [t for t, _ in call.log.ended]
    assert ended < 4.0
    assert call.log.sent_ms() > 2000


def test_words_before_an_interruption_by_endless_noise_are_answered_after_twenty_seconds() -> None:
    call = MachineDriver(SessionSettings(first_message="Hello from Acme."), replies=Replies(sentence_s=3.0))
    call.begin()
    call.apply(call.machine.final(Final("hi"), call.t))
    call.at(1.0, lambda: call.apply(call.machine.speech_started(call.t)))
    call.run(22.0)
    assert [(round(t, 1), start.text) for t, start in call.log.started[1:]] == [(21.0, "hi")]
