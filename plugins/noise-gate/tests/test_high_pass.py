from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter_noise_gate.high_pass import HighPass, _coefficients


def level_db(frequency, cutoff, rate):
    """Gain for a sine, after the filter has settled."""
    sine = np.sin(2 * np.pi * frequency * np.arange(2 * rate) / rate)
    filtered = HighPass(cutoff, rate).process(sine)[rate:]
    return 10 * np.log10(np.mean(filtered**2) / np.mean(sine[rate:] ** 2))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_response_is_butterworths(rate):
    assert level_db(80, 80, rate) == pytest.approx(-3.01, abs=0.05)
    assert level_db(50, 80, rate) == pytest.approx(-8.8, abs=0.2)
    assert level_db(300, 80, rate) == pytest.approx(0, abs=0.05)
    assert level_db(3000, 80, rate) == pytest.approx(0, abs=0.01)


def test_a_constant_fades_to_nothing():
    assert np.abs(HighPass(80, 8000).process(np.ones(8000))[-4000:]).max() < 1e-9


@settings(max_examples=30)
@given(st.lists(st.integers(0, 400), max_size=8), st.integers(0, 2**32 - 1))
def test_equals_the_recursion_sample_by_sample_in_any_cut(sizes, seed):
    samples = np.random.default_rng(seed).uniform(-1, 1, sum(sizes))
    blocks = HighPass(80, 8000)
    filtered = [blocks.process(part) for part in np.split(samples, np.cumsum(sizes)[:-1])] if sizes else []
    (b0, b1, b2), (a1, a2) = _coefficients(80, 8000)
    expected, first, second = [], 0.0, 0.0
    for x in samples:
        y = b0 * x + first
        first, second = b1 * x - a1 * y + second, b2 * x - a2 * y
        expected.append(y)
    assert np.allclose(np.concatenate([*filtered, []]), expected, atol=1e-12)
