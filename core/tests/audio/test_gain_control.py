"""Gain control: where speech ends up, and what it leaves alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.gain_control import GainControl
from patter.audio.mixing import level_dbfs


def speech(level_dbfs_, seconds, rate=8000, seed=1):
    """Noise in syllables of 150 ms with pauses of 50 ms, of that level while it sounds."""
    pcm = np.random.default_rng(seed).standard_normal(int(rate * seconds))
    pcm *= 32768 * 10 ** (level_dbfs_ / 20)
    pcm[np.arange(pcm.size) % (rate // 5) >= rate * 3 // 20] = 0
    return np.rint(pcm).clip(-32768, 32767).astype(np.int16)


def level_of_syllables(pcm, rate=8000):
    return level_dbfs(pcm[np.arange(pcm.size) % (rate // 5) < rate * 3 // 20])


def levelled(control, pcm, size=160):
    return np.concatenate([control.process(pcm[at : at + size]) for at in range(0, pcm.size, size)])


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("level", [-45, -38, -26, -18, -12])
@pytest.mark.parametrize("target", [-30.0, -26.0, -20.0])
def test_speech_of_any_level_comes_to_the_target(rate, level, target):
    control = GainControl(target, rate)
    heard = levelled(control, speech(level, 8.0, rate), rate // 50)[-rate * 2 :]
    wanted = max(level - 24, min(level + 24, target))
    assert level_of_syllables(heard, rate) == pytest.approx(wanted, abs=3)


@given(level=st.floats(-60, -3), target=st.floats(-40, -10), sizes=st.lists(st.integers(0, 700), max_size=20))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_a_frame_keeps_its_length_the_gain_its_bounds_and_nothing_is_clipped(level, target, sizes):
    control = GainControl(target, 8000)
    pcm, at = speech(level, 2.0), 0
    pcm = (pcm // 2 * 2).clip(-32000, 32000).astype(np.int16)
    for size in [*sizes, 160, 160, 160]:
        frame = pcm[at : at + size]
        out = control.process(frame)
        at += size
        assert out.shape == frame.shape
        assert out.dtype == np.int16
        assert -24.001 <= control.gain_db <= 24.001
        assert (np.abs(out.astype(int)) < 32768).all()
        # A gain has one sign: it changes how loud a sample is and nothing else.
        assert (out.astype(int) * frame >= 0).all()


def test_a_quiet_line_is_not_raised():
    control = GainControl(-26.0, 8000)
    hiss = speech(-60, 5.0)
    assert levelled(control, hiss) is not None
    assert control.gain_db == 0
    assert np.array_equal(levelled(control, hiss), hiss)


def test_the_gain_stands_still_in_a_pause():
    control = GainControl(-26.0, 8000)
    levelled(control, speech(-40, 5.0))
    gain = control.gain_db
    assert gain > 10
    levelled(control, np.zeros(8000 * 3, np.int16))
    assert control.gain_db == gain


def test_the_gain_moves_slowly_upwards_and_faster_downwards():
    control = GainControl(-26.0, 8000)
    levelled(control, speech(-44, 0.5))
    assert 0 < control.gain_db <= 6.1
    control = GainControl(-26.0, 8000)
    levelled(control, speech(-10, 0.2))
    assert -8.1 <= control.gain_db < -3


def test_a_sudden_shout_is_turned_down_within_its_first_frame():
    control = GainControl(-20.0, 8000)
    levelled(control, speech(-44, 4.0))
    assert control.gain_db > 15
    shout = (np.sin(np.arange(160) * 2 * np.pi * 400 / 8000) * 30_000).astype(np.int16)
    out = control.process(shout)
    assert np.abs(out - shout * (32767 / 30_000)).max() <= 2
    assert control.gain_db < 1


def test_what_needs_no_gain_passes_as_it_is():
    frame = np.zeros(160, np.int16)
    assert GainControl(-26.0, 8000).process(frame) is frame


def test_reset_begins_a_new_stream():
    fresh, used = GainControl(-26.0, 8000), GainControl(-26.0, 8000)
    levelled(used, speech(-40, 3.0))
    used.reset()
    assert np.array_equal(levelled(fresh, speech(-30, 1.0)), levelled(used, speech(-30, 1.0)))


@pytest.mark.parametrize(("target", "rate"), [(-41, 8000), (-9, 8000), (math.nan, 8000), (-26, 4000)])
def test_values_that_cannot_work_are_refused(target, rate):
    with pytest.raises(ValueError, match="from"):
        GainControl(target, rate)


def test_samples_are_int16():
    with pytest.raises(TypeError, match="int16"):
        GainControl(-26.0, 8000).process(np.zeros(160))
