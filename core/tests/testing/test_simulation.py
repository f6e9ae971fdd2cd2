"""The simulation of the machines: it repeats itself, finds nothing in the machines, and finds every planted defect."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from copy import copy
from typing import Any

import pytest

from patter.call import agent_turns as agent_turns_module
from patter.call.actions import Emit, Finalize, SendClear
from patter.call.agent_turns import AgentTurns
from patter.call.barge_in import BargeIn
from patter.call.caller_speech import CallerSpeech
from patter.call.heard import heard_text
from patter.call.machine import SessionMachine
from patter.call.pace_clock import PaceClock
from patter.call.playout import Chunk, Playout
from patter.call.silence import Silence
from patter.call.turns import Turns
from patter.cli.frame import main
from patter.testing.simulation.carrier import Carrier
from patter.testing.simulation.draw import FEWEST_EVENTS, MOST_EVENTS, draw
from patter.testing.simulation.invariants import problems
from patter.testing.simulation.levels import quiet
from patter.testing.simulation.record import SpokenLine
from patter.testing.simulation.run import examine, shorten, simulate_machines
from patter.testing.simulation.speech import pattern, position_of, spoken
from patter.testing.simulation.stage import Stage

pytestmark = pytest.mark.simulation

SEED = 20_000_000
#: calls within which every planted defect is found
WITHIN = 2_000


def test_every_promise_is_kept_and_the_jobs_change_nothing() -> None:
    alone = simulate_machines(20_000, SEED, now=time.monotonic)
    assert [violation.as_text() for violation in alone.violations] == []
    assert alone.events >= 20_000 * 15
    both = simulate_machines(1_500, SEED, jobs=2, now=time.monotonic)
    again = simulate_machines(1_500, SEED, jobs=1, now=time.monotonic)
    assert both.event_log_sha256 == again.event_log_sha256
    assert (both.events, both.virtual_s) == (again.events, again.virtual_s)
    assert simulate_machines(1_500, SEED + 1, now=time.monotonic).event_log_sha256 != both.event_log_sha256


@pytest.mark.parametrize("seed", [135_474, 325_915, 413_470, 460_806, 536_052, 886_689])
def test_one_call_in_a_hundred_thousand_is_judged_right(seed: int) -> None:
    """A pause in the last millisecond of a sentence, finals that repeat each other, a freeze over what comes at once."""
    assert examine(seed) == []


def test_a_piece_too_short_to_tell_by_itself_ends_a_sentence() -> None:
    first, second = spoken("Certainly.", 8), spoken("Thanks.", 8)
    sentences = [SpokenLine(1, first, 0), SpokenLine(1, second, first.samples)]
    carrier = Carrier(0.1, sentences)
    whole = pattern()
    assert carrier.media(whole[: first.samples + 160], 1.0) == 0
    assert carrier.media(whole[first.samples - 7 : first.samples], 2.0) == first.samples - 7
    assert carrier.media(whole[first.samples : first.samples + 160], 2.0) == first.samples
    assert carrier.media(b"\x55" * 7, 3.0) == -1
    assert carrier.foreign == 1


def test_scripts_hold_what_calls_are_made_of() -> None:
    scripts = [draw(seed) for seed in range(1_000)]
    counts = [len(script.events) for script in scripts]
    assert FEWEST_EVENTS <= min(counts) <= max(counts) <= MOST_EVENTS
    assert max(counts) > 50
    kinds = {what for script in scripts for _, what, _ in script.events}
    assert kinds == {
        *("speech_started", "speech_ended", "interim", "final", "interrupt", "commit_turn", "announce"),
        *("end_call", "stall", "freeze", "odd_mark", "digit"),
    }
    assert {script.barge_in.mode for script in scripts} == {"cancel", "confirm", "pause"}
    assert {script.settings.turn_end for script in scripts} == {"stt", "vad", "manual"}
    assert {script.barge_in.has_vad for script in scripts} == {True, False}
    assert len({script.lineup for script in scripts}) == 6
    assert any(None in script.echoes for script in scripts)
    assert any(plan.goes_on for script in scripts for plan in script.replies)


def test_audio_can_be_told_apart_by_its_bytes() -> None:
    whole = pattern()
    for start, length in ((0, 320), (801, 320), (123_457, 40), (8_000, 3)):
        payload = whole[start : start + length]
        assert position_of(payload, start) == start
        if length >= 16:
            assert position_of(payload, 0) == start
    assert position_of(b"\x55" * 320, 0) == -1
    line = spoken("Surely that works.", 75)
    assert [line.words_begun(samples) for samples in (0, 1, line.starts[1] + 1, line.samples)] == [0, 1, 2, 3]


# -- defects, each planted into the machines for the time of one test

Plant = Callable[[pytest.MonkeyPatch], None]


def _gate_opens_at_dispatch(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BargeIn, "gate_open", lambda self, t: self.first_audio is not None)


def _interrupt_does_not_cancel(patch: pytest.MonkeyPatch) -> None:
    def interrupt(self: SessionMachine, t: float) -> None:
        self._actions.append(SendClear())

    patch.setattr(SessionMachine, "_interrupt", interrupt)


def _interrupt_does_not_clear(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine._interrupt

    def interrupt(self: SessionMachine, t: float) -> None:
        original(self, t)
        self._actions = [action for action in self._actions if not isinstance(action, SendClear)]

    patch.setattr(SessionMachine, "_interrupt", interrupt)


def _history_from_what_was_generated(patch: pytest.MonkeyPatch) -> None:
    def generated(sentences: Any, heard: int, rate: int) -> list[str]:
        return [" ".join(sentence.text for sentence in sentences)]

    patch.setattr(agent_turns_module, "heard_by_round", generated)


def _history_up_to_what_was_sent(patch: pytest.MonkeyPatch) -> None:
    original = Playout.clear

    def clear(self: Playout, t: float) -> int:
        sent = self._sent
        original(self, t)
        return sent

    patch.setattr(Playout, "clear", clear)


def _history_is_a_word_behind(patch: pytest.MonkeyPatch) -> None:
    def behind(sentences: Any, heard: int, rate: int) -> list[str]:
        return [" ".join(heard_text(sentences, heard, rate).split()[:-2])]

    patch.setattr(agent_turns_module, "heard_by_round", behind)


def _second_final_is_dropped(patch: pytest.MonkeyPatch) -> None:
    original = Turns._restart

    def restart(self: Turns, text: str, t: float) -> Any:
        return original(self, text, t) if self.open is None or not self.open.restarts else None

    patch.setattr(Turns, "_restart", restart)


def _finals_merge_at_any_letter(patch: pytest.MonkeyPatch) -> None:
    def merge(earlier: str, later: str) -> str:
        return later if later.startswith(earlier) else f"{earlier} {later}"

    patch.setattr("patter.call.turns.merge", merge)


def _turns_restart_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("patter.call.turns.RESTARTS", 10_000)


def _backchannels_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = Turns.hold

    def hold(self: Turns, text: str, *, triggers: bool) -> None:
        if triggers or self.manual:
            original(self, text, triggers=triggers)

    patch.setattr(Turns, "hold", hold)


def _old_turns_end_the_new_one(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine.reply_made

    def reply_made(self: SessionMachine, reply: int, t: float) -> Any:
        return original(self, self.reply.reply if self.reply else reply, t)

    patch.setattr(SessionMachine, "reply_made", reply_made)
    patch.setattr(Playout, "end", lambda self, turn: self._speech and setattr(self._speech, "ended", True))


def _late_audio_of_old_turns_is_taken(patch: pytest.MonkeyPatch) -> None:
    original = Playout.add

    def add(self: Playout, turn: int, audio: bytes) -> bool:
        return original(self, self.turn if self.turn is not None and self.sentences else turn, audio)

    patch.setattr(Playout, "add", add)


def _resume_skips_what_was_taken_back(patch: pytest.MonkeyPatch) -> None:
    original = Playout.pause

    def pause(self: Playout, t: float) -> None:
        original(self, t)
        if self._speech and self._speech.sentences:
            sentence = self._speech.sentences[self._speech.sending]
            self._emitted += sum(len(piece) for piece in sentence.pending)
            sentence.pending.clear()

    patch.setattr(Playout, "pause", pause)


def _pause_is_not_undone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Playout, "resume", lambda self: None)


def _pause_forgets_to_clear(patch: pytest.MonkeyPatch) -> None:
    def pause(self: SessionMachine, t: float) -> None:
        if self.barge_in.settings.mode == "pause" and self.barge_in.pending and not self.playout.paused:
            self.playout.pause(t)

    patch.setattr(SessionMachine, "_pause_if_pending", pause)


def _burst_after_a_stall(patch: pytest.MonkeyPatch) -> None:
    def start_if_dry(self: PaceClock, t: float, position: int) -> None:
        if self.at(t) is None:
            self.start(t, position)

    def played(self: Playout, t: float) -> int:
        position = self._clock.at(t)
        return self._emitted if position is None else position

    _late_sends_do_not_restart_the_clock(patch)
    patch.setattr(PaceClock, "start_if_dry", start_if_dry)
    patch.setattr(Playout, "_played", played)


def _late_sends_do_not_restart_the_clock(patch: pytest.MonkeyPatch) -> None:
    original = Playout.sent

    def sent(self: Playout, chunk: Chunk, t: float) -> bool:
        clock, self._clock = self._clock, copy(self._clock)
        first = original(self, chunk, t)
        self._clock = clock
        return first

    patch.setattr(Playout, "sent", sent)


def _a_stalled_socket_gets_all_at_once(patch: pytest.MonkeyPatch) -> None:
    original = Playout.step

    def step(self: Playout, t: float) -> list[Chunk]:
        sent, self._sent = self._sent, self._emitted
        chunks = original(self, t)
        self._sent = sent
        return chunks

    patch.setattr(Playout, "step", step)


def _marks_of_a_clear_count_as_heard(patch: pytest.MonkeyPatch) -> None:
    original = Playout.clear

    def clear(self: Playout, t: float) -> int:
        for name in list(self._marks._waiting):
            self.mark_reached(name, t)
        return original(self, t)

    patch.setattr(Playout, "clear", clear)


def _a_mark_is_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    original = Playout.finished
    patch.setattr(Playout, "finished", lambda self, t: not self.waiting_marks and original(self, t))


def _an_interruption_stays_pending(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BargeIn, "_expiry", lambda self, pending, t: pending.since + 1_000)


def _a_final_over_the_agent_waits_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Turns, "agent_turn_over", lambda self, t, trigger: None)


def _two_ends(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine._end

    def end(self: SessionMachine, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        original(self, *arguments, **options)
        self._actions.append(self._actions[-1])

    patch.setattr(SessionMachine, "_end", end)


def _every_final_asks_again(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine.final

    def final(self: SessionMachine, *arguments: Any) -> Any:
        return [*original(self, *arguments), Finalize()]

    patch.setattr(SessionMachine, "final", final)


def _no_strategy_but_the_gate_is_deaf(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine.speech_started

    def speech_started(self: SessionMachine, t: float) -> Any:
        return original(self, t) if self.playout.heard_ms(t) < 100 else []

    patch.setattr(SessionMachine, "speech_started", speech_started)


def _a_reply_is_silence(patch: pytest.MonkeyPatch) -> None:
    original = AgentTurns.begin

    def begin(self: AgentTurns, *arguments: Any) -> Any:
        action = original(self, *arguments)
        self.is_occupied = False
        return action

    patch.setattr(AgentTurns, "begin", begin)


def _the_prompt_starts_the_count_again(patch: pytest.MonkeyPatch) -> None:
    original = Silence.step

    def step(self: Silence, t: float) -> Any:
        due = original(self, t)
        self.count_again(t)
        return due

    patch.setattr(Silence, "step", step)


def _silence_is_not_counted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Silence, "_schedule", lambda self, since: None)


def _a_key_is_no_sign_of_life(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SessionMachine, "digit", lambda self, digit, t: [])


def _every_end_of_speech_is_told(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CallerSpeech, "_tell_over", lambda self: (Emit("user_speech_ended"),))


DEFECTS: tuple[Plant, ...] = (
    _gate_opens_at_dispatch,
    _interrupt_does_not_cancel,
    _interrupt_does_not_clear,
    _history_from_what_was_generated,
    _history_up_to_what_was_sent,
    _history_is_a_word_behind,
    _second_final_is_dropped,
    _finals_merge_at_any_letter,
    _turns_restart_for_ever,
    _backchannels_are_forgotten,
    _old_turns_end_the_new_one,
    _late_audio_of_old_turns_is_taken,
    _resume_skips_what_was_taken_back,
    _pause_is_not_undone,
    _pause_forgets_to_clear,
    _burst_after_a_stall,
    _late_sends_do_not_restart_the_clock,
    _a_stalled_socket_gets_all_at_once,
    _marks_of_a_clear_count_as_heard,
    _a_mark_is_waited_for_for_ever,
    _an_interruption_stays_pending,
    _a_final_over_the_agent_waits_for_ever,
    _two_ends,
    _every_final_asks_again,
    _no_strategy_but_the_gate_is_deaf,
    _a_reply_is_silence,
    _the_prompt_starts_the_count_again,
    _silence_is_not_counted,
    _a_key_is_no_sign_of_life,
    _every_end_of_speech_is_told,
)


def _broken(calls: int, *, with_event: str | None = None) -> Iterator[tuple[int, str]]:
    """(number of the call, promise) of what broke, or the exception that the defect led to.

    `with_event`: only the calls in which that happens are played; the defect can show in no other.
    """
    with quiet():
        for number in range(calls):
            script = draw(SEED + number)
            if with_event is not None and all(what != with_event for _, what, _ in script.events):
                continue
            stage = Stage(script)
            try:
                stage.play()
            except (AssertionError, IndexError, KeyError) as error:
                yield number, type(error).__name__
                continue
            for problem in problems(stage):
                yield number, problem.promise


@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.__name__.strip("_"))
def test_a_planted_defect_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert next(_broken(WITHIN), None) is not None


def test_a_goodbye_that_takes_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patter.call.machine.DRAIN_S", 1_000.0)
    found = next(_broken(50_000, with_event="end_call"), None)
    assert found is not None
    assert found[1] == "ends_in_time"


def test_a_violation_is_shown_short_and_can_be_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _finals_merge_at_any_letter(monkeypatch)
    number, promise = next(_broken(WITHIN))
    seed = SEED + number
    with quiet():
        violation = next(one for one in examine(seed) if one.promise == promise)
        script = shorten(draw(seed), promise)
    assert len(script.events) <= 6
    assert any("final" in line for line in violation.trace)
    assert len(violation.trace) < 40
    words = violation.command.split()[1:]
    assert main([*words, "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert [one["promise"] for one in shown["violations"]] == [promise]
    assert main(words) == 1
    assert violation.command in capsys.readouterr().out


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--machines", "--calls", "50", "--seed", "7", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {
        *("calls", "violations", "events", "event_log_sha256", "virtual_s", "wall_s", "calls_per_core_s")
    }
    assert (shown["calls"], shown["violations"]) == (50, [])
    assert shown["calls_per_core_s"] == pytest.approx(50 / shown["wall_s"], rel=0.1)
    assert main(["simulate", "--machines", "--calls", "50", "--seed", "7"]) == 0
    assert shown["event_log_sha256"][:16] in capsys.readouterr().out
    assert main(["simulate", "--machines", "--calls", "0"]) == 2
