from __future__ import annotations

import logging

import numpy as np
import pytest

from patter.audio.formats import MULAW_8K, PCM16_8K
from patter.audio.g711 import mulaw_encode
from patter.call.input_chain import InputStages
from patter.call.listening import Listening
from patter.errors import InputError
from patter_noise_gate.config import NoiseGateConfig
from patter_noise_gate.gate import NoiseGate

RATE = 8000


def gate(**settings):
    return NoiseGate(NoiseGateConfig(**settings))


def noise(seconds, db, rate=RATE, seed=1):
    return np.random.default_rng(seed).standard_normal(round(seconds * rate)) * 10 ** (db / 20) * 32768


def voice(seconds, db=-20, rate=RATE):
    """A voiced sound of that level: harmonics of 140 Hz."""
    t = np.arange(round(seconds * rate)) / rate
    sound = sum(np.sin(2 * np.pi * 140 * n * t + n) / n for n in range(1, 12))
    return sound / sound.std() * 10 ** (db / 20) * 32768


def pcm(*parts):
    return np.clip(np.rint(np.concatenate(parts)), -32768, 32767).astype(np.int16)


def filtered(samples, one=None, size=160, rate=RATE):
    one = one or gate()
    return np.concatenate([one.process(samples[at : at + size], rate) for at in range(0, len(samples), size)])


def db(samples):
    return 10 * np.log10(np.mean((samples / 32768.0) ** 2) + 1e-12)


@pytest.mark.parametrize("level", [-60, -50, -40, -35])
@pytest.mark.parametrize("reduction", [6, 12, 24])
def test_noise_is_weakened_and_speech_is_not(level, reduction):
    line = pcm(noise(3, level), voice(1.5) + noise(1.5, level), noise(2, level, seed=2))
    result = filtered(line, gate(reduction_db=reduction))
    assert db(result[RATE : 3 * RATE]) == pytest.approx(level - reduction, abs=0.5)
    assert db(result[-RATE:]) == pytest.approx(level - reduction, abs=0.5)
    spoken = slice(3 * RATE, round(4.5 * RATE))
    assert db(result[spoken]) == pytest.approx(db(line[spoken]), abs=0.3)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
def test_adds_no_delay_at_any_rate(rate):
    line = pcm(noise(1, -50, rate), voice(0.5, rate=rate), noise(0.5, -50, rate))
    result = filtered(line, gate(high_pass_hz=0), size=rate // 50, rate=rate)
    middle = slice(rate, rate + rate // 2)
    assert np.array_equal(result[middle][rate // 500 :], line[middle][rate // 500 :])  # after 2 ms of attack
    with_high_pass = filtered(line, size=rate // 50, rate=rate)[middle].astype(float)
    lags = range(-rate // 100, rate // 100 + 1)
    match = [np.dot(with_high_pass, np.roll(line, lag)[middle].astype(float)) for lag in lags]
    assert abs(lags[int(np.argmax(match))]) <= rate * NoiseGate.latency_ms / 1000 + rate / 1000
    assert NoiseGate.latency_ms == 0


@pytest.mark.behaviour("SP-18")
@pytest.mark.parametrize("size", [1, 7, 80, 160, 161, 320, 1000, 8000])
def test_every_frame_keeps_its_length(size):
    one = gate()
    line = pcm(noise(1, -40), voice(0.5))
    for at in range(0, len(line), size):
        frame = line[at : at + size]
        result = one.process(frame, RATE)
        assert (len(result), result.dtype) == (len(frame), np.int16)
    assert len(one.process(np.zeros(0, np.int16), RATE)) == 0


@pytest.mark.behaviour("SP-18")
def test_a_call_whose_filter_breaks_goes_on_unfiltered(caplog):
    class Broken(NoiseGate):
        frames = 0

        def process(self, samples, rate):
            self.frames += 1
            if self.frames > 10:
                raise ZeroDivisionError
            return super().process(samples, rate)

    class Sink:
        format = MULAW_8K

        def __init__(self):
            self.heard = []

        def feed(self, payload):
            self.heard.append(payload)

        def close(self):
            pass

    sink = Sink()
    broken = Broken(NoiseGateConfig(high_pass_hz=300))
    stages = InputStages(8000, noise_filter=lambda samples: broken.process(samples, 8000))
    listening = Listening(MULAW_8K, None, sink, stages)
    payloads = [mulaw_encode(frame) for frame in np.split(pcm(voice(0.4)), 20)]
    with caplog.at_level(logging.WARNING):
        for payload in payloads:
            listening.audio(payload)
    assert [len(payload) for payload in sink.heard] == [160] * 20
    assert sink.heard[10:] == payloads[10:]
    assert all(heard != payload for heard, payload in zip(sink.heard[:10], payloads[:10], strict=True))
    assert len(caplog.records) == 1


def test_stays_open_for_the_hangover_and_then_closes_without_a_step():
    line = pcm(noise(1.5, -60), voice(0.5), np.zeros(RATE), noise(1, -60))
    line[2 * RATE : 3 * RATE] = 100  # a steady level, on which the gain can be read
    result = filtered(
        line, gate(high_pass_hz=0, hangover_ms=300, release_ms=50, threshold_db=20, reduction_db=20)
    )
    gain = result[2 * RATE : 3 * RATE] / 100
    closing = np.flatnonzero(gain < 1)[0] / RATE
    closed = np.flatnonzero(gain <= 0.1)[0] / RATE
    assert closing == pytest.approx(0.3, abs=0.02)
    assert closed - closing == pytest.approx(0.05, abs=0.01)
    assert np.diff(gain).min() > -0.02


def test_follows_a_noise_that_changes():
    line = pcm(noise(3, -60), noise(5, -35, seed=2), noise(3, -60, seed=3))
    result = filtered(line)
    assert db(result[2 * RATE : 3 * RATE]) == pytest.approx(-72, abs=0.5)
    assert db(result[3 * RATE + 400 : 4 * RATE]) == pytest.approx(-35, abs=0.5)  # it could be speech
    assert db(result[6 * RATE : 8 * RATE]) == pytest.approx(-47, abs=0.5)
    assert db(result[-2 * RATE :]) == pytest.approx(-72, abs=0.5)


def test_stays_open_until_it_knows_the_line():
    line = pcm(voice(0.4), noise(0.1, -60))
    result = filtered(line, gate(high_pass_hz=0))
    assert np.array_equal(result, line)


def test_silence_stays_silence():
    assert not filtered(np.zeros(2 * RATE, np.int16)).any()


def test_full_scale_does_not_wrap_around():
    square = np.where(np.arange(RATE // 2) // 40 % 2, 32767, -32768).astype(np.int16)
    result = filtered(square, gate(high_pass_hz=300))
    # each edge of a square overshoots full scale on its side
    edges = np.flatnonzero(np.diff(square.astype(int))) + 1
    assert set(result[edges].tolist()) == {32767, -32768}
    assert (np.sign(result[edges].astype(int)) == np.sign(square[edges].astype(int))).all()


def test_two_calls_at_once_hear_what_each_hears_alone():
    lines = [pcm(noise(1, -50, seed=seed), voice(0.5), noise(1, -50, seed=seed)) for seed in (1, 2)]
    gates = [gate(), gate()]
    results = [[], []]
    for at in range(0, len(lines[0]), 160):
        for one, line, result in zip(gates, lines, results, strict=True):
            result.append(one.process(line[at : at + 160], RATE))
    for line, result in zip(lines, results, strict=True):
        assert np.array_equal(np.concatenate(result), filtered(line))


def test_after_a_reset_or_at_another_rate_it_is_as_new():
    line = pcm(noise(1, -40), voice(0.5))
    one = gate()
    one.reset()
    filtered(line, one)
    one.reset()
    assert np.array_equal(filtered(line, one), filtered(line))
    assert np.array_equal(filtered(line, one, size=320, rate=16000), filtered(line, size=320, rate=16000))


def test_closing_is_allowed_before_the_first_frame_and_twice():
    one = gate()
    one.close()
    one.close()


@pytest.mark.parametrize(
    ("samples", "rate", "text"),
    [
        (np.zeros(160), RATE, "float64"),
        (np.zeros((160, 2), np.int16), RATE, r"shape \(160, 2\)"),
        (np.zeros(160, np.int16), 4000, "4000 Hz"),
        (np.zeros(160, np.int16), 96000, "96000 Hz"),
    ],
)
def test_audio_that_it_cannot_filter_is_refused(samples, rate, text):
    with pytest.raises(InputError, match=text):
        gate().process(samples, rate)


def test_the_input_is_left_as_it_was():
    frame = pcm(voice(0.02))
    frame.setflags(write=False)
    before = frame.copy()
    gate().process(frame, PCM16_8K.rate)
    assert np.array_equal(frame, before)
