"""Rows of the ledger about what was said, fact by fact."""

from __future__ import annotations

import itertools

import pytest

from patter.audio.formats import AudioFormat, Encoding
from patter.call.heard import heard_text
from patter.call.playout import SpokenSentence
from patter.call.session_state import SessionSettings, TurnEnd
from patter.providers.tts import WordTime
from patter.testing.machine_driver import MachineDriver
from patter.testing.simulation.draw import draw
from patter.testing.simulation.heard_checks import heard_problems, must_be_near_truth
from patter.testing.simulation.levels import quiet
from patter.testing.simulation.stage import Stage

MULAW = AudioFormat(Encoding.MULAW, 8000)


@pytest.mark.behaviour("TN-08")
def test_after_an_interruption_everything_holds_the_heard_prefix() -> None:
    call = MachineDriver(SessionSettings(turn_end="stt"))
    call.begin()
    call.final(1.0, "tell me something")
    call.speech(2.1, 2.5)
    call.run(4.0)
    # 1.0 s minus the echo lag of a 2 s sentence was heard
    heard = "This is the first sentence"
    assert call.roles[-1] == ("assistant", heard)
    (line,) = (line for line in call.machine.conversation.transcript if line.role == "assistant")
    assert (line.text, line.interrupted) == (heard, True)
    ((_, report),) = call.log.named("turn_ended")
    assert isinstance(report, TurnEnd)
    assert (report.text, report.interrupted) == (heard, True)
    assert call.machine.conversation.messages()[-1].content == heard


@pytest.mark.behaviour("TN-08")
def test_the_prefix_is_cut_at_a_word_by_word_times_or_in_proportion() -> None:
    text = "one two three four"
    times = tuple(WordTime(word, start) for word, start in zip(text.split(), (0, 700, 750, 900), strict=True))
    for samples in range(0, 8001, 40):
        timed = heard_text([SpokenSentence(text, 0, 8000, True, times)], samples, 8000)
        begun = [word.text for word in times if word.start_ms < samples / 8]
        assert timed == " ".join(begun)
        share = heard_text([SpokenSentence(text, 0, 8000, True)], samples, 8000)
        starts = [0, 4 / 19, 8 / 19, 14 / 19]
        assert share.split() == text.split()[: sum(start < samples / 8000 for start in starts)]


@pytest.mark.behaviour("TN-08")
@pytest.mark.simulation
def test_history_holds_no_unsent_word_and_is_right_to_one_word_with_prompt_echoes() -> None:
    interrupted = 0
    with quiet():
        for seed in itertools.count(40_000_000):
            stage = Stage(draw(seed))
            stage.play()
            assert list(heard_problems(stage)) == [], seed
            if must_be_near_truth(stage):
                interrupted += sum(
                    report.interrupted and bool(report.text) for _, report in stage.record.turns
                )
            if interrupted >= 300:
                return
