from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from patter.audio.formats import Encoding
from patter.call.vad_batching import VADBank
from patter.environment import Environment, SystemClock
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.vad import VADModel
from patter_silero.config import SileroConfig
from patter_silero.model import SileroModel

DATA = Path(__file__).parent / "data"


class Recorded(VADModel):
    """A model that keeps what went in and came out."""

    def __init__(self, model):
        self._model = model
        self.rates = model.rates
        self.state_shape = model.state_shape
        self.windows, self.probabilities, self.batches = [], [], []

    def window_samples(self, rate):
        return self._model.window_samples(rate)

    def context_samples(self, rate):
        return self._model.context_samples(rate)

    def infer(self, windows, states, rate):
        probabilities, new_states = self._model.infer(windows, states, rate)
        self.windows.extend(windows.copy())
        self.probabilities.extend(probabilities.tolist())
        self.batches.append(len(windows))
        return probabilities, new_states

    def detector(self, rate):
        return self._model.detector(rate)

    def close(self):
        self._model.close()


@pytest.fixture(scope="session")
def shared():
    """What the calls of one phone share: the model is loaded once for all tests."""
    pool = SharedObjectPool()
    yield pool
    assert asyncio.run(pool.close()) == ()


@pytest.fixture
def make_model(shared):
    """Models that share one session, as core makes them: `make_model(activation=0.8)`."""

    def make(**settings):
        return SileroModel(SileroConfig(**settings), ProviderContext(Environment(), shared))

    return make


@pytest.fixture
def recorded(make_model):
    return Recorded(make_model())


@pytest.fixture
def speech():
    """µ-law bytes of a file: `speech("stop")`."""
    return lambda name: (DATA / f"{name}.ulaw").read_bytes()


@pytest.fixture
def silence():
    """Seconds of digital silence, µ-law: `silence(2)` at 8 kHz."""
    return lambda seconds, rate=8000: b"\xff" * int(seconds * rate)


@pytest.fixture
def hear(make_model):
    """The events of one call alone: `hear(audio, rate=8000, chunk=160)`."""

    def run(audio, *, rate=8000, chunk=160, encoding=Encoding.MULAW, model=None):
        bank = VADBank(model or make_model(), rate, SystemClock())
        events = []
        slot = bank.open(encoding, events.append, on_failure=pytest.fail)
        for start in range(0, len(audio), chunk):
            slot.feed(audio[start : start + chunk])
        while bank.step():
            pass
        slot.close()
        return events

    return run


@pytest.fixture
def noise():
    """PCM16 bytes of white noise of a level in dBFS (RMS)."""

    def make(seconds, level, rate=8000):
        samples = np.random.default_rng(7).standard_normal(seconds * rate) * 32768 * 10 ** (level / 20)
        return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()

    return make
