"""What an engine's audio costs: its conversion against the bare numpy of the same work, measured beside it.

The bare work for a piece of audio is what nothing on numpy can do without: bytes to samples, one filter product of the
size that these two rates take, rounding, clipping, the table of µ-law, samples to bytes.
"""

from __future__ import annotations

import time
import timeit
from types import SimpleNamespace

import numpy as np
import pytest

from patter.audio import MULAW_8K, PCM16_24K, Converter
from patter.call.realtime_responses import Response
from patter.call.realtime_speech import SLICE_MS, EngineSpeech

ROUNDS = 25
CALLS = 100
#: what an engine sends at a time, in ms
DELTA_MS = 200
ENCODE = np.random.default_rng(3).integers(0, 256, 1 << 16).astype(np.uint8)
DECODE = np.random.default_rng(4).integers(-30000, 30000, 256).astype(np.int16)


def speech(ms: int) -> bytes:
    """Loud noise at 24 kHz."""
    return np.random.default_rng(1).integers(-20000, 20000, 24 * ms).astype("<i2").tobytes()


def bare_product(pcm: np.ndarray, columns: int, matrix: np.ndarray) -> np.ndarray:
    rows = -(-pcm.size // columns)
    samples = np.zeros(rows * matrix.shape[0])
    samples[: pcm.size] = pcm
    product = (samples.reshape(rows, -1) @ matrix).reshape(-1)
    np.rint(product, out=product)
    np.clip(product, -32768, 32767, out=product)
    return product.astype(np.int16)


def bare_outbound(audio: bytes):
    """24 kHz to µ-law, in slices."""
    matrix = np.random.default_rng(2).standard_normal((141, 16)) / 141
    step = PCM16_24K.bytes_for_ms(SLICE_MS)

    def kernel() -> bytes:
        parts = []
        for at in range(0, len(audio), step):
            pcm = np.frombuffer(audio[at : at + step], dtype="<i2")
            parts.append(ENCODE[bare_product(pcm, 48, matrix).view(np.uint16)].tobytes())
        return b"".join(parts)

    return kernel


def bare_inbound(frame: bytes):
    """One frame of µ-law to 24 kHz."""
    matrix = np.random.default_rng(2).standard_normal((47, 48)) / 47

    def kernel() -> bytes:
        pcm = DECODE[np.frombuffer(frame, dtype=np.uint8)]
        return bare_product(pcm, 16, matrix).astype("<i2").tobytes()

    return kernel


def ratio(bare, measured) -> float:
    """CPU time of one to that of the other, the best of each, in turns so that a busy moment spoils both alike."""
    timers = [timeit.Timer(function, timer=time.process_time) for function in (bare, measured)]
    rounds = [[timer.timeit(CALLS) for timer in timers] for _ in range(ROUNDS)]
    best = [min(times) for times in zip(*rounds, strict=True)]
    return best[1] / best[0]


def engine_speech() -> tuple[EngineSpeech, Response]:
    """What converts an engine's audio in a µ-law call."""
    machine = SimpleNamespace(playout=SimpleNamespace(format=MULAW_8K))
    return EngineSpeech(machine, None, lambda: PCM16_24K), Response("response")


@pytest.mark.bench
def test_what_an_engine_says_costs_at_most_twice_its_arithmetic():
    made, response = engine_speech()
    audio = speech(DELTA_MS)
    assert ratio(bare_outbound(audio), lambda: made._converted(response, audio)) <= 2


@pytest.mark.bench
def test_what_an_engine_hears_costs_at_most_twice_its_arithmetic():
    frame, converter = bytes(range(160)), Converter(MULAW_8K, PCM16_24K)
    assert ratio(bare_inbound(frame), lambda: converter.process(frame)) <= 2


@pytest.mark.parametrize("ms", [20, 40, 41, 200, 3000])
def test_no_delta_is_converted_in_slices_of_more_than_40_ms(ms):
    slices = []

    class Noting(Converter):
        def process(self, data: bytes) -> bytes:
            slices.append(self.source.duration_ms(len(data)))
            return super().process(data)

    made, response = engine_speech()
    response.converter = Noting(PCM16_24K, MULAW_8K)
    audio = speech(ms)
    converted = made._converted(response, audio) + response.converter.flush()
    assert max(slices) <= 40
    assert sum(slices) == ms
    whole = Converter(PCM16_24K, MULAW_8K)
    assert converted == whole.process(audio) + whole.flush()
