"""The session machine over its parts, in pure time: what the caller hears, what the history holds, and when."""

from __future__ import annotations

import itertools

import pytest

from patter.call.barge_in import BargeInSettings
from patter.call.session_state import SessionSettings, State
from patter.call.types import BargeInOutcome
from patter.providers.barge_in import BargeInEvent, BargeInStrategy, Verdict
from patter.testing.machine_driver import MachineDriver, Replies

ANSWER = ("This is the first sentence of the answer.", "And here is the second one of it.")


class Never(BargeInStrategy):
    def evaluate(self, event: BargeInEvent) -> bool:
        return False


class Confirm(BargeInStrategy):
    """Confirms a transcript that has the word; keeps what it was asked."""

    def __init__(self, word: str = "stop", reject: str = "never-said") -> None:
        self.word = word
        self.reject = reject
        self.asked: list[BargeInEvent] = []
        self.resets = 0

    def evaluate(self, event: BargeInEvent) -> bool | Verdict:
        self.asked.append(event)
        if self.reject in event.transcript:
            return Verdict.REJECT
        return self.word in event.transcript

    def reset(self) -> None:
        self.resets += 1


def driver(mode: str = "cancel", *strategies: BargeInStrategy, **options: object) -> MachineDriver:
    barge_in = BargeInSettings(mode=mode, **options.pop("settings", {}))  # type: ignore[arg-type]
    driven = MachineDriver(
        options.pop("session", None) or SessionSettings(),  # type: ignore[arg-type]
        barge_in=barge_in,
        strategies=strategies,
        **options,  # type: ignore[arg-type]
    )
    driven.begin()
    return driven


def asked(mode: str = "cancel", *strategies: BargeInStrategy, **options: object) -> MachineDriver:
    """A call in which the caller has asked something at 1.0 s; the reply is heard from 1.1 s on."""
    driven = driver(mode, *strategies, **options)
    driven.speech(0.2, 0.9)
    driven.final(1.0, "tell me something")
    return driven


def test_a_turn_is_heard_and_enters_the_history_whole() -> None:
    call = asked()
    call.run(6.0)
    assert call.roles == [("user", "tell me something"), ("assistant", " ".join(ANSWER))]
    assert call.log.sent_ms() == 4000
    assert call.log.sent[0][0] == pytest.approx(1.1, abs=0.011)
    assert call.machine.state is State.LISTENING
    assert call.log.clears == []


@pytest.mark.behaviour("TN-21")
def test_speech_end_asks_for_a_final_once_and_only_where_the_vad_decides() -> None:
    call = asked()
    call.run(2.0)
    assert call.log.finalizes == [pytest.approx(0.9)]
    covered = driver()
    covered.speech(0.2, 0.9)
    covered.final(0.8, "all said")
    covered.run(1.0)
    assert covered.log.finalizes == []
    by_stt = asked(session=SessionSettings(turn_end="stt"))
    by_stt.run(2.0)
    assert by_stt.log.finalizes == []
    manual = asked(session=SessionSettings(turn_end="manual"))
    manual.final(1.5, "and more")
    manual.run(2.0)
    assert manual.log.started == []
    manual.apply(manual.machine.commit_turn(manual.t))
    assert [start.text for _, start in manual.log.started] == ["tell me something and more"]


@pytest.mark.behaviour("BI-02")
@pytest.mark.parametrize(("gate_ms", "echo"), [(250, 0.25), (1000, 1.0)])
def test_the_gate_opens_after_the_first_sent_audio(gate_ms: int, echo: float) -> None:
    for offset, interrupted in ((gate_ms - 1, False), (gate_ms + 1, True)):
        call = asked(settings={"gate_s": echo})
        call.run(1.2)
        first_audio = call.log.sent[0][0]
        start = first_audio + offset / 1000
        # the short noise ends before the gate opens where it starts before it
        call.speech(start, start + 0.0005)
        call.run(2.5)
        assert bool(call.log.clears) is interrupted, offset


def test_nothing_is_interrupted_before_audio_was_sent() -> None:
    call = asked(replies=Replies(llm_s=2.0))
    call.speech(2.0, 2.4)
    call.run(3.05)
    assert call.log.clears == []
    call.run(8.0)
    assert call.roles[-1] == ("assistant", " ".join(ANSWER))
    # an earlier turn's open gate does not count: the second reply's socket takes nothing
    call = asked()
    call.run(6.0)
    call.socket_open = False
    call.speech(6.1, 6.5)
    call.final(6.6, "and now")
    call.speech(9.0, 9.3)
    call.run(9.5)
    assert call.machine.interruptions == 0
    assert call.log.clears == []


@pytest.mark.behaviour("BI-04")
def test_noise_while_the_model_thinks_changes_nothing() -> None:
    call = asked(replies=Replies(llm_s=2.0))
    call.speech(1.8, 2.1)
    call.run(9.0)
    assert call.log.clears == []
    assert call.log.cancelled == []
    assert call.machine.interruptions == 0
    assert call.log.sent_ms() == 4000


@pytest.mark.behaviour("BI-05")
def test_speech_that_completes_before_any_audio_goes_on_with_the_turn() -> None:
    call = driver(replies=Replies(llm_s=1.0))
    call.final(1.0, "I want")
    call.speech(1.2, 1.5)
    call.final(1.6, "a pizza")
    call.run(8.0)
    assert call.log.cancelled == [(pytest.approx(1.6), 1)]
    assert call.roles == [("user", "I want a pizza"), ("assistant", " ".join(ANSWER))]
    assert call.machine.interruptions == 0


@pytest.mark.behaviour("BI-07")
def test_mode_cancel_cancels_at_the_first_speech_past_the_gate() -> None:
    call = asked()
    call.speech(2.0, 2.8)
    call.run(3.5)
    assert call.log.clears == [pytest.approx(2.0)]
    assert call.log.cancelled == [(pytest.approx(2.0), 1)]
    assert all(t <= 2.0 for t, _ in call.log.sent)
    # without a VAD the first non-empty transcript is the speech start
    deaf = asked(settings={"has_vad": False})
    deaf.interim(2.0, "")
    deaf.interim(2.2, "hold")
    deaf.run(3.0)
    assert deaf.log.clears == [pytest.approx(2.2)]


def test_speech_between_audio_and_gate_is_ignored_and_its_final_is_a_backchannel() -> None:
    strategy = Confirm()
    call = asked("confirm", strategy)
    call.run(1.15)
    call.speech(1.15, 1.3)
    call.final(1.8, "stop")
    call.run(7.0)
    assert strategy.asked == []
    assert call.log.clears == []
    assert call.machine.backchannels == 1
    # speech that still goes on when the gate opens counts from that instant
    call = asked()
    call.speech(1.15, 3.0)
    call.run(3.5)
    assert call.log.clears == [pytest.approx(1.36, abs=0.011)]


@pytest.mark.behaviour("BI-09")
def test_while_pending_the_agent_goes_on_without_a_gap() -> None:
    call = asked("confirm", Confirm())
    call.speech(2.0, 3.0)
    call.run(6.0)
    times = [t for t, _ in call.log.sent]
    assert call.log.clears == []
    assert call.log.cancelled == []
    assert call.log.sent_ms() == 4000
    late = [b - a for a, b in itertools.pairwise(times)]
    assert max(late) <= 0.051


@pytest.mark.behaviour("BI-10")
def test_strategies_are_asked_in_order_until_one_decides() -> None:
    first, second, third = Confirm("nothing"), Confirm("wait"), Confirm("wait")
    call = asked("confirm", first, second, third)
    call.speech(2.0, 2.9)
    call.interim(2.5, "wait a moment")
    call.run(4.0)
    assert call.log.clears == [pytest.approx(2.5)]
    kinds = [event.kind for event in first.asked]
    assert kinds[0] == "speech_start"
    assert set(kinds[1:-1]) == {"speech_tick"}
    assert kinds[-1] == "interim"
    assert [event.kind for event in second.asked] == kinds
    assert [event.kind for event in third.asked] == kinds[:-1]
    assert all(event.agent_speaking for event in first.asked)


@pytest.mark.behaviour("BI-11")
def test_a_strategy_that_raises_counts_as_not_yet(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            raise RuntimeError("out of order")

    call = asked("confirm", Broken(), Confirm())
    call.speech(2.0, 2.6)
    call.interim(2.5, "please stop")
    call.run(3.0)
    assert call.log.clears == [pytest.approx(2.5)]
    assert "Broken" in caplog.text


def test_an_unconfirmed_interruption_is_dropped_once_the_caller_is_silent() -> None:
    strategy = Confirm()
    call = asked("confirm", strategy, replies=Replies(sentence_s=6.0))
    call.speech(2.0, 2.4)
    call.at(2.5, lambda: call.final(2.5, ""))
    call.run(12.0)
    (dropped,) = call.log.named("interruption")
    assert dropped[0] == pytest.approx(2.4 + 1.5, abs=0.02)
    assert call.machine.interruptions == 0
    assert strategy.resets >= 1
    # a stop sentence of 1.3 s whose only transcript comes 0.5 s after its end still confirms
    call = asked("confirm", Confirm(), replies=Replies(sentence_s=6.0))
    call.speech(2.0, 3.3)
    call.final(3.8, "oh please stop that")
    call.run(6.0)
    assert call.log.clears == [pytest.approx(3.8)]
    # whatever goes on, it ends after 6 s
    call = asked("confirm", Confirm(), replies=Replies(sentence_s=9.0))
    call.speech(2.0, 12.0)
    call.run(9.0)
    (dropped,) = call.log.named("interruption")
    assert dropped[0] == pytest.approx(8.0, abs=0.02)


@pytest.mark.behaviour("BI-16")
def test_the_overlap_starts_at_the_speech_and_not_at_the_confirmation() -> None:
    call = asked("confirm", Confirm())
    call.speech(2.0, 2.9)
    call.interim(2.7, "now stop")
    call.run(3.0)
    ((_, outcome),) = call.log.named("interruption")
    assert outcome.detection_delay_ms == pytest.approx(700)  # type: ignore[attr-defined]


@pytest.mark.behaviour("BI-20")
def test_a_backchannel_starts_no_turn_and_joins_the_next() -> None:
    call = asked("confirm", Confirm())
    call.speech(2.0, 2.2)
    call.final(2.6, "okay")
    call.speech(6.0, 6.5)
    call.final(6.7, "what else")
    call.run(12.0)
    assert call.log.clears == []
    assert call.machine.backchannels == 1
    assert call.roles[1] == ("assistant", " ".join(ANSWER))
    assert call.roles[2] == ("user", "okay what else")
    assert [line.text for line in call.machine.conversation.transcript if line.backchannel] == ["okay"]


@pytest.mark.behaviour("BI-21")
def test_an_unconfirmed_final_never_blocks_what_follows() -> None:
    call = asked("confirm", Confirm())
    call.speech(2.0, 2.2)
    call.final(2.5, "okay")
    call.speech(2.6, 3.0)
    call.final(3.0, "no wait please stop now")
    call.run(4.0)
    assert call.log.clears == [pytest.approx(3.0)]
    assert call.roles[-1] == ("user", "okay no wait please stop now")
    # a batch STT whose only transcript comes after the pending state was dropped
    call = asked(
        "confirm", Confirm(), replies=Replies(sentence_s=6.0), session=SessionSettings(turn_end="stt")
    )
    call.speech(2.0, 2.4)
    call.final(4.5, "stop")
    call.run(5.0)
    assert [outcome.outcome for _, outcome in call.log.named("interruption")] == ["unconfirmed", "confirmed"]  # type: ignore[attr-defined]
    assert call.log.clears == [pytest.approx(4.5)]


def test_an_application_request_has_the_same_effects_once() -> None:
    call = asked()
    call.at(2.0, lambda: call.apply(call.machine.interrupt(call.t)))
    call.at(2.1, lambda: call.apply(call.machine.interrupt(call.t)))
    call.run(4.0)
    assert call.log.clears == [pytest.approx(2.0)]
    assert call.log.cancelled == [(pytest.approx(2.0), 1)]
    assert call.machine.playout.waiting_marks == 0
    assert len(call.log.named("agent_speech_ended")) == 1
    assert all(t <= 2.0 for t, _ in call.log.sent)
    ((_, outcome),) = call.log.named("interruption")
    assert outcome == BargeInOutcome(1, "confirmed", "", 0.0, requested=True)
    assert call.machine.interruptions == 1


def test_an_application_request_ends_a_pending_interruption_from_its_start() -> None:
    call = asked("confirm", Never())
    call.speech(1.8, 2.6)
    call.at(1.9, lambda: call.apply(call.machine.interim("well", call.t)))
    call.at(2.0, lambda: call.apply(call.machine.interrupt(call.t)))
    call.run(4.0)
    ((_, outcome),) = call.log.named("interruption")
    assert outcome == BargeInOutcome(1, "confirmed", "well", pytest.approx(200.0), requested=True)
    assert call.log.clears == [pytest.approx(2.0)]


@pytest.mark.behaviour("BI-24")
def test_what_comes_late_for_a_cancelled_turn_reaches_nobody() -> None:
    call = asked()
    call.speech(2.0, 2.3)
    call.final(2.4, "something else")
    call.run(2.45)
    playout = call.machine.playout
    assert not playout.add(1, b"late audio")
    assert playout.open_sentence(1, "late text") is None
    assert call.machine.reply_made(1, call.t) == []
    call.run(8.0)
    assert call.roles[-1] == ("assistant", " ".join(ANSWER))
    assert call.log.sent_ms(2) == 4000


def test_heard_text_is_cut_at_the_interruption() -> None:
    call = asked()
    call.speech(2.1, 2.5)
    call.run(3.0)
    role, text = call.roles[-1]
    assert role == "assistant"
    assert " ".join(ANSWER).startswith(text)
    # 0.9 s of 2.0 s was heard: "sentence" starts at 18 of 42 characters, "of" at 27
    assert text == "This is the first sentence"
    (line,) = (line for line in call.machine.conversation.transcript if line.role == "assistant")
    assert line.interrupted


@pytest.mark.behaviour("TN-02")
def test_restarts_are_bounded_in_count_and_time() -> None:
    call = driver(replies=Replies(llm_s=5.0))
    for index, word in enumerate(("one", "two", "three", "four", "five")):
        call.final(1.0 + index, word)
        call.speech(1.5 + index, 1.6 + index)
    call.run(30.0)
    texts = [text for role, text in call.roles if role == "user"]
    assert texts == ["one two three four", "five"]
    assert [role for role, _ in call.roles] == ["user", "assistant", "user", "assistant"]
    slow = driver(replies=Replies(llm_s=9.5))
    slow.final(1.0, "one")
    slow.final(9.5, "two")
    slow.run(40.0)
    assert [text for role, text in slow.roles if role == "user"] == ["one", "two"]
    replaced = driver(replies=Replies(llm_s=2.0))
    replaced.final(1.0, "I want")
    replaced.final(2.0, "I want a pizza")
    replaced.interim(2.2, "I want a pizza and more")
    replaced.run(10.0)
    assert replaced.roles[0] == ("user", "I want a pizza")


@pytest.mark.behaviour("TN-03")
def test_every_accepted_final_is_in_exactly_one_user_entry() -> None:
    call = driver(replies=Replies(llm_s=3.0, sentence_s=0.5))
    texts = ["alpha", "bravo", "charlie", "delta", "echo"]
    for index, text in enumerate(texts):
        call.final(1.0 + index * 6, text)
    call.run(40.0)
    assert [text for role, text in call.roles if role == "user"] == texts
    assert sum(role == "assistant" for role, _ in call.roles) == 5
    held = asked("confirm", Confirm())
    held.speech(2.0, 2.2)
    held.final(2.5, "by the way")
    held.run(3.0)
    from patter.providers.carrier import CallStatus

    held.apply(held.machine.end(CallStatus.COMPLETED, "hung up", held.t))
    unanswered = [line.text for line in held.machine.conversation.transcript if line.unanswered]
    assert unanswered == ["by the way"]


@pytest.mark.behaviour("TN-05")
def test_a_repeated_final_counts_once_unless_the_caller_spoke_again() -> None:
    call = driver(replies=Replies(llm_s=0.1, sentence_s=0.2))
    call.final(1.0, "Yes.")
    call.final(2.5, "yes")
    call.run(4.0)
    assert [text for role, text in call.roles if role == "user"] == ["Yes."]
    call.final(5.0, "no")
    call.speech(6.2, 6.4)
    call.final(6.5, "no")
    call.run(9.0)
    assert [text for role, text in call.roles if role == "user"] == ["Yes.", "no", "no"]


@pytest.mark.behaviour("TN-06")
def test_only_captions_of_silence_are_dropped() -> None:
    call = driver(replies=Replies(llm_s=0.05, sentence_s=0.2))
    for index, text in enumerate(["Thanks for watching!", "[Music]", "(applause)"]):
        call.final(1.0 + index, text)
    call.run(5.0)
    assert call.roles == []
    kept = ["yes", "no", "okay", "yeah", "right", "thanks", "bye"]
    for index, text in enumerate(kept):
        call.final(6.0 + 2 * index, text)
    call.run(30.0)
    assert [text for role, text in call.roles if role == "user"] == kept


@pytest.mark.behaviour("TN-20")
def test_a_late_final_of_earlier_speech_interrupts_and_merges() -> None:
    call = driver(session=SessionSettings(turn_end="stt"))
    call.speech(0.2, 0.6)
    call.final(0.7, "a table for two")
    call.speech(0.72, 0.78)
    call.final(1.0, "please")
    call.run(1.05)
    assert call.log.clears == [pytest.approx(1.0)]
    call.run(8.0)
    assert ("user", "a table for two please") in call.roles
    assert sum(role == "user" for role, _ in call.roles) == 1
    judged = driver("confirm", Confirm(), session=SessionSettings(turn_end="stt"))
    judged.speech(0.2, 0.6)
    judged.final(0.7, "a table for two")
    judged.speech(0.72, 0.78)
    judged.final(1.0, "please")
    judged.run(14.0)
    assert judged.log.clears == []
    assert [text for role, text in judged.roles if role == "user"] == ["a table for two", "please"]


@pytest.mark.behaviour("CC-11")
def test_end_call_lets_the_goodbye_be_heard() -> None:
    call = asked()
    call.at(1.5, lambda: call.apply(call.machine.end_after_speech("goodbye", call.t)))
    call.speech(2.5, 3.0)
    call.final(3.1, "wait")
    call.run(7.0)
    ((t, ending),) = call.log.ended
    assert t == pytest.approx(5.1 + 0.1, abs=0.15)
    assert call.log.sent_ms() == 4000
    assert call.log.clears == []
    assert ending.reason == "goodbye"
    long = asked(replies=Replies(sentence_s=30.0))
    long.at(1.5, lambda: long.apply(long.machine.end_after_speech("goodbye", long.t)))
    long.run(20.0)
    assert long.log.ended[0][0] == pytest.approx(11.5, abs=0.02)


@pytest.mark.behaviour("LC-07")
def test_a_call_has_a_maximum_duration() -> None:
    call = driver(session=SessionSettings(max_duration_s=5.0))
    call.run(6.0)
    ((t, ending),) = call.log.ended
    assert t == pytest.approx(5.0, abs=0.011)
    assert "maximum duration" in ending.reason
    assert SessionSettings().max_duration_s == 3600


def test_a_greeting_is_spoken_at_once_and_an_early_caller_is_answered_after_it() -> None:
    call = driver("confirm", session=SessionSettings(first_message="Hello, this is Acme."))
    call.run(5.0)
    assert call.log.sent[0][0] <= 0.011
    assert call.roles == [("assistant", "Hello, this is Acme.")]


@pytest.mark.behaviour("BI-18")
def test_mode_pause_holds_the_turn_and_repeats_at_most_a_little() -> None:
    call = asked("pause", Confirm())
    call.speech(2.0, 2.3)
    call.run(2.5)
    # silent and cleared at once; the model's stream and the unheard audio are kept
    assert call.log.clears == [pytest.approx(2.0)]
    assert call.log.cancelled == []
    assert all(t <= 2.0 for t, _ in call.log.sent)
    call.run(9.0)
    resumed = [(t, chunk) for t, chunk in call.log.sent if t > 2.0]
    assert resumed[0][0] == pytest.approx(3.5, abs=0.02)
    # 4 s of speech: what was heard before the pause and what came after it overlap by at most 0.3 s and skip nothing
    first_again = resumed[0][1].end - len(resumed[0][1].payload)
    heard_before = int((2.0 - 1.1 - 0.1) * 8000)
    assert heard_before - 2400 - 320 <= first_again <= heard_before
    assert resumed[-1][1].end == 32000
    assert sum(len(chunk.payload) for _, chunk in resumed) == 32000 - first_again
    assert call.roles[-1] == ("assistant", " ".join(ANSWER))
    assert call.machine.interruptions == 0
    confirmed = asked("pause", Confirm())
    confirmed.speech(2.0, 3.0)
    confirmed.interim(2.6, "stop please")
    confirmed.run(4.0)
    assert confirmed.log.clears == [pytest.approx(2.0)]
    assert confirmed.log.cancelled == [(pytest.approx(2.6), 1)]
    role, text = confirmed.roles[-1]
    assert role == "assistant"
    assert text in ("This is the first", "This is the")
    assert all(t <= 2.0 for t, _ in confirmed.log.sent)


@pytest.mark.behaviour("BI-25")
def test_reject_drops_the_pending_state_only() -> None:
    for mode in ("confirm", "pause"):
        call = asked(mode, Confirm("stop", reject="uh-huh"))
        call.speech(2.0, 3.2)
        call.interim(2.3, "uh-huh")
        call.interim(3.0, "no, stop")
        call.run(4.0)
        outcomes = [
            (round(t, 2), outcome.outcome)  # type: ignore[attr-defined]
            for t, outcome in call.log.named("interruption")
        ]
        assert outcomes == [(2.3, "rejected"), (3.0, "confirmed")]
        assert call.machine.interruptions == 1
        if mode == "pause":
            assert any(2.3 <= t <= 2.35 for t, _ in call.log.sent), "speech goes on at once"


@pytest.mark.behaviour("BI-19")
def test_confirm_and_pause_without_strategies_take_the_first_final() -> None:
    for mode, stopped_at in (("confirm", 2.6), ("pause", 2.0)):
        call = asked(mode)
        call.speech(2.0, 2.3)
        call.final(2.6, "okay")
        call.run(3.0)
        assert call.log.clears == [pytest.approx(stopped_at)]
        assert call.machine.interruptions == 1
        noise = asked(mode)
        noise.speech(2.0, 2.3)
        noise.final(2.6, "")
        noise.run(9.0)
        assert noise.machine.interruptions == 0
        assert noise.roles[-1] == ("assistant", " ".join(ANSWER))
