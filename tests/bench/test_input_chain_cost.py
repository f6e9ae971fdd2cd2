"""What the stages of the input chain cost for a frame of 20 ms, as ratios to the bare arithmetic in the same process.

The yardstick is a filter product with 64 taps over the frame at 8 kHz: to float, product, rounding, clipping, back.
"""

from __future__ import annotations

import itertools
import time
import timeit

import numpy as np
import pytest

from patter import Agent
from patter.audio.echo_cancellation import EchoCanceller
from patter.audio.formats import MULAW_8K, PCM16_16K
from patter.audio.gain_control import GainControl
from patter.audio.high_pass import HighPass
from patter.call.input_stages import make_stages
from patter.call.listening import Listening

pytestmark = pytest.mark.bench

ROUNDS = 15
CALLS = 300


def speech(rate):
    """A frame that is neither silent nor near clipping."""
    return np.random.default_rng(1).integers(-5000, 5000, rate // 50).astype(np.int16)


def best_of_each(*functions):
    """CPU seconds per call of each, best of ROUNDS, in turns so that a busy moment spoils all alike."""
    timers = [timeit.Timer(function, timer=time.process_time) for function in functions]
    rounds = [[timer.timeit(CALLS) for timer in timers] for _ in range(ROUNDS)]
    return [min(times) / CALLS for times in zip(*rounds, strict=True)]


def product():
    pcm, taps = speech(8000), np.random.default_rng(2).standard_normal(64) / 64

    def kernel():
        samples = np.zeros(160 + 63)
        samples[63:] = pcm
        filtered = np.lib.stride_tricks.sliding_window_view(samples, 64) @ taps
        np.rint(filtered, out=filtered)
        np.clip(filtered, -32768, 32767, out=filtered)
        return filtered.astype(np.int16)

    return kernel


def ratio_to_product(function):
    kernel, measured = best_of_each(product(), function)
    return measured / kernel


@pytest.mark.parametrize(("rate", "most"), [(8000, 2), (16000, 4)])
def test_a_high_pass(rate, most):
    high_pass, pcm = HighPass(100, rate), speech(rate)
    assert shown("high-pass", ratio_to_product(lambda: high_pass.process(pcm))) < most


@pytest.mark.parametrize("rate", [8000, 16000])
def test_gain_control(rate):
    control, pcm = GainControl(-26.0, rate), speech(rate)
    assert shown("gain control", ratio_to_product(lambda: control.process(pcm))) < 3


@pytest.mark.parametrize(("rate", "most"), [(8000, 12), (16000, 24)])
def test_an_echo_canceller_that_learns(rate, most):
    random = np.random.default_rng(3)
    far = [random.integers(-5000, 5000, rate // 50).astype(np.int16) for _ in range(50)]
    frames = itertools.cycle([(frame // 4 + speech(rate) // 8, frame) for frame in far])
    canceller = EchoCanceller(rate)
    ratio = shown("echo canceller", ratio_to_product(lambda: canceller.process(*next(frames))))
    assert canceller.response.any()
    assert ratio < most


def test_an_echo_canceller_while_the_agent_is_silent_costs_next_to_nothing():
    canceller, near = EchoCanceller(8000), speech(8000)
    assert shown("echo canceller at rest", ratio_to_product(lambda: canceller.process(near, None))) < 0.1


class Sink:
    """Takes audio and does nothing with it."""

    def __init__(self, audio_format):
        self.format = audio_format

    def send(self, chunk):
        pass

    feed = send


def listening(stt_format=MULAW_8K, **options):
    clock = itertools.count(0.0, 0.02)
    parts = make_stages(
        Agent(stt="any", **options), MULAW_8K, stt_format, None, (lambda: next(clock), lambda: 0.0)
    )
    return Listening(MULAW_8K, Sink(stt_format), Sink(MULAW_8K), parts.stages), parts.reference


def test_a_chain_with_no_stage_on_costs_a_call_for_each_taker():
    untouched, _ = listening()
    payload = bytes(160)

    def two_calls():
        untouched_send(payload)
        untouched_send(payload)

    untouched_send = Sink(MULAW_8K).send
    bare, measured = best_of_each(two_calls, lambda: untouched.audio(payload))
    print(f"no stage: {measured / bare:.2f} times two calls")
    assert measured < 4 * bare


def test_the_whole_chain_stays_far_below_a_frame():
    """All stages on, at the STT's 16 kHz, while the agent speaks; a frame every 20 ms would allow some hundred."""
    chain, reference = listening(PCM16_16K, high_pass_hz=100, echo_cancellation=True, gain_control=True)
    spoken, heard = bytes(range(160)), bytes(range(96, 256))
    times = itertools.count(0.0, 0.02)

    def both_ways():
        reference.sent(spoken, next(times))
        chain.audio(heard)

    assert shown("the whole chain", ratio_to_product(both_ways)) < 30


def shown(name, ratio):
    print(f"{name}: {ratio:.2f} products")
    return ratio
