"""Making the audio of a greeting beforehand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.prewarm.greeting import render_greeting
from patter.providers.tts import TTS

SECOND = b"\x55" * 8000


class Voice(TTS):
    """Speaks each text for so many seconds; endlessly, or with a failure, where it is told to."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = seconds
        self.spoken = 0

    def output_format(self) -> AudioFormat:
        """µ-law."""
        return MULAW_8K

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """A second at a time."""
        seconds = self.seconds[text.partition(" ")[0].strip(".")]
        if seconds < 0:
            raise RuntimeError("wss://vendor.example?api_key=SECRET")
        second = 0
        while second < seconds:
            second += 1
            self.spoken += 1
            yield SECOND
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Nothing to release."""


async def made(voice: Voice, text: str) -> dict[str, int]:
    """Seconds by sentence."""
    audio = await render_greeting(voice, text, MULAW_8K)
    return {sentence: len(one) // 8000 for sentence, one in audio.items()}


TEXT = "First we greet you warmly. Second we tell you of our opening hours. Third we listen."


def test_each_sentence_has_its_audio() -> None:
    voice = Voice(First=1, Second=2, Third=3)
    assert asyncio.run(made(voice, TEXT)) == {
        "First we greet you warmly.": 1,
        "Second we tell you of our opening hours.": 2,
        "Third we listen.": 3,
    }


@pytest.mark.parametrize("endless", [61.0, float("inf")])
def test_no_more_than_a_minute_is_made_even_of_a_voice_that_does_not_end(endless: float) -> None:
    voice = Voice(First=20, Second=endless, Third=1)
    assert asyncio.run(made(voice, TEXT)) == {"First we greet you warmly.": 20}
    assert voice.spoken <= 62


def test_what_was_made_before_a_failure_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    voice = Voice(First=1, Second=-1, Third=1)
    with caplog.at_level(logging.DEBUG, "patter"):
        assert asyncio.run(made(voice, TEXT)) == {"First we greet you warmly.": 1}
    assert "SECRET" not in caplog.text


def test_a_voice_that_makes_nothing_has_failed() -> None:
    with pytest.raises(RuntimeError):
        asyncio.run(made(Voice(First=-1), TEXT))
