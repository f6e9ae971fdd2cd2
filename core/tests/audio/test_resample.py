"""Resampling as a stream: chunks, delay, length, state. What it does to the sound is in test_resample_quality."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio import Resampler
from patter.audio.resample import _table

RATES = [8000, 16000, 22050, 24000, 44100, 48000]
PAIRS = list(itertools.permutations(RATES, 2))
each_pair = pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)


def whole(rate_in, rate_out, pcm):
    resampler = Resampler(rate_in, rate_out)
    return np.concatenate([resampler.process(pcm), resampler.flush()])


def chunked(resampler, pcm, size):
    chunks = [resampler.process(pcm[at : at + size]) for at in range(0, pcm.size, size)]
    return np.concatenate([*chunks, resampler.flush()])


@each_pair
def test_frames_of_any_length_give_the_same_samples_as_one_block(rate_in, rate_out, noise):
    pcm = noise(rate_in)
    expected = whole(rate_in, rate_out, pcm)
    assert expected.dtype == np.int16
    for ms in (7, 20, 100):
        assert np.array_equal(chunked(Resampler(rate_in, rate_out), pcm, rate_in * ms // 1000), expected)


@given(
    pair=st.sampled_from(PAIRS),
    cuts=st.lists(st.integers(0, 1500), max_size=12),
    seed=st.integers(0, 1000),
)
@settings(derandomize=True, max_examples=120, deadline=None)
def test_cuts_anywhere_change_nothing(pair, cuts, seed):
    pcm = np.random.default_rng(seed).integers(-32768, 32768, 1500).astype(np.int16)
    resampler = Resampler(*pair)
    chunks = [resampler.process(part) for part in np.split(pcm, sorted(cuts))]
    assert np.array_equal(np.concatenate([*chunks, resampler.flush()]), whole(*pair, pcm))


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(8000, 16000), (24000, 8000), (22050, 8000), (8000, 44100)]
)
def test_sample_by_sample_and_with_empty_chunks(rate_in, rate_out, noise):
    pcm = noise(300)
    expected = whole(rate_in, rate_out, pcm)
    resampler = Resampler(rate_in, rate_out)
    chunks = []
    for sample in pcm:
        chunks += [resampler.process(np.array([sample])), resampler.process(pcm[:0])]
    assert np.array_equal(np.concatenate([*chunks, resampler.flush()]), expected)


@each_pair
def test_no_drift_over_a_minute(rate_in, rate_out, tone, fit):
    """Frames of 20 ms; the last second still has its phase, and the length is that of the input."""
    resampler, frame = Resampler(rate_in, rate_out), rate_in // 50
    pcm = tone(1000, rate_in, 60)
    converted = chunked(resampler, pcm, frame)
    assert converted.size == 60 * rate_out
    last = converted[-rate_out : -rate_out // 100]
    _, phase, _ = fit(last, 1000, rate_out, first=59 * rate_out)
    assert phase == pytest.approx(0, abs=0.001)


@each_pair
@pytest.mark.parametrize("samples", [0, 1, 2, 15, 16, 17, 159, 441, 1001])
def test_the_length_of_a_flushed_stream(rate_in, rate_out, samples):
    expected = -(-samples * rate_out // rate_in)
    assert whole(rate_in, rate_out, np.zeros(samples, np.int16)).size == expected


@each_pair
def test_what_is_held_back_is_short_constant_and_declared(rate_in, rate_out, noise):
    resampler = Resampler(rate_in, rate_out)
    assert 0 < resampler.delay_ms <= 6
    pcm, step, given_out, held = noise(rate_in // 2), max(1, rate_in // 1000), 0, []
    for at in range(0, pcm.size, step):
        given_out += resampler.process(pcm[at : at + step]).size
        taken_in = min(at + step, pcm.size)
        held.append(taken_in * 1000 / rate_in - given_out * 1000 / rate_out)
    assert max(held) <= resampler.delay_ms + 1e-9
    # From then on it moves by less than the one output sample that is not yet due.
    steady = [value for at, value in enumerate(held) if (at + 1) * step * 1000 / rate_in > resampler.delay_ms]
    assert min(steady) > resampler.delay_ms - 1000 / rate_out - 1e-9


@each_pair
def test_the_first_frame_gives_output_and_the_next_a_full_frame(rate_in, rate_out, noise):
    resampler, pcm = Resampler(rate_in, rate_out), noise(rate_in // 25)
    first, second = np.split(pcm, 2)
    assert resampler.process(first).size * 1000 / rate_out >= 20 - 6
    assert abs(resampler.process(second).size - rate_out / 50) <= 1


@each_pair
def test_an_impulse_stays_where_it_was(rate_in, rate_out):
    """The delay is in when samples come, never in where they lie."""
    pcm = np.zeros(rate_in // 5, np.int16)
    at = rate_in // 10
    pcm[at] = 20000
    converted = whole(rate_in, rate_out, pcm)
    assert np.abs(converted).argmax() == rate_out // 10
    # Linear phase: the same on both sides of it.
    peak = rate_out // 10
    assert np.array_equal(converted[peak - 30 : peak], converted[peak + 30 : peak : -1])


@each_pair
def test_after_flush_and_after_reset_a_new_stream_begins(rate_in, rate_out, noise):
    resampler, silence = Resampler(rate_in, rate_out), np.zeros(rate_in // 10, np.int16)
    resampler.process(noise(1001))
    resampler.flush()
    assert resampler.flush().size == 0
    assert not resampler.process(silence).any()
    resampler.reset()
    again = noise(777, seed=2)
    assert np.array_equal(chunked(resampler, again, 100), whole(rate_in, rate_out, again))
    resampler.process(noise(500))
    resampler.reset()
    assert not chunked(resampler, silence, 160).any()


def test_calls_and_directions_share_no_state(noise):
    """Two calls with the same pair of rates, taken in turns, against each alone."""
    first, second = noise(4000, seed=1), noise(4000, seed=2)
    a, b, back = Resampler(8000, 16000), Resampler(8000, 16000), Resampler(16000, 8000)
    from_a, from_b, returned = [], [], []
    for at in range(0, 4000, 160):
        from_a.append(a.process(first[at : at + 160]))
        from_b.append(b.process(second[at : at + 160]))
        returned.append(back.process(from_a[-1]))
        if at == 1600:
            back.reset()
    assert np.array_equal(np.concatenate([*from_a, a.flush()]), whole(8000, 16000, first))
    assert np.array_equal(np.concatenate([*from_b, b.flush()]), whole(8000, 16000, second))
    assert np.concatenate(returned).size < 4000


def test_equal_rates_pass_the_array_through(noise):
    resampler, pcm = Resampler(8000, 8000), noise(160)
    assert resampler.process(pcm) is pcm
    assert resampler.flush().size == 0
    assert resampler.delay_ms == 0


def test_the_given_samples_are_not_touched(noise):
    pcm = noise(480)
    pcm.setflags(write=False)
    kept = pcm.copy()
    resampler = Resampler(24000, 8000)
    resampler.process(pcm)
    resampler.process(pcm)
    assert np.array_equal(pcm, kept)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(7999, 8000), (8000, 48001), (0, 8000), (8000, -1)])
def test_rates_outside_of_telephony_are_refused(rate_in, rate_out):
    with pytest.raises(ValueError, match="from 8000 to 48000 Hz"):
        Resampler(rate_in, rate_out)


def test_rates_that_would_need_an_enormous_filter_are_refused():
    with pytest.raises(ValueError, match="from 8000 to 8001 Hz: their ratio is 8001:8000"):
        Resampler(8000, 8001)


@pytest.mark.parametrize("rate_out", [8000, 16000])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8, ">i2"])
def test_samples_of_another_type_are_refused(rate_out, dtype):
    with pytest.raises(TypeError, match="samples are int16"):
        Resampler(8000, rate_out).process(np.zeros(160, dtype))


def test_more_than_one_channel_is_refused():
    with pytest.raises(ValueError, match=r"\(160, 2\)"):
        Resampler(8000, 16000).process(np.zeros((160, 2), np.int16))


@each_pair
def test_sums_are_exact_and_the_shared_filter_cannot_be_changed(rate_in, rate_out):
    """What makes the result independent of chunks and machines: no sum of products needs more than 53 bits."""
    matrix = _table(rate_in, rate_out).matrix
    whole = matrix * 2**24
    assert np.array_equal(whole, np.rint(whole))
    assert np.abs(whole).sum(axis=0).max() * 2**15 < 2**53
    with pytest.raises(ValueError, match="read-only"):
        matrix[0, 0] = 1
    assert _table(rate_in, rate_out).matrix is matrix


@pytest.mark.parametrize(("rate_in", "rate_out"), [(24000, 8000), (8000, 16000)])
def test_a_long_chunk_leaves_nothing_behind(rate_in, rate_out, noise):
    resampler, pcm = Resampler(rate_in, rate_out), noise(rate_in * 10)
    tracemalloc.start()
    try:
        resampler.process(pcm)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 20_000
