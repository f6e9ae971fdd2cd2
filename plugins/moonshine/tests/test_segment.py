from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patter.audio.formats import MULAW_8K, PCM16_8K, PCM16_16K
from patter.audio.g711 import encode
from patter_moonshine.config import LONGEST_PART_MS, MoonshineConfig
from patter_moonshine.segment import Segment, is_silent, quietest_place

FORMATS = [MULAW_8K, PCM16_8K, PCM16_16K]


def numbered(audio_format, start_ms, end_ms):
    """Audio whose bytes tell their 20 ms frame."""
    return b"".join(
        bytes([number % 251]) * audio_format.bytes_for_ms(20)
        for number in range(start_ms // 20, end_ms // 20)
    )


def loud(audio_format, ms, amplitude=8000):
    samples = np.full(audio_format.rate * ms // 1000, amplitude, np.int16)
    samples[::2] *= -1
    return encode(samples, audio_format.encoding)


def fed(segment, audio, audio_format=MULAW_8K):
    frame = audio_format.bytes_for_ms(20)
    for start in range(0, len(audio), frame):
        segment.append(audio[start : start + frame])


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_begins_before_the_vad_noticed_and_ends_behind_the_padding(audio_format):
    """Speech from 1000 to 2000 ms, noticed at 1260 and found ended at 2400: 700 to 2300 is recognised."""
    segment = Segment(audio_format, MoonshineConfig(vad_start_delay_ms=260))
    fed(segment, numbered(audio_format, 0, 1260), audio_format)
    segment.start()
    fed(segment, numbered(audio_format, 1260, 2400), audio_format)
    assert segment.finish() == numbered(audio_format, 700, 2300)


def test_speech_at_the_very_start_has_what_pre_roll_there_is():
    segment = Segment(MULAW_8K, MoonshineConfig())
    fed(segment, numbered(MULAW_8K, 0, 100))
    segment.start()
    assert segment.so_far() == numbered(MULAW_8K, 0, 100) + MULAW_8K.silence(2400)


def test_no_audio_belongs_to_two_segments():
    segment = Segment(MULAW_8K, MoonshineConfig())
    fed(segment, numbered(MULAW_8K, 0, 1000))
    segment.start()
    fed(segment, numbered(MULAW_8K, 1000, 2000))
    first = segment.finish()
    fed(segment, numbered(MULAW_8K, 2000, 2100))
    segment.start()
    fed(segment, numbered(MULAW_8K, 2100, 3000))
    assert first.endswith(numbered(MULAW_8K, 460, 1900))
    assert MULAW_8K.duration_ms(len(first)) == 1450
    assert segment.finish() == numbered(MULAW_8K, 1900, 2900)


def test_a_second_start_goes_on_with_the_open_segment():
    segment = Segment(MULAW_8K, MoonshineConfig())
    segment.start()
    fed(segment, numbered(MULAW_8K, 0, 1000))
    segment.start()
    fed(segment, numbered(MULAW_8K, 1000, 1500))
    assert segment.finish() == numbered(MULAW_8K, 0, 1400)


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=200))
def test_an_idle_line_keeps_two_pre_rolls_at_most(sizes):
    segment = Segment(MULAW_8K, MoonshineConfig())
    for size in sizes:
        segment.append(bytes(size))
        assert segment.duration_ms <= 2 * 550
    segment.start()
    assert segment.duration_ms <= 550


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_a_long_segment_is_split_in_its_pause(audio_format):
    segment = Segment(audio_format, MoonshineConfig())
    segment.start()
    speech = loud(audio_format, 6000) + loud(audio_format, 300, 20) + loud(audio_format, 3000)
    parts = []
    for start in range(0, len(speech), audio_format.bytes_for_ms(20)):
        segment.append(speech[start : start + audio_format.bytes_for_ms(20)])
        part = segment.take_part()
        if part is not None:
            parts.append(part)
    (part,) = parts
    padding = audio_format.silence(audio_format.rate * 300 // 1000)
    assert 6050 <= audio_format.duration_ms(len(part)) - 300 <= 6250
    assert part.endswith(padding)
    assert segment.so_far().startswith(padding)
    assert part.removesuffix(padding) + segment.so_far().removeprefix(padding) == speech + padding


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_a_part_is_never_longer_than_may_be_decoded_in_one_go(audio_format):
    segment = Segment(audio_format, MoonshineConfig())
    segment.start()
    sizes = []
    for _ in range(2000):
        segment.append(loud(audio_format, 20))
        part = segment.take_part()
        if part is not None:
            sizes.append(audio_format.duration_ms(len(part)))
        assert audio_format.duration_ms(len(segment.so_far())) <= LONGEST_PART_MS
    assert len(sizes) >= 5
    assert max(sizes) <= LONGEST_PART_MS


def test_a_pause_before_the_last_three_seconds_is_not_looked_for():
    speech = loud(MULAW_8K, 2000) + loud(MULAW_8K, 300, 20) + loud(MULAW_8K, LONGEST_PART_MS - 2300)
    assert MULAW_8K.duration_ms(quietest_place(speech, MULAW_8K)) >= LONGEST_PART_MS - 3000


def test_an_idle_line_is_never_split():
    segment = Segment(MULAW_8K, MoonshineConfig())
    segment.append(bytes(80_000))
    assert segment.take_part() is None


@pytest.mark.parametrize("audio_format", FORMATS, ids=str)
def test_knows_silence_from_a_short_word(audio_format):
    quiet = loud(audio_format, 1000, 20)
    assert is_silent(b"", audio_format)
    assert is_silent(audio_format.silence(8000), audio_format)
    assert is_silent(quiet, audio_format)
    assert not is_silent(quiet + loud(audio_format, 60, 500) + quiet, audio_format)
