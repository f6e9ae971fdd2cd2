"""The silence of both sides: the pure count, and what the session machine makes of it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from patter.call.barge_in import BargeInSettings
from patter.call.session_state import SessionSettings, State, TurnEnd
from patter.call.silence import AWAY_S, Silence
from patter.call.types import INTERRUPTED
from patter.providers.carrier import CallStatus
from patter.testing.machine_driver import MachineDriver, Replies

PROMPT = "Are you still there?"


def idle_call(
    *, prompt_s: float | None = 10.0, hangup_s: float | None = 20.0, greeting: str = "", **options: object
) -> MachineDriver:
    session = SessionSettings(
        first_message=greeting, idle_prompt=PROMPT, idle_prompt_s=prompt_s, idle_hangup_s=hangup_s
    )
    call = MachineDriver(session, **options)  # type: ignore[arg-type]
    call.begin()
    return call


def prompts(call: MachineDriver) -> list[float]:
    """When the idle prompt was begun."""
    return [t for t, start in call.log.started if start.kind == "idle_prompt"]


@pytest.mark.behaviour("TN-22")
def test_a_silent_caller_is_asked_once_and_then_hung_up() -> None:
    call = idle_call(greeting="Hello.", replies=Replies(sentence_s=1.5))
    call.run(60.0)
    # 1.5 s of greeting, heard a little later for the echo of its marks
    ((_, heard),) = call.log.named("agent_speech_ended")[:1]
    over = call.log.events[[one.event for _, one in call.log.events].index("agent_speech_ended")][0]
    assert heard == 1
    assert over == pytest.approx(1.5, abs=0.15)
    assert prompts(call) == [pytest.approx(over + 10.0, abs=0.02)]
    ((at, end),) = call.log.ended
    assert at == pytest.approx(over + 20.0, abs=0.02)
    assert (end.status, end.reason, end.by_carrier) == (
        CallStatus.COMPLETED,
        "nobody said anything for 20 s",
        False,
    )
    assert call.roles == [("assistant", "Hello."), ("assistant", PROMPT)]


@pytest.mark.behaviour("TN-22")
def test_both_times_are_off_unless_they_are_set() -> None:
    assert (SessionSettings().idle_prompt_s, SessionSettings().idle_hangup_s) == (None, None)
    call = idle_call(prompt_s=None, hangup_s=None, greeting="Hello.")
    call.run(1000.0)
    assert (prompts(call), call.log.ended) == ([], [])
    asks = idle_call(hangup_s=None)
    asks.run(1000.0)
    assert len(prompts(asks)) == 1
    assert asks.log.ended == []
    hangs_up = idle_call(prompt_s=None)
    hangs_up.run(1000.0)
    assert prompts(hangs_up) == []
    assert [t for t, _ in hangs_up.log.ended] == [pytest.approx(20.0, abs=0.011)]


@pytest.mark.behaviour("TN-22")
def test_what_the_caller_does_starts_the_count_again() -> None:
    speaks = idle_call()
    speaks.speech(9.0, 9.5)
    speaks.run(19.4)
    assert prompts(speaks) == []
    speaks.run(29.0)
    # a noise that no final follows is looked after by the STT's watch, which is over by then
    assert prompts(speaks) == [pytest.approx(19.5, abs=0.011)]
    speaks.run(40.0)
    assert [t for t, _ in speaks.log.ended] == [pytest.approx(29.5, abs=0.011)]

    talks = idle_call()
    talks.speech(9.0, 30.0)
    talks.run(39.9)
    assert prompts(talks) == [], "a caller who speaks for long is not silent"

    presses = idle_call()
    presses.at(9.0, lambda: presses.apply(presses.machine.digit("5", presses.t)))
    presses.run(40.0)
    assert presses.log.named("dtmf") == [(9.0, "5")]
    assert prompts(presses) == [pytest.approx(19.0, abs=0.011)]
    assert [t for t, _ in presses.log.ended] == [pytest.approx(29.0, abs=0.011)]


def test_a_key_during_the_prompt_counts_too_and_the_caller_may_be_asked_again() -> None:
    call = idle_call(replies=Replies(sentence_s=2.0))
    call.at(11.0, lambda: call.apply(call.machine.digit("1", call.t)))
    call.run(60.0)
    assert prompts(call) == [pytest.approx(10.0, abs=0.011), pytest.approx(21.0, abs=0.011)]
    assert [t for t, _ in call.log.ended] == [pytest.approx(31.0, abs=0.011)]


@pytest.mark.behaviour("TN-22")
def test_a_reply_starts_the_count_again_and_is_no_silence_while_it_is_made() -> None:
    call = idle_call(replies=Replies(llm_s=30.0, sentence_s=2.0))
    call.speech(5.0, 5.5)
    call.final(5.6, "tell me")
    call.run(39.0)
    assert prompts(call) == [], "a model that thinks for 30 s is not silence"
    call.run(70.0)
    spoken = next(t for t, emit in call.log.events if emit.event == "agent_speech_ended")
    assert spoken > 39.0
    assert prompts(call)[0] == pytest.approx(spoken + 10.0, abs=0.02)
    assert call.log.ended[0][0] == pytest.approx(spoken + 20.0, abs=0.02)


def test_an_announcement_starts_the_count_again() -> None:
    call = idle_call(replies=Replies(sentence_s=1.0))
    call.at(9.0, lambda: call.apply(call.machine.announce("One moment.", call.t)))
    call.run(60.0)
    assert prompts(call)[0] == pytest.approx(20.0, abs=0.15)


@pytest.mark.behaviour("TN-22")
def test_a_tool_at_work_is_no_silence() -> None:
    call = idle_call(prompt_s=4.0, hangup_s=7.0)
    busy_until = 13.0
    call.machine.tools_busy = lambda: call.t < busy_until
    call.at(busy_until, lambda: call.machine.silence.count_again(call.t))
    call.run(60.0)
    assert prompts(call) == [pytest.approx(17.0, abs=0.011)]
    assert [t for t, _ in call.log.ended] == [pytest.approx(20.0, abs=0.011)]


def test_what_the_recogniser_still_owes_is_no_silence() -> None:
    call = idle_call(prompt_s=2.0, hangup_s=None)
    call.speech(1.0, 1.5)
    call.final(4.0, "hello")
    call.run(4.5)
    assert prompts(call) == []


def test_without_a_vad_words_break_the_silence() -> None:
    call = idle_call(barge_in=BargeInSettings(has_vad=False))
    call.interim(9.0, "well")
    call.interim(9.5, " ")
    call.run(18.9)
    assert prompts(call) == []
    call.run(25.0)
    assert prompts(call) == [pytest.approx(19.0, abs=0.011)]


def test_collected_words_break_the_silence_where_the_application_ends_turns() -> None:
    call = MachineDriver(SessionSettings(turn_end="manual", idle_prompt=PROMPT, idle_prompt_s=10.0))
    call.begin()
    call.final(9.0, "one two three")
    call.run(18.9)
    assert prompts(call) == []
    call.run(19.1)
    assert prompts(call) == [pytest.approx(19.0, abs=0.011)]


def test_the_prompt_is_an_agent_turn_that_can_be_interrupted() -> None:
    call = idle_call(replies=Replies(sentence_s=2.0))
    call.speech(11.0, 11.5)
    call.final(11.6, "yes I am here")
    call.run(16.5)
    assert call.machine.interruptions == 1
    assert call.log.clears == [pytest.approx(11.0)]
    heard = call.roles[0][1]
    assert heard, "a part of it was heard"
    assert PROMPT.startswith(heard)
    assert heard != PROMPT
    assert call.roles[1] == ("user", "yes I am here")
    assert [turn.interrupted for turn in reports(call)] == [True, False]


def test_no_hang_up_in_the_middle_of_the_prompt() -> None:
    call = idle_call(prompt_s=10.0, hangup_s=11.0, replies=Replies(sentence_s=3.0))
    call.run(60.0)
    ((at, _),) = call.log.ended
    assert at == pytest.approx(13.0, abs=0.15)
    assert call.roles == [("assistant", PROMPT)]


def test_an_empty_prompt_is_not_spoken() -> None:
    call = MachineDriver(SessionSettings(idle_prompt=" ", idle_prompt_s=1.0, idle_hangup_s=5.0))
    call.begin()
    call.run(60.0)
    assert call.log.started == []
    assert [t for t, _ in call.log.ended] == [pytest.approx(5.0, abs=0.011)]


def test_a_call_that_is_ending_is_not_idle() -> None:
    call = idle_call(prompt_s=1.0, hangup_s=2.0, greeting="Hello.", replies=Replies(sentence_s=8.0))
    call.at(1.0, lambda: call.apply(call.machine.end_after_speech("goodbye", call.t)))
    call.run(20.0)
    assert prompts(call) == []
    assert [end.reason for _, end in call.log.ended] == ["goodbye"]
    assert call.machine.state is State.ENDED


def reports(call: MachineDriver) -> list[TurnEnd]:
    return [report for _, report in call.log.named("turn_ended") if isinstance(report, TurnEnd)]


@pytest.mark.behaviour("TN-09")
def test_a_turn_of_which_nothing_was_heard_is_reported_and_is_in_no_history() -> None:
    # stopped while the model thinks, by the caller who goes on
    call = MachineDriver(SessionSettings(turn_end="stt"), replies=Replies(llm_s=1.0))
    call.begin()
    call.final(1.0, "I want")
    call.final(1.5, "a pizza")
    call.run(4.0)
    assert [(report.text, report.interrupted, report.heard_ms) for report in reports(call)] == [
        (INTERRUPTED, True, 0.0)
    ]
    assert INTERRUPTED == "[interrupted]"
    call.apply(call.machine.end(CallStatus.COMPLETED, "hung up", call.t))
    assert [report.text for report in reports(call)][:1] == [INTERRUPTED]
    assert reports(call)[1].text.startswith("This is")

    # and by the end of the call
    silent = MachineDriver(SessionSettings(turn_end="stt"), replies=Replies(llm_s=1.0))
    silent.begin()
    silent.final(1.0, "and now")
    silent.run(1.5)
    silent.apply(silent.machine.end(CallStatus.COMPLETED, "hung up", silent.t))
    for one in (call, silent):
        assert any(report.text == INTERRUPTED for report in reports(one))
        conversation = one.machine.conversation
        texts = [message.content for message in (*conversation.history, *conversation.messages())]
        texts += [line.text for line in conversation.transcript]
        assert not any("interrupted" in text for text in texts)
        assert not any("interrupted" in report.report().heard_text for report in reports(one))


class SilenceMachine(RuleBasedStateMachine):
    """What is heard changes in any order; a model that knows nothing but the last change says what is due."""

    @initialize(
        prompt_s=st.sampled_from([None, 3.0, 7.0]),
        hangup_s=st.sampled_from([None, 5.0, 12.0]),
        t=st.floats(0, 9),
    )
    def start(self, prompt_s: float | None, hangup_s: float | None, t: float) -> None:
        self.silence = Silence(prompt_s, hangup_s)
        self.prompt_s, self.hangup_s = prompt_s, hangup_s
        self.t = t
        self.heard = self.occupied = False
        self.quiet_from: float | None = t
        self.idle_from: float | None = t
        self.asked = False
        self.silence.observe(t, heard=False, occupied=False)

    @rule(heard=st.booleans(), occupied=st.booleans())
    def things_change(self, heard: bool, occupied: bool) -> None:
        self.silence.observe(self.t, heard=heard, occupied=occupied)
        if heard:
            self.quiet_from = None
        elif self.heard:
            self.quiet_from = self.t
        if occupied:
            self.idle_from = None
        elif self.occupied:
            self.idle_from, self.asked = self.t, False
        self.heard, self.occupied = heard, occupied

    @rule(audible=st.booleans())
    def sign_of_life(self, audible: bool) -> None:
        (self.silence.broken if audible else self.silence.count_again)(self.t)
        if audible and not self.heard:
            self.quiet_from = self.t
        if not self.occupied:
            self.idle_from, self.asked = self.t, False

    @rule(seconds=st.sampled_from([0.0, 0.01, 1.0, 3.0, 14.0]))
    def time_passes(self, seconds: float) -> None:
        self.t += seconds

    @rule()
    @precondition(lambda self: self.t >= self.silence.deadline)
    def it_is_due(self) -> None:
        idle = self.t - (self.idle_from if self.idle_from is not None else self.t)
        step = self.silence.step(self.t)
        if self.prompt_s is not None and not self.asked and idle >= self.prompt_s:
            assert step == "prompt"
            self.asked = True
            return
        assert step == "hangup"
        assert self.hangup_s is not None
        assert idle >= self.hangup_s - 1e-9

    @invariant()
    def nothing_is_due_before_its_time_nor_in_noise(self) -> None:
        if not hasattr(self, "silence"):
            return
        due = self.silence.deadline
        if self.occupied:
            assert due == inf
        waits = [wait for wait in (self.hangup_s, None if self.asked else self.prompt_s) if wait is not None]
        if self.idle_from is not None:
            assert due == (self.idle_from + min(waits) if waits else inf)
        if self.t < due:
            assert self.silence.step(self.t) is None

    @invariant()
    def away_is_fifteen_seconds_without_a_sound(self) -> None:
        if hasattr(self, "silence"):
            away = self.quiet_from is not None and self.t - self.quiet_from >= AWAY_S
            assert self.silence.caller_is_away(self.t) is away


TestSilence = SilenceMachine.TestCase
TestSilence.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
