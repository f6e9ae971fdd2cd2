"""Test signals and how they are measured."""

from __future__ import annotations

import numpy as np
import pytest


def _tone(frequency, rate, seconds=1.0, amplitude=10000.0):
    instants = np.arange(round(rate * seconds)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * frequency * instants)).astype(np.int16)


def _fit(pcm, frequency, rate, first=0):
    """(amplitude, phase in rad, RMS of the rest) of the sine of that frequency in samples that begin at `first`."""
    angle = 2 * np.pi * frequency * (first + np.arange(pcm.size)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    weights = np.linalg.lstsq(basis, pcm.astype(np.float64), rcond=None)[0]
    rest = pcm - basis @ weights
    return np.hypot(*weights), np.arctan2(weights[1], weights[0]), np.sqrt(np.mean(rest**2))


@pytest.fixture(scope="session")
def tone():
    """int16 samples of a sine that begins with phase 0."""
    return _tone


@pytest.fixture(scope="session")
def fit():
    return _fit


@pytest.fixture(scope="session")
def noise():
    """Reproducible int16 samples over the full range."""

    def make(samples, seed=1):
        return np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)

    return make
