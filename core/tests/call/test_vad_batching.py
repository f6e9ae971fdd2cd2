from __future__ import annotations

import asyncio
import random
import threading

import numpy as np
import pytest
from loudness import CONTEXT, LOUD, QUIET, WINDOW, alone, listen, run, utterances

from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import alaw_encode, mulaw_decode, mulaw_encode
from patter.call.pacer import Pacer
from patter.call.vad_batching import ROWS_PER_STEP, VADBank
from patter.environment import SystemClock
from patter.errors import ConfigError, InputError
from patter.testing.virtual_loop import VirtualClock, run_virtual


@pytest.mark.behaviour("SP-22")
def test_a_call_that_is_alone_is_judged_as_it_is_fed(vad_bank, loud_model):
    slot, events = listen(vad_bank)
    for _ in range(10):
        slot.feed(LOUD)
    assert loud_model.batches == [1] * 10
    assert loud_model.threads == {threading.get_ident()}
    assert [event.kind for event in events] == ["speech_start"]
    assert vad_bank.step() is False


@pytest.mark.behaviour("SP-22")
def test_windows_of_several_calls_wait_and_are_judged_together(vad_bank, loud_model):
    slots = [listen(vad_bank)[0] for _ in range(3)]
    for slot in slots:
        slot.feed(LOUD[:160])
        slot.feed(LOUD[:160])
    assert loud_model.batches == []
    assert vad_bank.step() is False
    assert loud_model.batches == [3]
    assert loud_model.threads == {threading.get_ident()}


@pytest.mark.behaviour("SP-22")
def test_at_most_64_windows_in_one_step(vad_bank, loud_model):
    slots = [listen(vad_bank)[0] for _ in range(100)]
    for slot in slots:
        slot.feed(LOUD * 2)
    assert [vad_bank.step() for _ in range(5)] == [True, True, True, False, False]
    assert sum(loud_model.batches) == 200
    assert max(loud_model.batches) == ROWS_PER_STEP == 64
    # a call's second window comes after every other call's first one
    firsts = np.concatenate([(batch[:, 0] == 0) for batch in loud_model.inputs])
    assert firsts.tolist() == [True] * 100 + [False] * 100


@pytest.mark.behaviour("SP-22")
def test_on_the_pacers_grid(loud_model):
    """Judged on the next point of the 10 ms grid; what exceeds 64 rows in the next turns of the loop, at that time."""

    class Idle:
        due = None

        def step(self, t):
            raise AssertionError

    async def one_window_of_each():
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop)
        vad_bank, pacer, judged = VADBank(loud_model, 8000, clock), Pacer(clock), []
        pacer.add_batch(vad_bank)
        pacer.add(Idle())
        genuine = loud_model.infer

        def infer(*arguments):
            judged.append((round(loop.time(), 6), len(arguments[0])))
            return genuine(*arguments)

        loud_model.infer = infer
        slots = [listen(vad_bank)[0] for _ in range(80)]
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
def test_the_events_of_a_call_do_not_depend_on_its_company(vad_bank, count):
    numbers = random.Random(count)
    lines = [utterances(seed) for seed in range(count)]
    calls = [listen(vad_bank) for _ in lines]
    at = [0] * count
    while any(place < len(line) for place, line in zip(at, lines, strict=True)):
        for number in numbers.sample(range(count), count):
            size = numbers.choice((1, 80, 160, 999))
            calls[number][0].feed(lines[number][at[number] : at[number] + size])
            at[number] += size
            if numbers.random() < 0.2:
                vad_bank.step()
        run(vad_bank)
    for (_, events), line in zip(calls, lines, strict=True):
        assert len(events) > 4
        assert events == alone(line)


@pytest.mark.behaviour("SP-13")
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("chunk_ms", [10, 20, 30])
def test_each_window_follows_the_end_of_the_one_before_it(loud_model, rate, chunk_ms):
    slot, events = listen(VADBank(loud_model, rate, SystemClock()))
    audio, size = utterances(3), rate * chunk_ms // 1000
    for start in range(0, len(audio), size):
        slot.feed(audio[start : start + size])
    window, context = WINDOW * rate // 8000, CONTEXT * rate // 8000
    samples = np.concatenate([np.zeros(context), mulaw_decode(audio) / 32768]).astype(np.float32)
    heard = np.concatenate(loud_model.inputs)
    assert heard.shape == (len(audio) // window, context + window)
    for number, row in enumerate(heard):
        assert np.array_equal(row, samples[number * window :][: context + window])
    assert {event.kind for event in events} == {"speech_start", "speech_end"}
    for start, end in zip(events[::2], events[1::2], strict=False):
        assert end.duration_ms == (end.sample_position - start.sample_position) * 1000 / rate


def test_encodings_share_a_batch_and_are_scaled_to_one(vad_bank, loud_model):
    pcm = np.linspace(-32768, 32767, WINDOW * 2).astype(np.int16)
    payloads = {
        Encoding.PCM16: pcm.astype("<i2").tobytes(),
        Encoding.MULAW: mulaw_encode(pcm),
        Encoding.ALAW: alaw_encode(pcm),
    }
    order = [Encoding.MULAW, Encoding.PCM16, Encoding.ALAW, Encoding.PCM16, Encoding.MULAW]
    slots = [listen(vad_bank, encoding)[0] for encoding in order]
    for slot in slots:
        assert slot.format == AudioFormat(slot.format.encoding, 8000)
        slot.feed(payloads[slot.format.encoding])
    run(vad_bank)
    assert loud_model.batches == [5, 5]
    heard = np.concatenate([window[:, CONTEXT:] for window in loud_model.inputs], axis=1)
    assert np.array_equal(heard[1], (pcm / 32768).astype(np.float32))
    assert np.array_equal(heard[1], heard[3])
    assert np.array_equal(heard[0], heard[4])
    for row in heard:
        assert np.abs(row).max() <= 1
        assert np.abs(row - heard[1]).max() < 0.035  # a G.711 code is at most 1/31 off


def test_half_a_sample_is_refused_and_leaves_the_slot_as_it_was(vad_bank, loud_model):
    slot, _ = listen(vad_bank, Encoding.PCM16)
    slot.feed(b"\x00\x40" * 100)
    with pytest.raises(InputError, match="3 bytes"):
        slot.feed(b"\x00\x40\x00")
    slot.feed(b"\x00\x40" * 156)
    assert (loud_model.inputs[0][0, CONTEXT:] == 0.5).all()


def test_a_rate_that_the_model_does_not_take_is_refused(loud_model):
    with pytest.raises(ConfigError, match="Loudness takes audio at 8000 or 16000 Hz, not at 24000 Hz"):
        VADBank(loud_model, 24000, SystemClock())


def test_a_freed_slot_is_zeroed_and_used_again(vad_bank, loud_model):
    first, _ = listen(vad_bank)
    index = first.index
    first.feed(LOUD + LOUD[:100])
    first.close()
    first.close()
    first.feed(LOUD * 3)
    assert vad_bank.open_slots == 0
    second, _ = listen(vad_bank)
    assert second.index == index
    second.feed(QUIET)
    assert len(loud_model.inputs) == 2
    assert not loud_model.inputs[1].any()
    assert vad_bank._states[index].tolist() == [0, 1]


def test_a_closed_call_leaves_nothing_in_the_queue(vad_bank, loud_model):
    (leaving, _), (staying, _) = listen(vad_bank), listen(vad_bank)
    leaving.feed(LOUD * 3)
    staying.feed(LOUD)
    leaving.close()
    assert vad_bank.step() is False
    assert loud_model.batches == [1]


def test_a_call_that_remains_alone_is_judged_at_once_again(vad_bank, loud_model):
    (leaving, _), (staying, _) = listen(vad_bank), listen(vad_bank)
    leaving.close()
    staying.feed(LOUD)
    assert loud_model.batches == [1]


def test_a_reset_forgets_the_audio_but_goes_on_counting(vad_bank, loud_model):
    slot, events = listen(vad_bank)
    slot.feed(LOUD * 5 + LOUD[:100])
    assert [event.kind for event in events] == ["speech_start"]
    slot.reset()
    slot.feed(QUIET * 10)
    assert len(events) == 1  # no end
    assert not np.concatenate(loud_model.inputs[5:]).any()  # no context, no remainder
    slot.feed(LOUD * 5)
    # the smoothed level passes 0.5 in the second loud window
    assert events[1].sample_position == 5 * WINDOW + 100 + 11 * WINDOW


def test_a_result_that_a_reset_overtook_is_dropped(vad_bank):
    calls = {}

    def reset_other(event):
        calls["second"][0].reset()

    calls["first"] = vad_bank.open(Encoding.MULAW, reset_other)
    calls["second"] = listen(vad_bank)
    for _ in range(3):
        calls["first"].feed(LOUD)
        calls["second"][0].feed(LOUD)
        vad_bank.step()
    # both starts come with the third window, and the first call's event came first
    assert calls["second"][1] == []
    assert not vad_bank._states[calls["second"][0].index].any()


def test_an_event_may_close_feed_and_open_slots(vad_bank, loud_model):
    opened = []

    def close_all(event):
        for slot in slots:
            slot.close()
        opened.extend(listen(vad_bank) for _ in range(20))
        for slot, _ in opened:
            slot.feed(LOUD)

    slots = [vad_bank.open(Encoding.MULAW, close_all, on_failure=pytest.fail) for _ in range(8)]
    for slot in slots:
        slot.feed(LOUD * 3)
    run(vad_bank)
    assert loud_model.batches == [8, 8, 8, 20]
    assert vad_bank.open_slots == 20
    for slot, _ in opened:
        assert vad_bank._states[slot.index].tolist() == [pytest.approx(0.44, abs=0.05), 1]


def test_audio_fed_inside_an_event_is_judged_in_order(vad_bank):
    events = []

    def on_event(event):
        events.append(event)
        if len(events) == 1:
            slot.feed(QUIET * 8)

    slot = vad_bank.open(Encoding.MULAW, on_event, on_failure=pytest.fail)
    slot.feed(LOUD * 4)
    run(vad_bank)
    assert [event.kind for event in events] == ["speech_start", "speech_end"]
