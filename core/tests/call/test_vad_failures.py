"""What goes wrong in voice activity detection, and for whom."""

from __future__ import annotations

import logging

import pytest
from loudness import CONTEXT, LOUD, QUIET, WINDOW, Loudness, alone, listen, run, utterances

from patter.audio.formats import Encoding
from patter.audio.g711 import mulaw_decode
from patter.call.vad_batching import BACKLOG_S, VADBank
from patter.environment import SystemClock

POISON = b"\x01" * WINDOW


class Poisonable(Loudness):
    """Fails for any batch with poison in it."""

    def infer(self, windows, states, rate):
        if (windows[:, CONTEXT:] == mulaw_decode(POISON[:1])[0] / 32768).all(axis=1).any():
            raise FloatingPointError("poison")
        return super().infer(windows, states, rate)


def test_a_failure_ends_the_detection_of_that_call_alone():
    vad_bank = VADBank(Poisonable(), 8000, SystemClock())
    failures = []
    poisoned = vad_bank.open(Encoding.MULAW, pytest.fail, failures.append)
    others = [listen(vad_bank) for _ in range(3)]
    line = utterances(1)
    for start in range(0, len(line), WINDOW):
        poisoned.feed(POISON if start == 10 * WINDOW else QUIET)
        for slot, _ in others:
            slot.feed(line[start : start + WINDOW])
        vad_bank.step()
    assert [str(failure) for failure in failures] == ["poison"]
    assert vad_bank.open_slots == 3
    for _, events in others:
        assert events == alone(line)


def test_a_callback_that_raises_ends_the_detection_of_its_call_alone(vad_bank, caplog):
    def broken(event):
        raise LookupError("no such turn")

    failures = []
    first = vad_bank.open(Encoding.MULAW, broken, failures.append)
    silent = vad_bank.open(Encoding.MULAW, broken)
    worse = vad_bank.open(Encoding.MULAW, broken, broken)
    other, events = listen(vad_bank)
    for slot in (first, silent, worse, other):
        slot.feed(LOUD * 4)
    run(vad_bank)
    assert [type(failure) for failure in failures] == [LookupError]
    assert [event.kind for event in events] == ["speech_start"]
    assert vad_bank.open_slots == 1
    assert "the VAD of a call failed" in caplog.text
    assert "the handler of a VAD failure failed" in caplog.text


def test_a_broken_model_fails_every_call_once(vad_bank, loud_model):
    loud_model.fails = True
    failures = []
    slots = [vad_bank.open(Encoding.MULAW, pytest.fail, failures.append) for _ in range(3)]
    for slot in slots:
        slot.feed(LOUD * 3)
    run(vad_bank)
    assert [str(failure) for failure in failures] == ["the model is broken"] * 3
    assert vad_bank.open_slots == 0


def test_an_answer_of_another_shape_is_a_failure(vad_bank, loud_model):
    genuine = loud_model.infer
    loud_model.infer = lambda *arguments: (genuine(*arguments)[0][:, None], genuine(*arguments)[1])
    failures = []
    vad_bank.open(Encoding.MULAW, pytest.fail, failures.append).feed(LOUD)
    assert "probabilities of (1, 1)" in str(failures[0])


def test_a_slow_inference_is_said_once(loud_model, caplog):
    class Slow:
        now = 0.0

        def monotonic(self):
            self.now += 0.15
            return self.now

        def wall(self):
            return 0.0

    slot, _ = listen(VADBank(loud_model, 8000, Slow()))
    slot.feed(LOUD * 5)
    (record,) = caplog.records
    assert record.getMessage() == "Loudness took 150 ms for 1 windows; every call of this process waited"


def test_what_waits_is_bounded_and_positions_count_what_is_skipped(vad_bank, loud_model, caplog):
    slot, events = listen(vad_bank)
    listen(vad_bank)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            slot.feed(QUIET * 31)
        slot.feed(LOUD * 40)
    assert len(slot._pending) <= BACKLOG_S * 8000 + WINDOW
    run(vad_bank)
    assert [event.sample_position for event in events] == [(20 * 31 + 1) * WINDOW]
    assert len(caplog.records) == 1
