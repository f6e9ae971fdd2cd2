"""The echo canceller: how much echo it takes, how fast, and what it leaves of the caller."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio.echo_cancellation import (
    DOUBLE_TALK,
    FIRST_S,
    FIRST_STEP,
    STEP,
    TAPS,
    EchoCanceller,
)
from patter.audio.g711 import mulaw_decode, mulaw_encode
from patter.audio.mixing import level_dbfs


def noise_like(seconds, rate, seed=1, level=4000):
    return np.rint(np.random.default_rng(seed).standard_normal(int(seconds * rate)) * level).clip(
        -32768, 32767
    )


def path(rate, delay_ms, gain, seed=1):
    """A reverberant way that begins after the delay and ends before 32 ms; its power gain is `gain` squared."""
    taps = np.zeros(rate * 32 // 1000)
    start = int(delay_ms * rate / 1000)
    tail = taps.size - start
    reverberation = np.random.default_rng(seed + 100).standard_normal(tail) * np.exp(
        -np.arange(tail) / (rate * 0.004)
    )
    taps[start:] = reverberation / np.linalg.norm(reverberation) * gain
    return taps


def samples(wave):
    return np.rint(wave).clip(-32768, 32767).astype(np.int16)


def echo_of(agent, taps):
    return np.convolve(agent, taps)[: agent.size]


def cleaned(canceller, near, far, size=160):
    frames = [
        canceller.process(near[at : at + size], far[at : at + size]) for at in range(0, near.size, size)
    ]
    return np.concatenate(frames)


def loss_db(before, after, rate, from_s, to_s):
    part = slice(int(from_s * rate), int(to_s * rate))
    return level_dbfs(before[part]) - level_dbfs(after[part])


@pytest.mark.behaviour("SP-20")
@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("delay_ms", [0, 5, 16, 31])
@pytest.mark.parametrize("gain", [0.05, 0.3, 0.9])
def test_noise_like_echo_is_10_db_lower_within_2_s_and_the_caller_alone_is_unchanged(rate, delay_ms, gain):
    """Also with what G.711 adds on the way. The numbers of the filter are those of the ledger."""
    assert (TAPS, STEP, FIRST_STEP, FIRST_S, DOUBLE_TALK) == (512, 0.1, 0.5, 0.5, 0.6)
    far = samples(noise_like(3.0, rate))
    for line in (lambda pcm: pcm, lambda pcm: mulaw_decode(mulaw_encode(pcm))):
        near = line(samples(echo_of(far, path(rate, delay_ms, gain))))
        canceller = EchoCanceller(rate)
        out = cleaned(canceller, near, far, rate // 50)
        assert out.shape == near.shape
        assert canceller.response.size == TAPS
        assert loss_db(near, out, rate, 1.75, 2.0) >= 10
        assert loss_db(near, out, rate, 2.0, 3.0) >= 10
        # The agent is silent; the caller speaks, and nothing is left in the filter's window after 64 ms.
        speech = samples(noise_like(1.0, rate, seed=9, level=2500))
        heard = cleaned(canceller, speech, np.zeros(speech.size, np.int16), rate // 50)
        assert abs(loss_db(speech, heard, rate, 0, 1)) <= 1
        assert np.array_equal(heard[rate // 10 :], speech[rate // 10 :])


@pytest.mark.behaviour("SP-20")
@pytest.mark.parametrize("reference", [None, np.zeros(160, np.int16)])
def test_without_agent_audio_a_frame_passes_as_it_is(reference, noise):
    canceller = EchoCanceller(8000)
    for seed in range(5):
        frame = noise(160, seed)
        assert canceller.process(frame, reference) is frame


def test_the_first_half_second_learns_faster():
    """A tenth of the step, and the echo would still be heard: 0.5 s is what the barge-in gate waits for twice."""
    far = samples(noise_like(1.0, 8000))
    near = samples(echo_of(far, path(8000, 5, 0.5)))
    canceller = EchoCanceller(8000)
    out = cleaned(canceller, near, far)
    assert loss_db(near, out, 8000, 0.4, 0.5) >= 15
    # From here the step is 0.1: one frame moves the taps by less than a third of what it would have.
    echo = echo_of(far, path(8000, 5, 0.5) * -1)
    before = canceller.response
    canceller.process(samples(echo[:160]), far[:160])
    slow = np.abs(canceller.response - before).max()
    young = EchoCanceller(8000)
    young.process(near[:160], far[:160])
    assert 0 < slow < np.abs(young.response).max()


def test_speech_like_audio_is_cancelled_too():
    """Noise in the shape of a vowel, in bursts: most bins hold next to nothing."""
    rate = 8000
    wave = noise_like(6.0, rate)
    wave = np.convolve(wave, np.exp(-np.arange(60) / 8) * np.cos(2 * np.pi * 500 * np.arange(60) / rate))[
        : wave.size
    ]
    wave *= 3000 / wave.std() * (np.arange(wave.size) % 3200 < 2400)
    far = samples(wave)
    near = samples(echo_of(far, path(rate, 8, 0.3)))
    out = cleaned(EchoCanceller(rate), near, far)
    assert loss_db(near, out, rate, 2.0, 6.0) >= 10


REFERENCES = {
    "tone": lambda t: 8000 * np.sin(2 * np.pi * 440 * t),
    "two tones": lambda t: 4000 * np.sin(2 * np.pi * 1000 * t) + 4000 * np.sin(2 * np.pi * 1037 * t),
    "keys": lambda t: 8000 * np.sin(2 * np.pi * (400 + 50 * (t * 2 // 1 % 12)) * t),
    "square": lambda t: 8000 * np.sign(np.sin(2 * np.pi * 100 * t + 0.1)),
    "one level": lambda t: np.full(t.size, 6000.0),
    "clicks": lambda t: np.where(np.arange(t.size) % 800 == 0, 20_000, 0.0),
    "one frame for ever": lambda t: np.resize(np.random.default_rng(6).standard_normal(160) * 4000, t.size),
    "siren": lambda t: 8000 * np.sin(2 * np.pi * (200 * t + 200 * t**2)),
    "full scale": lambda t: np.where(np.random.default_rng(6).random(t.size) < 0.5, 32767, -32768.0),
    "hiss": lambda t: np.random.default_rng(6).standard_normal(t.size) * 70,
}


@pytest.mark.parametrize("size", [37, 80, 160, 320])
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_no_reference_makes_the_filter_unstable(name, size):
    """Those of few frequencies would: most filters that fit a tone fit nothing else."""
    far = samples(REFERENCES[name](np.arange(8000 * 6) / 8000))
    near = samples(echo_of(far, path(8000, 10, 0.3)))
    canceller = EchoCanceller(8000)
    for at in range(0, near.size, size):
        out = canceller.process(near[at : at + size], far[at : at + size])
        assert np.abs(canceller.response).max() < 2
        assert (
            np.square(out, dtype=float).sum()
            <= np.square(near[at : at + size], dtype=float).sum() * 1.01 + size
        )


def test_the_caller_is_heard_while_both_talk_and_the_filter_keeps_what_it_has_learnt():
    rate = 8000
    far = samples(noise_like(4.0, rate))
    echo = echo_of(far, path(rate, 10, 0.3))
    caller = noise_like(4.0, rate, seed=5, level=6000)
    caller[: 2 * rate] = 0
    caller[2 * rate + rate * 8 // 10 :] = 0
    canceller = EchoCanceller(rate)
    out = cleaned(canceller, samples(echo + caller), far)
    talk = slice(2 * rate, 2 * rate + rate * 8 // 10)
    wrong = level_dbfs(samples(out[talk] - caller[talk]))
    assert wrong <= level_dbfs(samples(caller[talk])) - 15
    assert wrong <= level_dbfs(samples(echo[talk])) - 6
    after = slice(3 * rate, 4 * rate)
    assert level_dbfs(out[after]) <= level_dbfs(samples(echo[after])) - 20


def test_a_caller_who_talks_from_the_first_moment_is_not_made_louder():
    rate = 8000
    far = samples(noise_like(1.0, rate, level=2000))
    near = samples(echo_of(far, path(rate, 10, 0.2)) + noise_like(1.0, rate, seed=7, level=4000))
    out = cleaned(EchoCanceller(rate), near, far)
    for at in range(0, rate, 160):
        assert level_dbfs(out[at : at + 160]) <= level_dbfs(near[at : at + 160]) + 0.01
    assert abs(loss_db(near, out, rate, 0, 1)) <= 3


def test_an_echo_that_becomes_another_is_learnt_anew_even_a_loud_one():
    rate = 8000
    far = samples(noise_like(7.0, rate))
    first, second = (echo_of(far, path(rate, delay, 0.9, seed)) for delay, seed in ((5, 1), (20, 2)))
    near = samples(np.where(np.arange(far.size) < 3 * rate, first, second))
    out = cleaned(EchoCanceller(rate), near, far)
    assert loss_db(near, out, rate, 2.5, 3.0) >= 20
    assert loss_db(near, out, rate, 6.0, 7.0) >= 20


@given(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=30), seed=st.integers(0, 50))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_frames_of_any_length_keep_it_and_the_echo_goes(sizes, seed):
    rate = 8000
    far = samples(noise_like(3.0, rate, seed))
    near = samples(echo_of(far, path(rate, 6, 0.4, seed)))
    canceller, at, parts, turn = EchoCanceller(rate), 0, [], 0
    sizes = [*sizes, 160]
    while at < near.size:
        size = sizes[turn % len(sizes)]
        part = canceller.process(near[at : at + size], far[at : at + size])
        assert part.dtype == np.int16
        parts.append(part)
        at, turn = at + size, turn + 1
    out = np.concatenate(parts)
    assert out.shape == near.shape
    assert loss_db(near, out, rate, 2.0, 3.0) >= 10


@given(
    near_seed=st.integers(0, 99), far_seed=st.integers(0, 99), level=st.sampled_from([1, 50, 2000, 40_000])
)
@settings(derandomize=True, max_examples=60, deadline=None)
def test_audio_that_has_nothing_to_do_with_the_agents_is_left_within_3_db(near_seed, far_seed, level):
    near = samples(noise_like(1.0, 8000, 1000 + near_seed, 3000))
    far = samples(noise_like(1.0, 8000, far_seed, level))
    out = cleaned(EchoCanceller(8000), near, far)
    assert abs(loss_db(near, out, 8000, 0, 1)) <= 3


def test_relearning_and_reset_forget(noise):
    far = samples(noise_like(1.0, 8000))
    near = samples(echo_of(far, path(8000, 5, 0.5)))
    used, fresh = EchoCanceller(8000), EchoCanceller(8000)
    cleaned(used, near, far)
    used.relearn()
    assert not used.response.any()
    used.reset()
    assert np.array_equal(cleaned(used, near, far), cleaned(fresh, near, far))


@pytest.mark.parametrize("rate", [7999, 48001])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="8000 to 48000"):
        EchoCanceller(rate)


def test_both_streams_are_int16_and_of_one_length():
    canceller, frame = EchoCanceller(8000), np.zeros(160, np.int16)
    for near, far in ((frame.astype(float), frame), (frame, frame.astype(float))):
        with pytest.raises(TypeError, match="int16"):
            canceller.process(near, far)
    with pytest.raises(ValueError, match="80 samples of reference for 160"):
        canceller.process(frame, frame[:80])
