"""What batching saves: the cost of one VAD window alone and among 32, and what the bank adds to the model's own."""

from __future__ import annotations

import statistics
import time

import numpy as np
import pytest

from patter.audio.formats import Encoding
from patter.call.vad_batching import VADBank
from patter.environment import Environment, SystemClock
from patter.plugins import SharedObjectPool
from patter.providers.context import ProviderContext

pytest.importorskip("onnxruntime")
from patter_silero.config import SileroConfig
from patter_silero.model import SileroModel

CALLS = 32
WINDOW = 256
ROUNDS = 100


@pytest.fixture(scope="module")
def model():
    return SileroModel(SileroConfig(), ProviderContext(Environment(), SharedObjectPool()))


def microseconds_per_window(model, calls):
    """Median over rounds in which every call is fed one window of noise."""
    bank = VADBank(model, 8000, SystemClock())
    slots = [bank.open(Encoding.MULAW, lambda event: None) for _ in range(calls)]
    noise = np.random.default_rng(1).integers(0, 256, (ROUNDS, WINDOW), np.uint8)
    costs = []
    for payload in map(bytes, noise):
        began = time.perf_counter()
        for slot in slots:
            slot.feed(payload)
        while bank.step():
            pass
        costs.append((time.perf_counter() - began) / calls * 1e6)
    return statistics.median(costs)


def microseconds_of_the_model(model, rows):
    """Median of bare inferences of so many rows, per row."""
    windows = np.random.default_rng(1).uniform(-1, 1, (rows, WINDOW + 32)).astype(np.float32)
    states = np.zeros((rows, *model.state_shape), np.float32)
    costs = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        _, states = model.infer(windows, states, 8000)
        costs.append((time.perf_counter() - began) / rows * 1e6)
    return statistics.median(costs)


@pytest.mark.bench
def test_a_window_among_32_costs_at_most_half_of_one_alone(model, record_property):
    for calls in (1, CALLS):  # warm
        microseconds_per_window(model, calls)
    alone, together = (microseconds_per_window(model, calls) for calls in (1, CALLS))
    record_property("alone_us", alone)
    record_property("together_us", together)
    print(f"one window: {alone:.0f} µs alone, {together:.0f} µs among {CALLS}, ratio {alone / together:.1f}")
    assert together <= alone / 2


@pytest.mark.bench
@pytest.mark.parametrize(("calls", "share"), [(1, 0.5), (CALLS, 0.3)])
def test_the_bank_adds_little_to_the_model(model, calls, share):
    microseconds_per_window(model, calls)
    bare, whole = microseconds_of_the_model(model, calls), microseconds_per_window(model, calls)
    print(f"{calls} calls: {bare:.0f} µs a window in the model, {whole:.0f} µs in all")
    assert whole <= bare * (1 + share)
