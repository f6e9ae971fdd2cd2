from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio import (
    ALAW_8K,
    MULAW_8K,
    PCM16_8K,
    PCM16_16K,
    PCM16_24K,
    AudioFormat,
    Converter,
    Encoding,
    alaw_to_mulaw,
    decode,
    encode,
    mulaw_to_alaw,
)

PCM16_22K = AudioFormat(Encoding.PCM16, 22050)
FORMATS = [MULAW_8K, ALAW_8K, PCM16_8K, PCM16_16K, PCM16_22K, PCM16_24K]
PAIRS = list(itertools.product(FORMATS, repeat=2))
AMPLITUDE = 10000


def name(value):
    return f"{value.encoding.value}-{value.rate}"


each_pair = pytest.mark.parametrize(("source", "target"), PAIRS, ids=name)


def convert(source, target, *chunks):
    converter = Converter(source, target)
    return b"".join([*map(converter.process, chunks), converter.flush()])


def frames(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def decibels(ratio):
    return 20 * np.log10(max(ratio, 1e-6))


@pytest.mark.parametrize("audio_format", FORMATS, ids=name)
def test_audio_in_the_format_of_the_target_is_forwarded_byte_for_byte(audio_format):
    converter = Converter(audio_format, audio_format)
    for data in (bytes(range(256)), bytes(audio_format.bytes_per_sample), b""):
        assert converter.process(data) is data
    assert converter.flush() == b""
    assert converter.delay_ms == 0


def test_half_a_sample_waits_for_its_other_half_also_where_nothing_is_converted():
    """Who counts samples, as playout does, would lose one at each odd chunk."""
    data = bytes(range(250))
    for cut in range(len(data)):
        converter = Converter(PCM16_16K, PCM16_16K)
        first, second = converter.process(data[:cut]), converter.process(data[cut:])
        assert len(first) == cut // 2 * 2
        assert first + second == data


@each_pair
def test_a_tone_keeps_its_frequency_level_and_duration(source, target, tone, fit):
    data = encode(tone(1000, source.rate), source.encoding)
    out = convert(source, target, *frames(data, source.bytes_for_ms(20)))
    assert target.duration_ms(len(out)) == pytest.approx(
        source.duration_ms(len(data)), abs=1000 / target.rate
    )
    pcm = decode(out, target.encoding)[target.rate // 10 : -target.rate // 10]
    amplitude, _, rest = fit(pcm, 1000, target.rate)
    assert decibels(amplitude / AMPLITUDE) == pytest.approx(0, abs=0.3)
    # G.711 has about 38 dB of signal to noise, twice coded 35; reading A-law as mu-law would leave less than 10.
    assert decibels(rest * np.sqrt(2) / amplitude) < -30


def test_g711_at_one_rate_is_transcoded_by_code(noise):
    data = noise(500).tobytes()
    assert Converter(MULAW_8K, ALAW_8K).process(data) == mulaw_to_alaw(data)
    assert Converter(ALAW_8K, MULAW_8K).process(data) == alaw_to_mulaw(data)
    assert mulaw_to_alaw(data) != data


@pytest.mark.behaviour("PL-09")
@each_pair
def test_a_cut_at_each_offset_changes_nothing(source, target, noise):
    data = encode(noise(173), source.encoding)
    expected = convert(source, target, data)
    assert all(convert(source, target, data[:at], data[at:]) == expected for at in range(len(data) + 1))


@pytest.mark.behaviour("PL-09")
@given(
    pair=st.sampled_from(PAIRS), cuts=st.lists(st.integers(0, 2000), max_size=40), seed=st.integers(0, 1000)
)
@settings(derandomize=True, max_examples=120, deadline=None)
def test_chopping_at_random_offsets_changes_nothing(pair, cuts, seed):
    data = np.random.default_rng(seed).bytes(2000)
    ends = [*sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise([0, *ends])]
    assert convert(*pair, *chunks) == convert(*pair, data)


@pytest.mark.parametrize("target", [MULAW_8K, PCM16_8K], ids=name)
def test_byte_by_byte(target, noise):
    data = noise(480).tobytes()
    assert convert(PCM16_24K, target, *frames(data, 1)) == convert(PCM16_24K, target, data)


@pytest.mark.behaviour("PL-09")
@pytest.mark.parametrize("source", [PCM16_16K, PCM16_24K], ids=name)
@pytest.mark.parametrize("target", [PCM16_8K, MULAW_8K, ALAW_8K], ids=name)
def test_tones_above_the_telephone_band_vanish_and_one_kilohertz_passes(source, target, tone, fit):
    for frequency in range(4500, source.rate // 2, 250):
        data = encode(tone(frequency, source.rate, 0.3), source.encoding)
        pcm = decode(convert(source, target, *frames(data, 641)), target.encoding)[400:-400].astype(float)
        # A-law has no zero: its silence is ±8, and that alone is 62 dB down.
        assert decibels(np.sqrt(np.mean(pcm**2) * 2) / AMPLITUDE) <= -40
    data = encode(tone(1000, source.rate, 0.3), source.encoding)
    pcm = decode(convert(source, target, *frames(data, 641)), target.encoding)
    amplitude, _, _ = fit(pcm[400:-400], 1000, 8000, first=400)
    assert decibels(amplitude / AMPLITUDE) == pytest.approx(0, abs=0.5)


@pytest.mark.behaviour("PL-09")
@pytest.mark.parametrize("source", [PCM16_16K, PCM16_24K], ids=name)
def test_no_click_at_chunk_boundaries(source, tone, fit):
    """Chunks of an odd number of bytes; every sample lies on the tone within the rounding and -65 dB of ripple."""
    data = encode(tone(1000, source.rate, 0.5), source.encoding)
    out = convert(source, PCM16_8K, *frames(data, 333))
    pcm = decode(out, Encoding.PCM16)[400:-400]
    amplitude, phase, _ = fit(pcm, 1000, 8000, first=400)
    ideal = amplitude * np.sin(2 * np.pi * 1000 * (400 + np.arange(pcm.size)) / 8000 + phase)
    assert np.abs(pcm - ideal).max() < 8


@pytest.mark.behaviour("PL-09")
@each_pair
def test_less_than_ten_milliseconds_are_ever_held_back(source, target, noise):
    data = encode(noise(source.rate // 2), source.encoding)
    converter, given_out, taken_in = Converter(source, target), 0, 0
    for chunk in frames(data, 37):
        taken_in += len(chunk)
        given_out += len(converter.process(chunk))
        held = source.duration_ms(taken_in) - target.duration_ms(given_out)
        assert held < 6
    assert converter.delay_ms < 6


@each_pair
def test_the_next_utterance_starts_clean_after_flush_and_after_reset(source, target, noise):
    first, second = encode(noise(501), source.encoding) + b"\x7f", encode(noise(333, seed=2), source.encoding)
    expected = convert(source, target, second)
    converter = Converter(source, target)
    converter.process(first)
    converter.flush()
    assert converter.process(second) + converter.flush() == expected
    converter.process(first)
    converter.reset()
    assert converter.process(second) + converter.flush() == expected


@each_pair
def test_silence_stays_silent(source, target):
    out = convert(source, target, source.silence(source.rate // 10))
    # A-law silence is a step to +8 with its overshoot.
    loudest = 10 if Encoding.ALAW in (source.encoding, target.encoding) else 0
    assert np.abs(decode(out, target.encoding).astype(int)).max() <= loudest


def test_half_a_sample_at_the_end_of_a_stream_is_dropped():
    converter = Converter(PCM16_8K, MULAW_8K)
    assert converter.process(b"\x00\x00\x00") == b"\xff"
    assert converter.flush() == b""
    assert converter.process(b"\x00\x00") == b"\xff"


def test_rates_without_a_filter_are_refused_when_the_stream_is_set_up():
    with pytest.raises(ValueError, match="8001:8000"):
        Converter(PCM16_8K, AudioFormat(Encoding.PCM16, 8001))
