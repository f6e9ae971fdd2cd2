"""The tones in which fakes and simulators speak, and what is heard of them."""

from __future__ import annotations

import pytest

from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_24K
from patter.audio.g711 import decode
from patter.simulators.tones import PITCHES, Ear, pitch_of, speech_ms, tone, utterance


@pytest.mark.parametrize("audio_format", [MULAW_8K, ALAW_8K, PCM16_24K])
def test_a_tone_tells_which_utterance_it_is_and_how_long(audio_format):
    for number in (0, 12, 56, 57, 200):
        audio = tone(number, 60, audio_format)
        assert audio_format.duration_ms(len(audio)) == 60
        pcm = decode(audio[: len(audio) // 3], audio_format.encoding)
        assert pitch_of(pcm, audio_format.rate) == number % PITCHES
    assert [speech_ms(text) for text in ("", "a", "Hello.")] == [60, 60, 360]
    assert utterance(3, "Hello.", audio_format) == tone(3, 360, audio_format)


@pytest.mark.parametrize("audio_format", [MULAW_8K, PCM16_24K])
def test_an_ear_counts_how_long_somebody_has_spoken_without_a_pause(audio_format):
    ear, frame = Ear(), tone(7, 20, audio_format)
    assert [ear.hear(frame, audio_format) for _ in range(3)] == [True] * 3
    assert ear.loud_ms == 60
    assert not ear.hear(audio_format.silence(audio_format.rate // 50), audio_format)
    assert ear.loud_ms == 0
    assert ear.hear(frame + b"\0" * (audio_format.bytes_per_sample - 1), audio_format)
    assert ear.loud_ms == 20, "half a sample is not heard"
