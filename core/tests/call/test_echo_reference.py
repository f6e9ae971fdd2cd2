"""What the echo canceller compares with: the agent's audio as the carrier plays it, beside the caller's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.formats import MULAW_8K, PCM16_16K, Encoding
from patter.audio.g711 import decode, encode
from patter.audio.mixing import level_dbfs
from patter.audio.resample import Resampler
from patter.call.echo_reference import EchoReference, EchoStage

FRAME_S = 0.02
CHUNK_S = 0.04
AHEAD_S = 0.2


def noise(seconds, rate, seed=1):
    wave = np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 4000
    return np.rint(wave).clip(-32768, 32767).astype(np.int16)


def spoken(audio, audio_format, start=0.0):
    """(time, payload) of the chunks of a turn, sent up to 200 ms ahead of their being played."""
    size = int(CHUNK_S * audio_format.rate)
    for number, at in enumerate(range(0, audio.size, size)):
        yield (
            start + max(0.0, number * CHUNK_S - AHEAD_S),
            encode(audio[at : at + size], audio_format.encoding),
        )


class Line:
    """A carrier that plays what it gets, and a caller's telephone that sends the echo of it back.

    It takes `out_s` to the carrier and `in_s` from there; frames come up to `jitter_s` late.
    """

    def __init__(self, audio_format=MULAW_8K, *, out_s=0.0, in_s=0.0, jitter_s=0.0, echo_ms=10.0):
        self.format = audio_format
        self.out_s, self.in_s = out_s, in_s
        self._jitter = np.random.default_rng(3).uniform(0, jitter_s, 2000)
        self._taps = np.zeros(int(0.032 * audio_format.rate))
        self._taps[int(echo_ms * audio_format.rate / 1000) :][:20] = np.linspace(0.3, 0.02, 20)

    def run(self, chunks, seconds, reference, clock, stage=None, clears=()):
        """Returns what was heard at the caller's end and what the stage made of it, or the reference for it."""
        rate = self.format.rate
        played = np.zeros(round((seconds + 1) * rate))
        until = 0.0
        for t, payload in chunks:
            samples = decode(payload, self.format.encoding)
            start = max(t + self.out_s, until)
            until = start + samples.size / rate
            played[round(start * rate) :][: samples.size] = samples
        echo = np.rint(np.convolve(played, self._taps)[: played.size]).astype(np.int16)
        events = [(t, 1, payload) for t, payload in chunks] + [(t, 2, None) for t in clears]
        count = round(seconds / FRAME_S)
        events += [
            ((number + 1) * FRAME_S + self.in_s + self._jitter[number], 0, number) for number in range(count)
        ]
        near, out, size = [], [], round(FRAME_S * rate)
        for t, kind, what in sorted(events, key=lambda event: event[:2]):
            clock[0] = t
            if kind == 1:
                reference.sent(what, t)
            elif kind == 2:
                reference.cleared(t)
            else:
                frame = echo[what * size : (what + 1) * size]
                near.append(frame)
                out.append(stage(frame) if stage is not None else reference.take(frame.size))
        return near, out


def made(line, rate, lag_ms=0.0):
    clock = [0.0]
    return EchoReference(line.format, rate, lambda: clock[0], lambda: lag_ms), clock


def echo_loss_db(line, rate, lag_ms, from_s=3.0):
    """How much of the echo is gone, in dB, when the chain works at `rate`, from that second on."""
    reference, clock = made(line, rate, lag_ms)
    stage, resampler = EchoStage(reference, rate), Resampler(line.format.rate, rate)
    turn = list(spoken(noise(6.0, line.format.rate), line.format, start=0.313))
    before = []

    def process(frame):
        before.append(resampler.process(frame))
        return stage.process(before[-1])

    _, out = line.run(turn, 6.0, reference, clock, process)
    first = round(from_s / FRAME_S)
    return level_dbfs(np.concatenate(before[first:])) - level_dbfs(np.concatenate(out[first:]))


@pytest.mark.parametrize("echo_ms", [0, 10, 28])
@pytest.mark.parametrize(("audio_format", "rate"), [(MULAW_8K, 8000), (MULAW_8K, 16000), (PCM16_16K, 8000)])
def test_the_echo_of_what_a_near_carrier_plays_is_taken_out(audio_format, rate, echo_ms):
    assert echo_loss_db(Line(audio_format, echo_ms=echo_ms), rate, 0.0, from_s=2.0) >= 10


@pytest.mark.parametrize("rate", [8000, 16000])
def test_the_lag_that_marks_show_brings_a_far_carrier_near(rate):
    far_away = Line(out_s=0.07, in_s=0.06, echo_ms=10)
    assert echo_loss_db(far_away, rate, 130.0) >= 10
    # Without it, the echo comes later than the taps reach.
    assert echo_loss_db(far_away, rate, 0.0) < 3


def test_a_lag_measured_some_ms_wrong_does_no_harm_at_8_khz():
    far_away = Line(out_s=0.07, in_s=0.06, echo_ms=20)
    for lag_ms in (122.0, 137.0):
        assert echo_loss_db(far_away, 8000, lag_ms) >= 10


def test_frames_that_come_late_are_compared_with_the_right_audio():
    """They are counted, not timed: an echo compared with audio of a few ms later each time would never be learnt."""
    assert echo_loss_db(Line(in_s=0.03, jitter_s=0.018), 8000, 30.0) >= 10


def test_where_nothing_is_played_there_is_no_reference():
    line = Line()
    reference, clock = made(line, 8000)
    turn = list(spoken(noise(0.4, 8000), MULAW_8K, start=1.0))
    _, references = line.run(turn, 2.0, reference, clock)
    sounding = [number for number, one in enumerate(references) if one is not None]
    assert sounding[0] * FRAME_S == pytest.approx(1.0, abs=0.021)
    assert (sounding[-1] + 1) * FRAME_S == pytest.approx(1.4, abs=0.021)
    assert sounding == list(range(sounding[0], sounding[-1] + 1))


def test_what_was_played_is_the_reference_sample_for_sample():
    """8 ms ahead, which are there for a lag that is measured too long."""
    line = Line()
    reference, clock = made(line, 8000)
    audio = decode(encode(noise(1.0, 8000), Encoding.MULAW), Encoding.MULAW)
    _, references = line.run(list(spoken(audio, MULAW_8K)), 1.2, reference, clock)
    whole = np.concatenate([one if one is not None else np.zeros(160, np.int16) for one in references])
    assert np.array_equal(whole[: 8000 - 64], audio[64:])
    assert not whole[8000 - 64 :].any()


def test_a_clear_takes_back_what_was_not_played():
    line = Line()
    reference, clock = made(line, 8000)
    turn = [(t, payload) for t, payload in spoken(noise(2.0, 8000), MULAW_8K) if t < 0.5]
    later = [(t + 0.6, payload) for t, payload in spoken(noise(0.2, 8000, seed=2), MULAW_8K)]
    _, references = line.run([*turn, *later], 1.2, reference, clock, clears=[0.5])
    silent = [number for number, one in enumerate(references) if one is None]
    # Played up to 0.5 s and again from 0.6 s to 0.8 s, give or take the 8 ms and a frame.
    assert {26, 27, 28} <= set(silent)
    assert not {10, 24, 31, 38} & set(silent)
    assert set(range(41, 60)) <= set(silent)


def test_a_small_change_of_the_lag_moves_nothing_and_a_large_one_is_learnt_anew():
    clock, lag = [0.0], [40.0]
    reference = EchoReference(MULAW_8K, 8000, lambda: clock[0], lambda: lag[0])
    for number in range(200):
        clock[0] = (number + 1) * FRAME_S
        lag[0] = {100: 47.0, 150: 90.0}.get(number, lag[0])
        reference.take(160)
        assert reference.shifts == int(number >= 150)


def test_a_line_that_loses_a_second_of_frames_is_brought_together_again():
    clock = [0.0]
    reference = EchoReference(MULAW_8K, 8000, lambda: clock[0], lambda: 0.0)
    for number in range(200):
        clock[0] = (number + 1) * FRAME_S + (1.0 if number >= 100 else 0.0)
        reference.take(160)
    assert reference.shifts == 1


@given(
    chunks=st.lists(st.integers(0, 2000), max_size=40),
    steps=st.lists(st.integers(0, 500), max_size=60),
    clears=st.sets(st.integers(0, 60)),
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_any_order_of_sending_clearing_and_taking_gives_whole_frames_and_stays_small(chunks, steps, clears):
    clock = [0.0]
    reference = EchoReference(MULAW_8K, 16000, lambda: clock[0], lambda: 20.0)
    for number, step in enumerate(steps):
        clock[0] += step / 1000
        for size in chunks[number::7]:
            reference.sent(bytes([number]) * size, clock[0])
        if number in clears:
            reference.cleared(clock[0])
        taken = reference.take(step)
        assert taken is None or (taken.dtype, taken.shape) == (np.dtype(np.int16), (step,))


def test_audio_that_nobody_asks_for_is_forgotten():
    clock = [0.0]
    reference = EchoReference(MULAW_8K, 8000, lambda: clock[0], lambda: 0.0)
    for number in range(5000):
        clock[0] = number * CHUNK_S
        reference.sent(b"\x10" * 320, clock[0])
    assert sum(samples.size for _, samples in reference._played) <= 5 * 8000
