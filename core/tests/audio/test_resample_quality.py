"""What resampling does to the sound, for every pair of rates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from patter.audio import Resampler

RATES = [8000, 16000, 22050, 24000, 44100, 48000]
PAIRS = list(itertools.permutations(RATES, 2))
each_pair = pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
AMPLITUDE = 10000


def converted(rate_in, rate_out, pcm):
    """The stream in frames of 20 ms."""
    resampler, frame = Resampler(rate_in, rate_out), rate_in // 50
    chunks = [resampler.process(pcm[at : at + frame]) for at in range(0, pcm.size, frame)]
    return np.concatenate([*chunks, resampler.flush()])


def settled(pcm, rate):
    """Without the first and the last 50 ms, where the tone begins and ends."""
    return pcm[rate // 20 : -rate // 20]


def rms_db(pcm):
    """RMS level in dB relative to that of the test tone."""
    return 20 * np.log10(max(np.sqrt(np.mean(pcm.astype(float) ** 2) * 2), 1e-3) / AMPLITUDE)


@each_pair
@pytest.mark.parametrize("frequency", [300, 1000, 2000, 3000])
def test_speech_frequencies_pass_unchanged_and_add_nothing(rate_in, rate_out, frequency, tone, fit):
    out = converted(rate_in, rate_out, tone(frequency, rate_in, 0.5))
    amplitude, phase, rest = fit(settled(out, rate_out), frequency, rate_out, first=rate_out // 20)
    assert 20 * np.log10(amplitude / AMPLITUDE) == pytest.approx(0, abs=0.2)
    assert phase == pytest.approx(0, abs=0.001)
    # Images, ripple between phases and clicks at frame boundaries would all be in the rest.
    assert 20 * np.log10(rest * np.sqrt(2) / AMPLITUDE) < -65


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if 8000 in pair])
def test_the_telephone_band_loses_at_most_one_db_at_its_end(rate_in, rate_out, tone, fit):
    out = converted(rate_in, rate_out, tone(3400, rate_in, 0.5))
    amplitude, _, _ = fit(settled(out, rate_out), 3400, rate_out)
    assert -1 < 20 * np.log10(amplitude / AMPLITUDE) < 0.2


@pytest.mark.parametrize(("rate_in", "rate_out"), [pair for pair in PAIRS if pair[0] > pair[1]])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
def test_what_the_target_cannot_carry_is_gone(rate_in, rate_out, share, tone):
    """Tones from just above the new Nyquist frequency up to the old one."""
    lowest, highest = min(1.1 * rate_out / 2, 0.99 * rate_in / 2), rate_in / 2
    out = converted(rate_in, rate_out, tone(lowest + share * (highest - lowest), rate_in, 0.5))
    assert rms_db(settled(out, rate_out)) < -60


def test_checklist_tones(tone, fit):
    """A 5 kHz tone at 24 kHz vanishes at 8 kHz; one of 1 kHz stays."""
    gone = settled(converted(24000, 8000, tone(5000, 24000)), 8000)
    assert rms_db(gone) < -60
    kept, _, _ = fit(settled(converted(24000, 8000, tone(1000, 24000)), 8000), 1000, 8000)
    assert 20 * np.log10(kept / AMPLITUDE) == pytest.approx(0, abs=0.2)


@each_pair
@pytest.mark.parametrize("level", [-32768, -1, 1, 12345, 32767])
def test_a_constant_stays_the_same_constant(rate_in, rate_out, level):
    out = converted(rate_in, rate_out, np.full(rate_in // 5, level, np.int16))
    assert set(settled(out, rate_out).tolist()) == {level}


@each_pair
def test_a_full_scale_square_wave_is_clipped_and_never_wraps(rate_in, rate_out):
    cycle = rate_in // 100
    instants = np.arange(rate_in // 2)
    pcm = np.where(instants % cycle < cycle // 2, 32767, -32767).astype(np.int16)
    out = settled(converted(rate_in, rate_out, pcm), rate_out)
    where = (np.arange(out.size) + rate_out // 20) * rate_in / rate_out % cycle
    # Half a millisecond away from each edge the filter only rings.
    edge = rate_in / 2000
    high = (where > edge) & (where < cycle // 2 - edge)
    low = (where > cycle // 2 + edge) & (where < cycle - edge)
    assert out[high].min() > 25000
    assert out[low].max() < -25000
    assert out.max() == 32767
    assert out.min() == -32768


@pytest.mark.parametrize(
    ("rate_in", "rate_out"), [(8000, 16000), (24000, 8000), (22050, 8000), (16000, 24000)]
)
def test_a_round_trip_returns_the_sound(rate_in, rate_out, tone):
    chord = tone(500, rate_in) // 4 + tone(1300, rate_in) // 4 + tone(2900, rate_in) // 4
    there = converted(rate_in, rate_out, chord.astype(np.int16))
    back = converted(rate_out, rate_in, there)
    assert back.size == chord.size
    error = settled(back, rate_in).astype(int) - settled(chord, rate_in)
    assert np.abs(error).max() < 40
