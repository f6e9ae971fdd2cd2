"""A model that takes loudness for speech."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from patter.audio.formats import Encoding
from patter.audio.g711 import mulaw_encode
from patter.call.vad_batching import VADBank
from patter.call.vad_detection import Hysteresis, ProbabilityDetector
from patter.environment import SystemClock
from patter.providers.vad import VADModel

WINDOW = 256
CONTEXT = 32
LOUD, QUIET = b"\x80" * WINDOW, b"\xff" * WINDOW  # windows of full scale and of zeros


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
