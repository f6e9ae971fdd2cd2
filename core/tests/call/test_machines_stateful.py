"""Hypothesis drives each pure machine by itself, rule by rule, against a small model of what it promises."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from patter.audio.formats import AudioFormat, Encoding
from patter.call.barge_in import PENDING_CAP_S, BargeIn, BargeInSettings, Interruption
from patter.call.playout import Chunk, Playout
from patter.call.turns import Dispatch, Turns
from patter.providers.barge_in import BargeInEvent, BargeInStrategy, Verdict

MULAW = AudioFormat(Encoding.MULAW, 8000)
BOUNDED = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)


class PlayoutMachine(RuleBasedStateMachine):
    """Audio in any pieces, a socket that takes it when it likes, marks that come back in any order or never."""

    def __init__(self) -> None:
        super().__init__()
        self.playout = Playout(MULAW)
        self.t = 0.0
        self.turn = 0
        self.made: list[int] = []
        self.handed_out: list[Chunk] = []
        self.sent_now: list[int] = []
        self.marks: list[str] = []
        self.heard = 0
        self.buffered_until = 0.0
        self.paused_at = 0

    @rule(greeting=st.booleans())
    @precondition(lambda self: self.playout.turn is None)
    def begin(self, greeting: bool) -> None:
        self.turn += 1
        self.playout.begin(self.turn, mark_each_chunk=greeting)
        self.made, self.sent_now, self.handed_out = [], [], []

    @rule(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    @precondition(lambda self: self.playout.turn is not None)
    def sentence(self, lengths: list[int]) -> None:
        if self.playout.open_sentence(self.turn, "some words of a sentence") is None:
            return
        for length in lengths:
            assert self.playout.add(self.turn, bytes([len(self.made) % 251]) * length)
            self.made += [len(self.made) % 251] * length
        self.playout.close_sentence(self.turn)

    @rule(audio=st.binary(max_size=50))
    def late_audio_of_an_old_turn(self, audio: bytes) -> None:
        assert self.turn == 0 or not self.playout.add(self.turn - 1, audio)
        assert self.playout.open_sentence(self.turn - 1, "late") is None

    @rule()
    def end(self) -> None:
        self.playout.end(self.turn)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.05, 0.2, 1.0, 6.0]), takes=st.booleans())
    def time_passes(self, seconds: float, takes: bool) -> None:
        self.t += seconds
        self.handed_out += self.playout.step(self.t)
        assert sum(len(chunk.payload) for chunk in self.handed_out) <= MULAW.bytes_for_ms(200)
        if takes:
            self.socket_takes_all()

    @rule()
    def socket_takes_all(self) -> None:
        for chunk in self.handed_out:
            assert chunk.turn == self.turn
            self.playout.sent(chunk, self.t)
            self.sent_now += chunk.payload
            self.marks += chunk.marks
            self.buffered_until = max(self.buffered_until, self.t) + len(chunk.payload) / 8000
        self.handed_out = []
        assert self.buffered_until - self.t <= 0.2 + 1e-6, "never more than 200 ms ahead"

    @rule(data=st.data())
    @precondition(lambda self: self.marks)
    def mark_comes_back(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(self.marks))
        known = self.playout.waiting_marks
        if self.playout.mark_reached(name, self.t):
            assert self.playout.waiting_marks == known - 1
        assert not self.playout.mark_reached(name, self.t), "only once"

    @rule()
    @precondition(lambda self: self.playout.turn is not None and not self.playout.paused)
    def pause_and_resume(self) -> None:
        self.socket_takes_all()
        before = list(self.sent_now)
        self.playout.pause(self.t)
        assert self.playout.step(self.t + 1.0) == []
        assert self.playout.waiting_marks == 0
        self.playout.resume()
        self.buffered_until = self.t
        first = self.playout.step(self.t)
        self.handed_out = first
        # what is said again begins at what was heard or before it: not one sample is skipped
        if first:
            start = first[0].end - len(first[0].payload) - (self.playout.sentences[0].start)
            assert start <= len(before)
            self.sent_now = before[:start]

    @rule()
    @precondition(lambda self: self.handed_out)
    def socket_is_declared_stalled(self) -> None:
        self.playout.take_back(self.handed_out)
        self.handed_out = []

    @rule()
    def clear(self) -> None:
        heard = self.playout.clear(self.t)
        assert heard >= self.heard
        assert self.playout.turn is None
        assert self.playout.step(self.t + 5.0) == []
        assert self.playout.due_at(self.t) == inf
        assert self.playout.waiting_marks == 0
        self.handed_out = []
        self.buffered_until = self.t

    @invariant()
    def heard_never_moves_back_and_never_passes_what_was_sent(self) -> None:
        heard = self.playout.heard(self.t)
        assert heard >= self.heard
        self.heard = heard

    @invariant()
    def what_was_sent_is_what_was_made(self) -> None:
        assert self.sent_now == self.made[: len(self.sent_now)]

    @invariant()
    def a_finished_turn_was_sent_whole(self) -> None:
        if self.playout.turn is not None and self.playout.finished(self.t):
            assert self.sent_now == self.made
            self.playout.finish()


class Words(BargeInStrategy):
    """Answers by the words, and counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[BargeInEvent] = []
        self.resets = 0

    def evaluate(self, event: BargeInEvent) -> bool | Verdict:
        self.asked.append(event)
        if "broken" in event.transcript:
            raise ValueError("broken")
        if "okay" in event.transcript:
            return Verdict.REJECT
        return "stop" in event.transcript

    def reset(self) -> None:
        self.resets += 1


class BargeInMachine(RuleBasedStateMachine):
    """Speech, words and time in any order, with and without the agent being heard."""

    @initialize(
        mode=st.sampled_from(["cancel", "confirm", "pause"]), has_vad=st.booleans(), strategy=st.booleans()
    )
    def start(self, mode: str, has_vad: bool, strategy: bool) -> None:
        self.strategy = Words()
        self.settings = BargeInSettings(mode=mode, has_vad=has_vad)  # type: ignore[arg-type]
        self.machine = BargeIn(self.settings, [self.strategy] if strategy else [])
        self.has_strategy = strategy
        self.t = 0.0
        self.sent_at: float | None = None
        self.pending_since: float | None = None

    def _take(self, decision: Interruption | None) -> None:
        if decision is not None:
            assert self.sent_at is not None, "nothing is interrupted before it was sent"
            assert decision.decided_at == self.t
            assert decision.overlap_start <= self.t
            assert not self.machine.pending
            if self.settings.mode == "cancel":
                assert decision.outcome == "confirmed"
            if decision.outcome == "confirmed":
                self.turn_is_over()
        if not self.machine.pending:
            self.pending_since = None
        elif self.pending_since is None:
            self.pending_since = self.t

    @rule()
    @precondition(lambda self: self.sent_at is None)
    def agent_sends_audio(self) -> None:
        self.sent_at = self.t
        self.machine.agent_sent_audio(self.t)

    @rule()
    def turn_is_over(self) -> None:
        asked = self.strategy.resets
        self.machine.agent_turn_over()
        assert self.sent_at is None or not self.has_strategy or self.strategy.resets > asked
        self.sent_at = None
        self.pending_since = None
        assert not self.machine.pending
        assert self.machine.deadline(self.t) == inf

    @rule()
    def speech_starts(self) -> None:
        self._take(self.machine.speech_started(self.t))

    @rule()
    def speech_ends(self) -> None:
        self._take(self.machine.speech_ended(self.t))

    @rule(text=st.sampled_from(["", "well", "please stop", "okay", "broken"]), final=st.booleans())
    def words(self, text: str, final: bool) -> None:
        self._take(self.machine.final(text, self.t) if final else self.machine.interim(text, self.t))

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.1, 0.3, 1.5]))
    def time_passes(self, seconds: float) -> None:
        until = self.t + seconds
        for _ in range(200):
            due = self.machine.deadline(self.t)
            if due > until:
                break
            self.t = max(self.t, due)
            self._take(self.machine.time_passed(self.t))
        else:
            pytest.fail("the machine is due over and over")
        self.t = until

    @invariant()
    def asked_only_past_the_gate(self) -> None:
        for event in self.strategy.asked:
            assert event.agent_speaking
            assert event.speech_ms >= 0
        self.strategy.asked.clear()

    @invariant()
    def pending_ends(self) -> None:
        if self.pending_since is not None:
            longest = self.settings.confirm_s if self.settings.mode == "pause" else PENDING_CAP_S
            assert self.t - self.pending_since <= longest + 1e-6


class TurnsMachine(RuleBasedStateMachine):
    """Finals before, over and after the agent; each text has a number, so that it can be found again."""

    @initialize(manual=st.booleans())
    def start(self, manual: bool) -> None:
        self.turns = Turns(manual=manual)
        self.t = 0.0
        self.count = 0
        self.given: list[str] = []
        self.answers: dict[int, str] = {}
        self.times: dict[int, list[float]] = {}
        self.agent = "silent"

    def _text(self) -> str:
        self.count += 1
        self.t += 0.5
        text = f"word{self.count}."
        assert self.turns.accepts(text, self.t)
        self.given.append(text)
        return text

    def _answer(self, dispatch: Dispatch | None) -> None:
        if dispatch is None:
            return
        assert dispatch.restart == (dispatch.turn in self.answers)
        self.answers[dispatch.turn] = dispatch.text
        self.times.setdefault(dispatch.turn, []).append(self.t)
        self.agent = "thinking"

    @rule()
    @precondition(lambda self: self.agent != "speaking")
    def final(self) -> None:
        unheard = self.agent == "thinking"
        self._answer(self.turns.take(self._text(), self.t, "stt_endpoint", agent_unheard=unheard))

    @rule(triggers=st.booleans())
    @precondition(lambda self: self.agent == "speaking")
    def final_over_the_agent(self, triggers: bool) -> None:
        self.turns.hold(self._text(), triggers=triggers)

    @rule(goes_on=st.booleans())
    @precondition(lambda self: self.agent == "speaking")
    def final_interrupts(self, goes_on: bool) -> None:
        self.agent = "silent"
        self._answer(self.turns.take_over_agent(self._text(), self.t, "stt_endpoint", goes_on=goes_on))

    @rule()
    @precondition(lambda self: self.agent == "thinking")
    def agent_is_heard(self) -> None:
        self.agent = "speaking"

    @rule(seconds=st.sampled_from([0.1, 3.0, 9.0]))
    def time_passes(self, seconds: float) -> None:
        self.t += seconds

    @rule()
    @precondition(lambda self: self.agent == "speaking")
    def agent_has_finished(self) -> None:
        self.agent = "silent"
        self._answer(self.turns.agent_turn_over(self.t, "stt_endpoint"))

    @rule()
    def commit(self) -> None:
        self._answer(self.turns.commit(self.t, agent_unheard=self.agent == "thinking"))

    @invariant()
    def every_text_is_in_one_place_and_in_order(self) -> None:
        if not hasattr(self, "turns"):
            return
        waiting = [held.text for held in self.turns.held]
        assert " ".join([*self.answers.values(), *waiting]).split() == self.given

    @invariant()
    def nobody_restarts_a_turn_for_ever(self) -> None:
        for times in getattr(self, "times", {}).values():
            assert len(times) <= 4
            assert times[-1] - times[0] <= 8.0

    def teardown(self) -> None:
        if hasattr(self, "turns"):
            waiting = self.turns.unanswered()
            assert " ".join([*self.answers.values(), *waiting]).split() == self.given
            assert self.turns.unanswered() == []


TestPlayout = PlayoutMachine.TestCase
TestPlayout.settings = BOUNDED
TestBargeIn = BargeInMachine.TestCase
TestBargeIn.settings = BOUNDED
TestTurns = TurnsMachine.TestCase
TestTurns.settings = BOUNDED
