from __future__ import annotations

import asyncio
import logging
import random
import threading

import numpy as np
import pytest

from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import alaw_encode, mulaw_decode, mulaw_encode
from patter.call.pacer import Pacer
from patter.call.vad_batching import BACKLOG_S, ROWS_PER_STEP, VADBank
from patter.call.vad_detection import Hysteresis, ProbabilityDetector
from patter.environment import SystemClock
from patter.errors import ConfigError, InputError
from patter.providers.vad import VADModel
from patter.testing.virtual_loop import VirtualClock, run_virtual

WINDOW = 256
CONTEXT = 32
LOUD, QUIET = b"\x80" * WINDOW, b"\xff" * WINDOW  # windows of full scale and of zeros
POISON = b"\x01" * WINDOW


class Loudness(VADModel):
    """A small VAD: the probability is the loudness, smoothed over windows. Keeps what it was asked."""

    rates = (8000, 16000)
    state_shape = (2,)

    def __init__(self):
        self.batches, self.inputs, self.threads = [], [], set()
        self.fails = False

    def window_samples(self, rate):
        return WINDOW * rate // 8000

    def context_samples(self, rate):
        return CONTEXT * rate // 8000

    def infer(self, windows, states, rate):
        self.batches.append(len(windows))
        self.inputs.append(windows.copy())
        self.threads.add(threading.get_ident())
        if self.fails:
            raise RuntimeError("the model is broken")
        loudness = np.abs(windows).mean(axis=1)
        level = states[:, 0] / 2 + loudness / 2
        return level, np.stack([level, states[:, 1] + 1], axis=1)

    def detector(self, rate):
        return ProbabilityDetector(
            Hysteresis(0.5, 0.35, 64, 96), rate=rate, window_samples=self.window_samples(rate)
        )

    def close(self):
        pass


@pytest.fixture
def model():
    return Loudness()


@pytest.fixture
def bank(model):
    return VADBank(model, 8000, SystemClock())


def listen(bank, encoding=Encoding.MULAW):
    """A slot and the list of its events; a failure fails the test."""
    events = []
    return bank.open(encoding, events.append, on_failure=pytest.fail), events


def run(bank):
    while bank.step():
        pass


def utterances(seed, seconds=4):
    """µ-law that is now loud, now quiet, and different for each seed."""
    numbers = np.random.default_rng(seed)
    spans = [numbers.uniform(-1, 1, numbers.integers(300, 3000)) * (k % 2) for k in range(40)]
    samples = np.concatenate(spans)[: seconds * 8000]
    return mulaw_encode((np.sign(samples) * np.sqrt(np.abs(samples)) * 32000).astype(np.int16))


def alone(audio):
    one, events = listen(VADBank(Loudness(), 8000, SystemClock()))
    for start in range(0, len(audio), 160):
        one.feed(audio[start : start + 160])
    return events


@pytest.mark.behaviour("SP-22")
def test_a_call_that_is_alone_is_judged_as_it_is_fed(bank, model):
    slot, events = listen(bank)
    for _ in range(10):
        slot.feed(LOUD)
    assert model.batches == [1] * 10
    assert model.threads == {threading.get_ident()}
    assert [event.kind for event in events] == ["speech_start"]
    assert bank.step() is False


@pytest.mark.behaviour("SP-22")
def test_windows_of_several_calls_wait_and_are_judged_together(bank, model):
    slots = [listen(bank)[0] for _ in range(3)]
    for slot in slots:
        slot.feed(LOUD[:160])
        slot.feed(LOUD[:160])
    assert model.batches == []
    assert bank.step() is False
    assert model.batches == [3]
    assert model.threads == {threading.get_ident()}


@pytest.mark.behaviour("SP-22")
def test_at_most_64_windows_in_one_step(bank, model):
    slots = [listen(bank)[0] for _ in range(100)]
    for slot in slots:
        slot.feed(LOUD * 2)
    assert [bank.step() for _ in range(5)] == [True, True, True, False, False]
    assert sum(model.batches) == 200
    assert max(model.batches) == ROWS_PER_STEP == 64
    # a call's second window comes after every other call's first one
    firsts = np.concatenate([(batch[:, 0] == 0) for batch in model.inputs])
    assert firsts.tolist() == [True] * 100 + [False] * 100


@pytest.mark.behaviour("SP-22")
def test_on_the_pacers_grid(model):
    """Judged on the next point of the 10 ms grid; what exceeds 64 rows in the next turns of the loop, at that time."""

    class Idle:
        due = None

        def step(self, t):
            raise AssertionError

    async def one_window_of_each():
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop)
        bank, pacer, judged = VADBank(model, 8000, clock), Pacer(clock), []
        pacer.add_batch(bank)
        pacer.add(Idle())
        genuine = model.infer

        def infer(*arguments):
            judged.append((round(loop.time(), 6), len(arguments[0])))
            return genuine(*arguments)

        model.infer = infer
        slots = [listen(bank)[0] for _ in range(80)]
        await asyncio.sleep(0.013)
        for slot in slots:
            slot.feed(LOUD)
        between = []
        loop.call_at(0.020, lambda: between.append(len(judged)))
        await asyncio.sleep(0.013)
        pacer.close()
        return judged, between

    judged, between = run_virtual(one_window_of_each(), timeout_s=1)
    assert judged == [(0.02, 64), (0.02, 16)]
    assert between == [1]  # the loop had a turn for others between the two


@pytest.mark.behaviour("SP-22")
@pytest.mark.parametrize("count", [2, 5, 70])
def test_the_events_of_a_call_do_not_depend_on_its_company(bank, count):
    numbers = random.Random(count)
    lines = [utterances(seed) for seed in range(count)]
    calls = [listen(bank) for _ in lines]
    at = [0] * count
    while any(place < len(line) for place, line in zip(at, lines, strict=True)):
        for number in numbers.sample(range(count), count):
            size = numbers.choice((1, 80, 160, 999))
            calls[number][0].feed(lines[number][at[number] : at[number] + size])
            at[number] += size
            if numbers.random() < 0.2:
                bank.step()
        run(bank)
    for (_, events), line in zip(calls, lines, strict=True):
        assert len(events) > 4
        assert events == alone(line)


@pytest.mark.behaviour("SP-13")
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("chunk_ms", [10, 20, 30])
def test_each_window_follows_the_end_of_the_one_before_it(model, rate, chunk_ms):
    slot, events = listen(VADBank(model, rate, SystemClock()))
    audio, size = utterances(3), rate * chunk_ms // 1000
    for start in range(0, len(audio), size):
        slot.feed(audio[start : start + size])
    window, context = WINDOW * rate // 8000, CONTEXT * rate // 8000
    samples = np.concatenate([np.zeros(context), mulaw_decode(audio) / 32768]).astype(np.float32)
    heard = np.concatenate(model.inputs)
    assert heard.shape == (len(audio) // window, context + window)
    for number, row in enumerate(heard):
        assert np.array_equal(row, samples[number * window :][: context + window])
    assert {event.kind for event in events} == {"speech_start", "speech_end"}
    for start, end in zip(events[::2], events[1::2], strict=False):
        assert end.duration_ms == (end.sample_position - start.sample_position) * 1000 / rate


def test_encodings_share_a_batch_and_are_scaled_to_one(bank, model):
    pcm = np.linspace(-32768, 32767, WINDOW * 2).astype(np.int16)
    payloads = {
        Encoding.PCM16: pcm.astype("<i2").tobytes(),
        Encoding.MULAW: mulaw_encode(pcm),
        Encoding.ALAW: alaw_encode(pcm),
    }
    order = [Encoding.MULAW, Encoding.PCM16, Encoding.ALAW, Encoding.PCM16, Encoding.MULAW]
    slots = [listen(bank, encoding)[0] for encoding in order]
    for slot in slots:
        assert slot.format == AudioFormat(slot.format.encoding, 8000)
        slot.feed(payloads[slot.format.encoding])
    run(bank)
    assert model.batches == [5, 5]
    heard = np.concatenate([window[:, CONTEXT:] for window in model.inputs], axis=1)
    assert np.array_equal(heard[1], (pcm / 32768).astype(np.float32))
    assert np.array_equal(heard[1], heard[3])
    assert np.array_equal(heard[0], heard[4])
    for row in heard:
        assert np.abs(row).max() <= 1
        assert np.abs(row - heard[1]).max() < 0.035  # a G.711 code is at most 1/31 off


def test_half_a_sample_is_refused_and_leaves_the_slot_as_it_was(bank, model):
    slot, _ = listen(bank, Encoding.PCM16)
    slot.feed(b"\x00\x40" * 100)
    with pytest.raises(InputError, match="3 bytes"):
        slot.feed(b"\x00\x40\x00")
    slot.feed(b"\x00\x40" * 156)
    assert (model.inputs[0][0, CONTEXT:] == 0.5).all()


def test_a_rate_that_the_model_does_not_take_is_refused(model):
    with pytest.raises(ConfigError, match="Loudness takes audio at 8000 or 16000 Hz, not at 24000 Hz"):
        VADBank(model, 24000, SystemClock())


def test_a_freed_slot_is_zeroed_and_used_again(bank, model):
    first, _ = listen(bank)
    index = first.index
    first.feed(LOUD + LOUD[:100])
    first.close()
    first.close()
    first.feed(LOUD * 3)
    assert bank.open_slots == 0
    second, _ = listen(bank)
    assert second.index == index
    second.feed(QUIET)
    assert len(model.inputs) == 2
    assert not model.inputs[1].any()
    assert bank._states[index].tolist() == [0, 1]


def test_a_closed_call_leaves_nothing_in_the_queue(bank, model):
    (leaving, _), (staying, _) = listen(bank), listen(bank)
    leaving.feed(LOUD * 3)
    staying.feed(LOUD)
    leaving.close()
    assert bank.step() is False
    assert model.batches == [1]


def test_a_call_that_remains_alone_is_judged_at_once_again(bank, model):
    (leaving, _), (staying, _) = listen(bank), listen(bank)
    leaving.close()
    staying.feed(LOUD)
    assert model.batches == [1]


def test_a_reset_forgets_the_audio_but_goes_on_counting(bank, model):
    slot, events = listen(bank)
    slot.feed(LOUD * 5 + LOUD[:100])
    assert [event.kind for event in events] == ["speech_start"]
    slot.reset()
    slot.feed(QUIET * 10)
    assert len(events) == 1  # no end
    assert not np.concatenate(model.inputs[5:]).any()  # no context, no remainder
    slot.feed(LOUD * 5)
    # the smoothed level passes 0.5 in the second loud window
    assert events[1].sample_position == 5 * WINDOW + 100 + 11 * WINDOW


def test_a_result_that_a_reset_overtook_is_dropped(bank):
    calls = {}

    def reset_other(event):
        calls["second"][0].reset()

    calls["first"] = bank.open(Encoding.MULAW, reset_other)
    calls["second"] = listen(bank)
    for _ in range(3):
        calls["first"].feed(LOUD)
        calls["second"][0].feed(LOUD)
        bank.step()
    # both starts come with the third window, and the first call's event came first
    assert calls["second"][1] == []
    assert not bank._states[calls["second"][0].index].any()


def test_an_event_may_close_feed_and_open_slots(bank, model):
    opened = []

    def close_all(event):
        for slot in slots:
            slot.close()
        opened.extend(listen(bank) for _ in range(20))
        for slot, _ in opened:
            slot.feed(LOUD)

    slots = [bank.open(Encoding.MULAW, close_all, on_failure=pytest.fail) for _ in range(8)]
    for slot in slots:
        slot.feed(LOUD * 3)
    run(bank)
    assert model.batches == [8, 8, 8, 20]
    assert bank.open_slots == 20
    for slot, _ in opened:
        assert bank._states[slot.index].tolist() == [pytest.approx(0.44, abs=0.05), 1]


def test_audio_fed_inside_an_event_is_judged_in_order(bank):
    events = []

    def on_event(event):
        events.append(event)
        if len(events) == 1:
            slot.feed(QUIET * 8)

    slot = bank.open(Encoding.MULAW, on_event, on_failure=pytest.fail)
    slot.feed(LOUD * 4)
    run(bank)
    assert [event.kind for event in events] == ["speech_start", "speech_end"]


class Poisonable(Loudness):
    """Fails for any batch with poison in it."""

    def infer(self, windows, states, rate):
        if (windows[:, CONTEXT:] == mulaw_decode(POISON[:1])[0] / 32768).all(axis=1).any():
            raise FloatingPointError("poison")
        return super().infer(windows, states, rate)


def test_a_failure_ends_the_detection_of_that_call_alone():
    bank = VADBank(Poisonable(), 8000, SystemClock())
    failures = []
    poisoned = bank.open(Encoding.MULAW, pytest.fail, failures.append)
    others = [listen(bank) for _ in range(3)]
    line = utterances(1)
    for start in range(0, len(line), WINDOW):
        poisoned.feed(POISON if start == 10 * WINDOW else QUIET)
        for slot, _ in others:
            slot.feed(line[start : start + WINDOW])
        bank.step()
    assert [str(failure) for failure in failures] == ["poison"]
    assert bank.open_slots == 3
    for _, events in others:
        assert events == alone(line)


def test_a_callback_that_raises_ends_the_detection_of_its_call_alone(bank, caplog):
    def broken(event):
        raise LookupError("no such turn")

    failures = []
    first = bank.open(Encoding.MULAW, broken, failures.append)
    silent = bank.open(Encoding.MULAW, broken)
    worse = bank.open(Encoding.MULAW, broken, broken)
    other, events = listen(bank)
    for slot in (first, silent, worse, other):
        slot.feed(LOUD * 4)
    run(bank)
    assert [type(failure) for failure in failures] == [LookupError]
    assert [event.kind for event in events] == ["speech_start"]
    assert bank.open_slots == 1
    assert "the VAD of a call failed" in caplog.text
    assert "the handler of a VAD failure failed" in caplog.text


def test_a_broken_model_fails_every_call_once(bank, model):
    model.fails = True
    failures = []
    slots = [bank.open(Encoding.MULAW, pytest.fail, failures.append) for _ in range(3)]
    for slot in slots:
        slot.feed(LOUD * 3)
    run(bank)
    assert [str(failure) for failure in failures] == ["the model is broken"] * 3
    assert bank.open_slots == 0


def test_an_answer_of_another_shape_is_a_failure(bank, model):
    genuine = model.infer
    model.infer = lambda *arguments: (genuine(*arguments)[0][:, None], genuine(*arguments)[1])
    failures = []
    bank.open(Encoding.MULAW, pytest.fail, failures.append).feed(LOUD)
    assert "probabilities of (1, 1)" in str(failures[0])


def test_a_slow_inference_is_said_once(model, caplog):
    class Slow:
        now = 0.0

        def monotonic(self):
            self.now += 0.15
            return self.now

        def wall(self):
            return 0.0

    slot, _ = listen(VADBank(model, 8000, Slow()))
    slot.feed(LOUD * 5)
    (record,) = caplog.records
    assert record.getMessage() == "Loudness took 150 ms for 1 windows; every call of this process waited"


def test_what_waits_is_bounded_and_positions_count_what_is_skipped(bank, model, caplog):
    slot, events = listen(bank)
    listen(bank)
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            slot.feed(QUIET * 31)
        slot.feed(LOUD * 40)
    assert len(slot._pending) <= BACKLOG_S * 8000 + WINDOW
    run(bank)
    assert [event.sample_position for event in events] == [(20 * 31 + 1) * WINDOW]
    assert len(caplog.records) == 1
