from __future__ import annotations

import math

import numpy as np
import pytest

from patter.audio import level_dbfs, mix


def int16(*values):
    return np.array(values, np.int16)


def test_adds_sample_by_sample():
    mixed = mix(int16(1, 2, -3), int16(10, -20, 30))
    assert mixed.dtype == np.int16
    assert mixed.tolist() == [11, -18, 27]


def test_saturates_and_never_wraps():
    loud = int16(32767, -32768, 30000, -30000)
    assert mix(loud, loud).tolist() == [32767, -32768, 32767, -32768]
    assert mix(loud, loud, gain=-1000.0).tolist() == [-32768, 32767, -32768, 32767]


def test_gain_is_a_factor_on_the_second():
    assert mix(int16(100, 100), int16(1000, -1000), gain=0.5).tolist() == [600, -400]
    assert mix(int16(100, -32768), int16(7, 7), gain=0.0).tolist() == [100, -32768]


def test_the_shorter_is_continued_in_silence():
    assert mix(int16(1), int16(1, 2, 3)).tolist() == [2, 2, 3]
    assert mix(int16(1, 2, 3), int16()).tolist() == [1, 2, 3]


def test_leaves_its_arguments_alone():
    a, b = int16(1, 2), int16(3, 4)
    mix(a, b, gain=2.0)
    assert (a.tolist(), b.tolist()) == ([1, 2], [3, 4])


def test_levels(tone):
    assert level_dbfs(tone(1000, 8000, amplitude=32767)) == pytest.approx(-3.01, abs=0.01)
    assert level_dbfs(np.full(160, -32768, np.int16)) == 0.0
    half, whole = (level_dbfs(tone(440, 16000, amplitude=amplitude)) for amplitude in (8000, 16000))
    assert whole - half == pytest.approx(6.02, abs=0.01)
    assert level_dbfs(np.zeros(160, np.int16)) == -math.inf
    assert level_dbfs(int16()) == -math.inf
