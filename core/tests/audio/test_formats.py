from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patter.audio import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_16K, PCM16_24K, AudioFormat, Encoding, decode

ALL = [MULAW_8K, ALAW_8K, PCM16_8K, PCM16_16K, PCM16_24K]


def test_the_constants_are_what_their_names_say():
    assert [(one.encoding.value, one.rate) for one in ALL] == [
        ("mulaw", 8000),
        ("alaw", 8000),
        ("pcm16", 8000),
        ("pcm16", 16000),
        ("pcm16", 24000),
    ]


@pytest.mark.parametrize(
    ("rate", "samples"), [(8000, 160), (16000, 320), (22050, 441), (24000, 480), (44100, 882), (48000, 960)]
)
def test_twenty_milliseconds_at_each_rate(rate, samples):
    pcm, mulaw = AudioFormat(Encoding.PCM16, rate), AudioFormat(Encoding.MULAW, rate)
    assert pcm.bytes_for_ms(20) == samples * 2
    assert mulaw.bytes_for_ms(20) == samples
    assert pcm.samples(samples * 2) == mulaw.samples(samples) == samples
    assert pcm.duration_ms(samples * 2) == mulaw.duration_ms(samples) == 20.0


@pytest.mark.parametrize("audio_format", ALL)
def test_one_second_of_any_format_lasts_a_second(audio_format):
    assert audio_format.duration_ms(audio_format.rate * audio_format.bytes_per_sample) == 1000.0


def test_only_whole_samples_are_counted_and_asked_for():
    assert PCM16_8K.samples(5) == 2
    assert AudioFormat(Encoding.PCM16, 44100).bytes_for_ms(1) == 44 * 2


@given(cuts=st.lists(st.integers(0, 5000), max_size=20), audio_format=st.sampled_from(ALL))
@settings(derandomize=True, max_examples=50, deadline=None)
def test_durations_of_chunks_add_up(cuts, audio_format):
    parts = sum(audio_format.duration_ms(count) for count in cuts)
    assert parts == pytest.approx(audio_format.duration_ms(sum(cuts)))


@pytest.mark.parametrize("audio_format", ALL)
def test_silence_is_the_quietest_that_the_encoding_has(audio_format):
    silent = audio_format.silence(160)
    assert audio_format.samples(len(silent)) == 160
    loudest = {Encoding.ALAW: 8}.get(audio_format.encoding, 0)
    assert set(decode(silent, audio_format.encoding).tolist()) == {loudest}


def test_no_silence_is_no_bytes():
    assert MULAW_8K.silence(0) == b""


@pytest.mark.parametrize("rate", [0, -8000, 7999, 48001, 8000.0, "8000", True, None])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="8000 to 48000"):
        AudioFormat(Encoding.PCM16, rate)


def test_an_encoding_may_be_given_by_its_value_and_must_exist():
    assert AudioFormat("mulaw", 8000) == MULAW_8K
    assert AudioFormat("mulaw", 8000).encoding is Encoding.MULAW
    with pytest.raises(ValueError, match="opus"):
        AudioFormat("opus", 48000)


def test_a_format_is_a_value():
    assert {AudioFormat(Encoding.ALAW, 8000), ALAW_8K} == {ALAW_8K}
    with pytest.raises(dataclasses.FrozenInstanceError):
        ALAW_8K.rate = 16000
