from __future__ import annotations

import numpy as np
import pytest

from patter.audio import decode
from patter.audio.dtmf import KEY_MS, MOST_KEYS, key_tones
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_16K, PCM16_24K
from patter.errors import InputError
from patter.testing.keys import read_keys

FORMATS = [MULAW_8K, ALAW_8K, PCM16_16K, PCM16_24K]
ALL = "1234567890*#ABCD"


@pytest.mark.parametrize("audio_format", FORMATS)
def test_a_receiver_reads_the_keys_as_they_were_pressed(audio_format):
    audio = key_tones(ALL, 300, audio_format)
    heard = read_keys(audio, audio_format)
    assert "".join(one.key for one in heard) == ALL
    for number, one in enumerate(heard):
        assert one.start_ms == pytest.approx(number * (KEY_MS + 300), abs=20)
        assert one.end_ms - one.start_ms == pytest.approx(KEY_MS, abs=25)
    assert audio_format.duration_ms(len(audio)) == len(ALL) * (KEY_MS + 300)


@pytest.mark.parametrize(("delay_ms", "apart_ms"), [(0, 150), (50, 150), (80, 180), (5000, 5100)])
def test_equal_keys_stay_two_however_short_the_pause(delay_ms, apart_ms):
    first, second = read_keys(key_tones("55", delay_ms, MULAW_8K), MULAW_8K)
    assert (first.key, second.key) == ("5", "5")
    assert second.start_ms - first.start_ms == pytest.approx(apart_ms, abs=20)


@pytest.mark.parametrize(
    ("digits", "pause_ms"), [("1w2", 500), ("1W2", 1000), ("1ww2", 1000), ("1Ww2", 1500)]
)
def test_pauses_are_silence_beside_the_one_between_keys(digits, pause_ms):
    audio = key_tones(digits, 100, MULAW_8K)
    first, second = read_keys(audio, MULAW_8K)
    assert (first.key, second.key) == ("1", "2")
    assert second.start_ms - first.start_ms == pytest.approx(KEY_MS + 100 + pause_ms, abs=20)
    silent = audio[8 * (KEY_MS + 10) : 8 * (KEY_MS + 100 + pause_ms - 10)]
    assert set(silent) == {0xFF}


def test_tones_are_as_loud_as_receivers_ask_for():
    """ITU-T Q.24: -3 to -24 dBm each, the upper one louder by 4 dB at most. Full scale is +3.17 dBm0."""
    for key, low, high in (("1", 697, 1209), ("D", 941, 1633)):
        samples = decode(key_tones(key, 50, MULAW_8K), MULAW_8K.encoding)[: 8 * KEY_MS].astype(np.float64)
        instants = np.arange(samples.size) / 8000
        levels = []
        for hertz in (low, high):
            peak = abs(samples @ np.exp(-2j * np.pi * hertz * instants)) * 2 / samples.size
            levels.append(20 * np.log10(peak / 32767) + 3.17)
        assert -24 < levels[0] < -3
        assert -24 < levels[1] < -3
        assert 0 < levels[1] - levels[0] < 4
        assert np.abs(samples).max() < 32000


@pytest.mark.parametrize("digits", ["", "a", "E", "1 2", "1\n", "1,2", "p", "١", "1" * (MOST_KEYS + 1)])
def test_other_characters_and_too_many_are_refused(digits):
    with pytest.raises(InputError, match="send_dtmf"):
        key_tones(digits, 300, MULAW_8K)


@pytest.mark.parametrize("delay_ms", [-1, 5001])
def test_a_delay_is_bounded(delay_ms):
    with pytest.raises(InputError, match="delay_ms"):
        key_tones("1", delay_ms, MULAW_8K)


def test_speech_and_single_tones_are_no_keys():
    instants = np.arange(8000) / 8000
    for hertz in (697, 1209, 440):
        wave = (10000 * np.sin(2 * np.pi * hertz * instants)).astype("<i2").tobytes()
        assert read_keys(wave, PCM16_8K) == []
    noise = np.random.default_rng(1).integers(-9000, 9000, 8000).astype("<i2").tobytes()
    assert read_keys(noise, PCM16_8K) == []
