"""What converting audio costs, as ratios to the bare arithmetic in the same process.

The yardstick is what no resampler on numpy can do without: one 20 ms frame to float, one filter product of the
size that 24 kHz to 8 kHz takes, rounding, clipping, back to int16. The rest of the cost is ours.
"""

from __future__ import annotations

import time
import timeit

import numpy as np
import pytest

from patter.audio import MULAW_8K, PCM16_16K, PCM16_24K, Converter, Resampler

pytestmark = pytest.mark.bench

ROUNDS = 15
CALLS = 400


def frame(rate, ms=20):
    return np.random.default_rng(1).integers(-20000, 20000, rate * ms // 1000).astype(np.int16)


def best_of_each(*functions):
    """CPU seconds per call of each over all threads, best of ROUNDS, in turns so that a busy moment spoils all alike."""
    timers = [timeit.Timer(function, timer=time.process_time) for function in functions]
    rounds = [[timer.timeit(CALLS) for timer in timers] for _ in range(ROUNDS)]
    return [min(times) / CALLS for times in zip(*rounds, strict=True)]


def bare_kernel():
    pcm, matrix = frame(24000), np.random.default_rng(2).standard_normal((141, 16)) / 141

    def kernel():
        samples = np.zeros(10 * 141)
        samples[: pcm.size] = pcm
        product = (samples.reshape(10, 141) @ matrix).reshape(-1)
        np.rint(product, out=product)
        np.clip(product, -32768, 32767, out=product)
        return product.astype(np.int16)

    return kernel


def ratio_to_bare_kernel(function):
    kernel, measured = best_of_each(bare_kernel(), function)
    return measured / kernel


@pytest.mark.parametrize(
    ("rate_in", "rate_out", "most"),
    [
        (8000, 16000, 3),
        (16000, 8000, 3),
        (24000, 8000, 3),
        (8000, 24000, 3),
        (48000, 8000, 3.5),
        (24000, 16000, 3),
        # Ratios without small terms: a product of ten times the size.
        (22050, 8000, 8),
        (44100, 8000, 8),
        (8000, 44100, 10),
    ],
)
def test_resampling_a_frame_costs_little_more_than_its_arithmetic(rate_in, rate_out, most):
    resampler, pcm = Resampler(rate_in, rate_out), frame(rate_in)
    assert ratio_to_bare_kernel(lambda: resampler.process(pcm)) < most


def test_a_second_at_once_wakes_no_other_thread():
    """A sentence may come in one piece. One thread does it for 8 frames' worth; several that spin, for 45 and more."""
    framed, at_once = Resampler(24000, 8000), Resampler(24000, 8000)
    short, long = frame(24000), frame(24000, 1000)
    in_frames, whole = best_of_each(lambda: framed.process(short), lambda: at_once.process(long))
    assert whole < 20 * in_frames


def test_both_directions_of_a_call_that_resamples():
    """mu-law to 16 kHz for the recogniser and 24 kHz speech to mu-law."""
    inbound, outbound = Converter(MULAW_8K, PCM16_16K), Converter(PCM16_24K, MULAW_8K)
    heard, spoken = bytes(160), frame(24000).tobytes()
    assert ratio_to_bare_kernel(lambda: (inbound.process(heard), outbound.process(spoken))) < 7


def test_audio_that_needs_no_conversion_costs_next_to_nothing():
    converter, data = Converter(MULAW_8K, MULAW_8K), bytes(160)
    assert ratio_to_bare_kernel(lambda: converter.process(data)) < 0.1


def test_a_new_resampler_shares_the_filter_of_the_first():
    Resampler(8000, 44100)
    assert ratio_to_bare_kernel(lambda: Resampler(8000, 44100)) < 1
