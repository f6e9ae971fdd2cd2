"""The high-pass: what it lets through, and that it is one stream however it is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.high_pass import HighPass

RATES = (8000, 16000, 24000, 48000)


def level_change_db(high_pass, pcm, skipped):
    out = high_pass.process(pcm)[skipped:].astype(float)
    given_pcm = pcm[skipped:].astype(float)
    return 20 * math.log10(max(np.sqrt((out**2).mean()), 0.1) / np.sqrt((given_pcm**2).mean()))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("cutoff_hz", [20, 80, 120, 400])
def test_the_level_is_3_db_lower_at_the_cutoff_and_falls_12_db_an_octave_below(rate, cutoff_hz, tone):
    """The magnitude of a second-order Butterworth high-pass: 1 / sqrt(1 + (cutoff / frequency)^4)."""
    for factor in (0.25, 0.5, 1, 2, 4):
        frequency = cutoff_hz * factor
        pcm = tone(frequency, rate, 1.0 + 10 / frequency, 20_000)
        expected = -10 * math.log10(1 + (1 / factor) ** 4)
        change = level_change_db(HighPass(cutoff_hz, rate), pcm, int(rate * 5 / frequency))
        assert change == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("rate", RATES)
def test_speech_frequencies_pass_and_hum_and_direct_current_do_not(rate, tone):
    for frequency in (300, 1000, 3000):
        assert level_change_db(HighPass(100, rate), tone(frequency, rate), rate // 4) == pytest.approx(
            0, abs=0.2
        )
    assert level_change_db(HighPass(100, rate), tone(25, rate, 2.0), rate) < -23
    assert not HighPass(100, rate).process(np.full(rate, 9000, np.int16))[rate // 4 :].any()


@given(
    rate=st.sampled_from(RATES),
    cuts=st.lists(st.integers(0, 1500), max_size=12),
    seed=st.integers(0, 1000),
    cutoff_hz=st.floats(20, 400),
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_cuts_anywhere_change_nothing_and_no_sample_is_held_back(rate, cuts, seed, cutoff_hz):
    pcm = np.random.default_rng(seed).integers(-32768, 32768, 1500).astype(np.int16)
    whole = HighPass(cutoff_hz, rate).process(pcm)
    assert whole.shape == pcm.shape
    assert whole.dtype == np.int16
    high_pass = HighPass(cutoff_hz, rate)
    parts = [high_pass.process(part) for part in np.split(pcm, sorted(cuts))]
    # A sum of another order may round a half the other way.
    assert np.abs(np.concatenate(parts).astype(int) - whole).max() <= 1


def test_it_is_the_recursive_filter_sample_by_sample():
    """The difference equation itself, over noise."""
    pcm = np.random.default_rng(5).integers(-8000, 8000, 700).astype(np.int16)
    warped = math.tan(math.pi * 150 / 8000)
    scale = 1 / (1 + math.sqrt(2) * warped + warped**2)
    a1, a2 = 2 * scale * (warped**2 - 1), scale * (1 - math.sqrt(2) * warped + warped**2)
    x1 = x2 = y1 = y2 = 0.0
    expected = []
    for x in pcm.tolist():
        y = scale * (x - 2 * x1 + x2) - a1 * y1 - a2 * y2
        x1, x2, y1, y2 = x, x1, y, y1
        expected.append(y)
    assert np.abs(HighPass(150, 8000).process(pcm) - np.array(expected)).max() <= 0.51


def test_loud_audio_is_clipped_and_never_wraps():
    square = np.repeat(np.array([32767, -32768] * 50, np.int16), 8)
    out = HighPass(100, 8000).process(square)
    assert out.max() == 32767
    assert out.min() == -32768
    assert np.array_equal(np.sign(out), np.sign(square))


def test_reset_begins_a_new_stream(noise):
    fresh, used = HighPass(100, 8000), HighPass(100, 8000)
    used.process(noise(1000))
    used.reset()
    assert np.array_equal(fresh.process(noise(500, seed=2)), used.process(noise(500, seed=2)))


def test_silence_after_speech_fades_to_nothing_and_to_no_tiny_numbers(noise):
    high_pass = HighPass(100, 8000)
    high_pass.process(noise(1000))
    for _ in range(100):
        last = high_pass.process(np.zeros(160, np.int16))
    assert not last.any()
    assert not high_pass._state.any()


@pytest.mark.parametrize(
    ("cutoff_hz", "rate"), [(19, 8000), (401, 8000), (math.nan, 8000), (100, 7999), (100, 96000)]
)
def test_values_that_cannot_work_are_refused(cutoff_hz, rate):
    with pytest.raises(ValueError, match="from"):
        HighPass(cutoff_hz, rate)


def test_samples_are_int16():
    with pytest.raises(TypeError, match="int16"):
        HighPass(100, 8000).process(np.zeros(160))
