"""The simulation of whole calls: it repeats itself, finds nothing in Patter, and finds every planted defect."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any

import pytest

from patter.call import agent_turns
from patter.call.actions import SendClear
from patter.call.barge_in import BargeIn
from patter.call.conversation import Conversation
from patter.call.events import EventStream
from patter.call.hearing import Hearing
from patter.call.lineup import Lineup
from patter.call.machine import SessionMachine
from patter.call.outbox import Outbox
from patter.call.pace_clock import PaceClock
from patter.call.playout import Chunk, Playout
from patter.call.record import MemoryCallRegistry
from patter.call.session import CallSession
from patter.call.socket_stall import SocketStall
from patter.call.stt_feed import STTFeed
from patter.call.tasks import CallTasks
from patter.call.turns import Turns
from patter.call.types import CallSummary
from patter.cli.frame import main
from patter.plugins import hook_rules
from patter.server.admission import Admission
from patter.server.endings import CallEndings
from patter.testing.simulation.levels import quiet
from patter.testing.simulation.run import simulate
from patter.testing.whole_call.bare_loop import pass_messages
from patter.testing.whole_call.checks import problems
from patter.testing.whole_call.level import WholeLevel
from patter.testing.whole_call.script import WholeScript, draw_whole

pytestmark = pytest.mark.simulation

SEED = 30_000_000
#: calls within which every planted defect is found
WITHIN = 1_000


def test_every_promise_is_kept_and_the_jobs_change_nothing() -> None:
    alone = simulate("whole", 300, SEED, now=time.monotonic)
    assert [violation.as_text() for violation in alone.violations] == []
    assert alone.virtual_s >= 300 * 10
    assert alone.speed["virtual_s_per_core_s"] > 0
    assert alone.speed["cost_to_bare_loop"] > 0
    again = simulate("whole", 110, SEED, now=time.monotonic)
    both = simulate("whole", 110, SEED, jobs=2, now=time.monotonic)
    assert both.event_log_sha256 == again.event_log_sha256
    assert (both.events, both.virtual_s) == (again.events, again.virtual_s)


def test_scripts_hold_what_calls_are_made_of() -> None:
    scripts = [draw_whole(seed) for seed in range(2_000)]
    kinds = {what for script in scripts for _, what, _ in script.events}
    assert kinds >= {
        *("speech_started", "speech_ended", "interim", "final", "interrupt", "commit_turn", "announce"),
        *("end_call", "stall", "freeze", "odd_mark", "digit", "recogniser_fails", "odd_message", "drop"),
        *("hang_up_by_application", "transfer", "keys"),
    }
    assert {script.barge_in.mode for script in scripts} == {"cancel", "confirm", "pause"}
    assert {script.settings.turn_end for script in scripts} == {"stt", "vad", "manual"}
    assert {script.media for script in scripts} == {
        *("normal", "late", "never", "dropped at once", "of another call", "odd messages first")
    }
    assert {script.ending for script in scripts} == {
        *("stop", "drop", "stop and drop", "application", "drop and status", "shutdown")
    }
    assert {how for script in scripts for _, how in script.hooks} == {"raises", "hangs", "is slow", "clings"}
    assert {model.tool for script in scripts for model in script.models} >= {"end_call", "transfer_call", ""}
    assert any(voice.hangs for script in scripts for voice in script.voices)
    assert any(script.outbound for script in scripts)
    assert any(script.company for script in scripts)


@pytest.mark.parametrize("kind", ["stt", "llm", "tts", "vad"])
def test_providers_are_closed_when_one_of_them_cannot_be_made(kind: str) -> None:
    level = WholeLevel()
    drawn = (level.draw(SEED + number) for number in range(100))
    script = next(one for one in drawn if one.barge_in.has_vad and one.media == "normal" and not one.hooks)
    with quiet():
        call = level.play_call(replace(script, unmade=kind, hangs_up_at=5.0))
    assert problems(call) == []
    assert call.session is None
    (summary,) = call.summaries
    assert summary.outcome == "failed"


def test_a_bare_loop_passes_every_message() -> None:
    messages = [(number * 0.02, number % 3 > 0, str(number)) for number in range(100)]
    assert pass_messages(messages) == 100


# -- defects, each planted into Patter for the time of one test

Plant = Callable[[pytest.MonkeyPatch], None]


def _gate_opens_at_begin_speaking(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BargeIn, "gate_open", lambda self, t: self.first_audio is not None)


def _interrupt_clears_but_does_not_cancel(patch: pytest.MonkeyPatch) -> None:
    def interrupt(self: SessionMachine, t: float) -> None:
        self._actions.append(SendClear())

    patch.setattr(SessionMachine, "_interrupt", interrupt)


def _transcript_from_generated_text(patch: pytest.MonkeyPatch) -> None:
    def generated(sentences: Any, heard: int, rate: int) -> list[str]:
        return [" ".join(sentence.text for sentence in sentences)]

    patch.setattr(agent_turns, "heard_by_round", generated)


def _a_mark_is_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    original = Playout.finished
    patch.setattr(Playout, "finished", lambda self, t: not self.waiting_marks and original(self, t))


def _second_final_is_dropped(patch: pytest.MonkeyPatch) -> None:
    original = Turns._restart

    def restart(self: Turns, text: str, t: float) -> Any:
        return original(self, text, t) if self.open is None or not self.open.restarts else None

    patch.setattr(Turns, "_restart", restart)


def _an_old_turn_ends_the_new_one(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine.reply_made

    def reply_made(self: SessionMachine, reply: int, t: float) -> Any:
        return original(self, self.reply.reply if self.reply else reply, t)

    patch.setattr(SessionMachine, "reply_made", reply_made)


def _resume_skips_what_was_taken_back(patch: pytest.MonkeyPatch) -> None:
    original = Playout.pause

    def pause(self: Playout, t: float) -> None:
        original(self, t)
        if self._speech and self._speech.sentences:
            sentence = self._speech.sentences[self._speech.sending]
            self._emitted += sum(len(piece) for piece in sentence.pending)
            self._sent = self._emitted
            sentence.pending.clear()

    patch.setattr(Playout, "pause", pause)


def _clear_is_not_sent(patch: pytest.MonkeyPatch) -> None:
    original = Outbox.clear

    def clear(self: Outbox, *, tell_carrier: bool) -> None:
        original(self, tell_carrier=False)

    patch.setattr(Outbox, "clear", clear)


def _clear_is_late(patch: pytest.MonkeyPatch) -> None:
    original = CallSession._carry_out

    def carry_out(self: CallSession, action: Any) -> None:
        if isinstance(action, SendClear):
            import asyncio

            asyncio.get_running_loop().call_later(0.1, original, self, action)
            return
        original(self, action)

    patch.setattr(CallSession, "_carry_out", carry_out)


def _a_task_is_left(patch: pytest.MonkeyPatch) -> None:
    async def close(self: CallTasks, within_s: float) -> tuple[str, ...]:
        return ()

    patch.setattr(CallTasks, "close", close)


def _a_voice_is_left_open(patch: pytest.MonkeyPatch) -> None:
    original = Lineup.close

    async def close(self: Lineup) -> None:
        self.voice.tts = None
        await original(self)

    patch.setattr(Lineup, "close", close)


def _a_place_is_left_taken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Admission, "release", lambda self, call_id: None)


def _a_burst_after_a_stall(patch: pytest.MonkeyPatch) -> None:
    original = Playout.step

    def step(self: Playout, t: float) -> list[Chunk]:
        sent, self._sent = self._sent, self._emitted
        chunks = original(self, t)
        self._sent = sent
        return chunks

    patch.setattr(Playout, "step", step)
    patch.setattr(SocketStall, "stalled_s", lambda self, t: None)


def _a_burst_after_a_freeze(patch: pytest.MonkeyPatch) -> None:
    original = Playout.sent

    def start_if_dry(self: PaceClock, t: float, position: int) -> None:
        if self.at(t) is None:
            self.start(t, position)

    def played(self: Playout, t: float) -> int:
        position = self._clock.at(t)
        return self._emitted if position is None else position

    def sent(self: Playout, chunk: Chunk, t: float) -> bool:
        clock, self._clock = self._clock, copy(self._clock)
        first = original(self, chunk, t)
        self._clock = clock
        return first

    patch.setattr(PaceClock, "start_if_dry", start_if_dry)
    patch.setattr(Playout, "_played", played)
    patch.setattr(Playout, "sent", sent)


def _call_ended_twice(patch: pytest.MonkeyPatch) -> None:
    original = CallEndings._tell

    async def tell(self: CallEndings, line: Any, summary: CallSummary) -> None:
        await original(self, line, summary)
        await original(self, line, summary)

    patch.setattr(CallEndings, "_tell", tell)


def _the_record_forgets_the_caller(patch: pytest.MonkeyPatch) -> None:
    original = MemoryCallRegistry.update

    def update(self: MemoryCallRegistry, call_id: str, *arguments: Any, **options: Any) -> Any:
        record = original(self, call_id, *arguments, **options)
        if record is not None and not record.is_active:
            self._store(replace(record, caller="unknown"))
        return record

    patch.setattr(MemoryCallRegistry, "update", update)


def _a_lost_socket_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    original = CallSession._media_gone

    def media_gone(self: CallSession, reason: str) -> None:
        if "socket" not in reason:
            original(self, reason)

    patch.setattr(CallSession, "_media_gone", media_gone)


def _a_hook_is_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    for name, rule in list(hook_rules.ASYNC_HOOKS.items()):
        patch.setitem(hook_rules.ASYNC_HOOKS, name, replace(rule, budget_s=10_000.0))


def _a_voice_is_waited_for_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("patter.call.reply_voice.FIRST_BYTE_S", 10_000.0)


def _a_greeting_is_cut_and_nobody_told(patch: pytest.MonkeyPatch) -> None:
    original = EventStream.emit

    def emit(self: EventStream, event: str, data: Any = None) -> None:
        if event != "failed":
            original(self, event, data)

    patch.setattr(EventStream, "emit", emit)


def _usage_is_reported_twice(patch: pytest.MonkeyPatch) -> None:
    original = EventStream.emit

    def emit(self: EventStream, event: str, data: Any = None) -> None:
        original(self, event, data)
        if event == "usage":
            original(self, event, data)

    patch.setattr(EventStream, "emit", emit)


def _frames_are_sent_twice(patch: pytest.MonkeyPatch) -> None:
    original = STTFeed.send

    def send(self: STTFeed, chunk: bytes) -> None:
        original(self, chunk)
        original(self, chunk)

    patch.setattr(STTFeed, "send", send)


def _the_model_is_asked_with_an_old_text(patch: pytest.MonkeyPatch) -> None:
    original = Conversation.user

    def user(self: Conversation, turn: int, text: str, at_ms: float) -> None:
        known = any(entry.turn == turn and entry.message.role == "user" for entry in self._entries)
        if not known:
            original(self, turn, text, at_ms)

    patch.setattr(Conversation, "user", user)


def _turns_restart_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("patter.call.turns.RESTARTS", 10_000)


def _what_a_lost_recogniser_understood_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = Hearing._final

    def final(self: Hearing, *arguments: Any) -> None:
        self._lost = ""
        original(self, *arguments)

    patch.setattr(Hearing, "_final", final)


def _a_clear_empties_the_outboxes_of_all_calls(patch: pytest.MonkeyPatch) -> None:
    original_init, original = Outbox.__init__, Outbox.clear
    outboxes: list[Outbox] = []

    def init(self: Outbox, *arguments: Any) -> None:
        original_init(self, *arguments)
        outboxes.append(self)

    def clear(self: Outbox, *, tell_carrier: bool) -> None:
        for outbox in outboxes[-2:]:
            original(outbox, tell_carrier=tell_carrier)

    patch.setattr(Outbox, "__init__", init)
    patch.setattr(Outbox, "clear", clear)


def _speech_silences_a_goodbye(patch: pytest.MonkeyPatch) -> None:
    original = SessionMachine.end_after_speech

    def end_after_speech(self: SessionMachine, reason: str, t: float) -> Any:
        paused = self.playout.paused
        actions = original(self, reason, t)
        if paused:
            self.playout.pause(t)
        return actions

    patch.setattr(SessionMachine, "end_after_speech", end_after_speech)


#: which calls can show a defect; the others need not be played
Shows = Callable[[WholeScript], bool]


def _has(what: str) -> Shows:
    return lambda script: any(event == what for _, event, _ in script.events)


def _pauses(script: WholeScript) -> bool:
    return script.barge_in.mode == "pause"


def _has_hanging_hook_at_the_end(script: WholeScript) -> bool:
    return ("patter_call_ended", "hangs") in script.hooks


def _has_hanging_voice(script: WholeScript) -> bool:
    return script.quiet_s > 0 and any(voice.hangs for voice in script.voices)


def _greets_with_a_broken_voice(script: WholeScript) -> bool:
    # the greeting is agent turn 1
    return bool(script.settings.first_message) and (script.voices[1].fails_at or 0.0) > 0


def _any(script: WholeScript) -> bool:
    return True


def _pauses_and_ends(script: WholeScript) -> bool:
    ends = _has("end_call")(script) or any(model.tool == "end_call" for model in script.models)
    return _pauses(script) and ends


DEFECTS: tuple[tuple[Plant, str, Shows], ...] = (
    (_gate_opens_at_begin_speaking, "stops_have_a_reason", _any),
    (_interrupt_clears_but_does_not_cancel, "cancel_is_immediate", _any),
    (_transcript_from_generated_text, "heard_problems", _any),
    (_a_mark_is_waited_for_for_ever, "nothing_was_stuck", _any),
    (_second_final_is_dropped, "each_final_once", _any),
    (_an_old_turn_ends_the_new_one, "heard_problems", _any),
    (_resume_skips_what_was_taken_back, "heard_problems", _pauses),
    (_clear_is_not_sent, "clear_goes_out", _any),
    (_clear_is_late, "clear_goes_out", _any),
    (_a_task_is_left, "nothing_left", _any),
    (_a_voice_is_left_open, "nothing_left", _any),
    (_a_place_is_left_taken, "nothing_left", _any),
    (_a_burst_after_a_stall, "never_far_ahead", _has("stall")),
    (_a_burst_after_a_freeze, "never_far_ahead", _has("freeze")),
    (_call_ended_twice, "over_once", _any),
    (_the_record_forgets_the_caller, "record_kept", _any),
    (_a_lost_socket_ends_nothing, "order", _any),
    (_a_hook_is_waited_for_for_ever, "over_once", _has_hanging_hook_at_the_end),
    (_a_voice_is_waited_for_for_ever, "nobody_waits_for_ever", _has_hanging_voice),
    (_a_greeting_is_cut_and_nobody_told, "greeted", _greets_with_a_broken_voice),
    (_usage_is_reported_twice, "billed_as_sent", _any),
    (_frames_are_sent_twice, "billed_as_sent", _any),
    (_the_model_is_asked_with_an_old_text, "answers_what_was_said", _any),
    (_turns_restart_for_ever, "answered_once", _any),
    (_a_clear_empties_the_outboxes_of_all_calls, "heard_problems", lambda script: script.company),
    (_speech_silences_a_goodbye, "goodbye_is_heard", _pauses_and_ends),
    (_what_a_lost_recogniser_understood_is_forgotten, "finals_counted", _has("recogniser_fails")),
)


def _broken(calls: int, shows: Shows = _any) -> Iterator[tuple[int, str]]:
    """(number of the call, promise) of what broke."""
    level = WholeLevel()
    with quiet():
        for number in range(calls):
            script = level.draw(SEED + number)
            if shows(script):
                for problem in level.play(script).problems:
                    yield number, problem.promise


@pytest.mark.parametrize(
    ("plant", "promise", "shows"), DEFECTS, ids=[plant.__name__.strip("_") for plant, _, _ in DEFECTS]
)
def test_a_planted_defect_is_found(
    plant: Plant, promise: str, shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert promise in (found for _, found in _broken(WITHIN, shows))


def test_a_violation_is_shown_short_and_can_be_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _clear_is_not_sent(monkeypatch)
    number = next(number for number, promise in _broken(WITHIN) if promise == "clear_goes_out")
    assert main(["simulate", "--calls", "1", "--seed", str(SEED + number), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    violation = next(one for one in shown["violations"] if one["promise"] == "clear_goes_out")
    assert any("interruption confirmed" in line for line in violation["trace"])
    assert len(violation["trace"]) <= 81
    assert main(violation["command"].split()[1:]) == 1
    assert violation["command"] in capsys.readouterr().out


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--calls", "10", "--seed", "7", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) >= {
        *("calls", "violations", "events", "event_log_sha256", "virtual_s", "wall_s"),
        *("virtual_s_per_core_s", "cost_to_bare_loop"),
    }
    assert (shown["calls"], shown["violations"]) == (10, [])
    assert main(["simulate", "--calls", "10", "--seed", "7"]) == 0
    printed = capsys.readouterr().out
    assert shown["event_log_sha256"][:16] in printed
    assert "of calls a second and core" in printed
