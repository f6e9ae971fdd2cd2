"""What a voice must do."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, ClassVar

import pytest

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.audio.g711 import decode
from patter.audio.mixing import level_dbfs
from patter.metrics.cost_meter import CallMeter
from patter.providers.tts import TTS
from patter.records import ProviderKind, TTSRecord
from patter.testing.conformance.parking import ParkingConformance
from patter.testing.conformance.subject import Server, Subject, closed

#: closing a synthesis stops it within this, in s (SP-11)
STOP_S = 0.1
#: how loud a whole text is spoken, in dBFS, and how fast, in characters per second
SPEECH_DBFS = (-45.0, -9.0)
SPEED = (7.0, 28.0)
LONG = "This is a rather long text, which no voice speaks in one breath. " * 20


async def spoken(voice: TTS, text: str) -> bytes:
    """All audio of a text, each chunk of it checked."""
    audio = b""
    async with aclosing(voice.synthesize(text)) as chunks:  # type: ignore[type-var]  # the protocol asks for a generator
        async for chunk in chunks:
            assert isinstance(chunk, bytes)
            audio += chunk
    return audio


class TTSConformance(ParkingConformance):
    """Checks of `patter.providers.tts.TTS`."""

    kind: ClassVar[ProviderKind] = "tts"

    async def work(self, provider: Any) -> None:
        """Speak one sentence."""
        assert await spoken(provider, "Hello there.")

    async def use(self, provider: Any, meter: CallMeter) -> None:
        """Speak one sentence."""
        with meter.speech(provider, "Hello there."):
            await self.work(provider)

    def test_it_is_a_voice_that_declares_its_format(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            voice = subject.make()
            assert isinstance(voice, TTS)
            declared = voice.output_format()
            assert isinstance(declared, AudioFormat)
            await self.work(voice)
            assert voice.output_format() == declared
            await closed(voice)

        self.run(server, check)

    @pytest.mark.behaviour("SP-03")
    def test_what_it_speaks_is_in_the_format_that_it_declares(self, server: Server) -> None:
        """Whole samples, as loud as speech, at the speed of speech; µ-law at 8 kHz if that is native.

        Samples read in the encoding of others are as loud as nobody speaks, and at twice their rate as fast.
        """

        async def check(subject: Subject) -> None:
            voice = subject.make()
            declared = voice.output_format()
            assert self.native_mulaw in (None, declared == MULAW_8K)
            audio = await spoken(voice, LONG)
            assert len(audio) % declared.bytes_per_sample == 0
            assert SPEECH_DBFS[0] <= level_dbfs(decode(audio, declared.encoding)) <= SPEECH_DBFS[1]
            characters_per_s = len(LONG) * 1000 / declared.duration_ms(len(audio))
            assert SPEED[0] <= characters_per_s <= SPEED[1]
            await closed(voice)

        self.run(server, check)

    def test_longer_texts_last_longer(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            voice = subject.make()
            lengths = [len(await spoken(voice, text)) for text in ("Yes.", "Yes, we are open today.", LONG)]
            durations_ms = [voice.output_format().duration_ms(length) for length in lengths]
            assert lengths == sorted(lengths)
            assert 100 <= durations_ms[0] <= 5000
            assert durations_ms[2] >= 20_000
            await closed(voice)

        self.run(server, check)

    @pytest.mark.parametrize("text", ["", " ", "\n\t "])
    def test_blank_text_yields_nothing(self, server: Server, text: str) -> None:
        async def check(subject: Subject) -> None:
            voice = subject.make()
            assert await spoken(voice, text) == b""
            await closed(voice)

        self.run(server, check)

    @pytest.mark.parametrize(
        "text", ["Ünïcödé, naïve, 東京.", "<speak>a &amp; b</speak>", "5 > 3 & 2 < 4", "☎ 🙂 ok"]
    )
    def test_any_text_can_be_spoken(self, server: Server, text: str) -> None:
        async def check(subject: Subject) -> None:
            voice = subject.make()
            assert await spoken(voice, text)
            await closed(voice)

        self.run(server, check)

    @pytest.mark.behaviour("SP-11")
    def test_closing_a_synthesis_stops_it_at_once_and_nothing_of_it_leaks(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            loop = asyncio.get_running_loop()
            voice = subject.make()
            alone = await spoken(voice, "And now something else.")
            stream: Any = voice.synthesize(LONG)
            assert await anext(stream)
            began = loop.time()
            await stream.aclose()
            assert loop.time() - began <= STOP_S
            assert await spoken(voice, "  ") == b""
            after = await spoken(voice, "And now something else.")
            assert abs(len(after) - len(alone)) <= len(alone) // 5
            await closed(voice)

        self.run(server, check)

    def test_two_voices_speak_at_once(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            first, second = subject.make(), subject.make()
            alone = await spoken(first, "The first one says this.")
            together, other = await asyncio.gather(
                spoken(first, "The first one says this."), spoken(second, "No.")
            )
            assert abs(len(together) - len(alone)) <= len(alone) // 5
            assert 0 < len(other) < len(together)
            await closed(first)
            await closed(second)

        self.run(server, check)

    def test_word_times_are_there_if_they_are_claimed(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            assert isinstance(subject.record, TTSRecord)
            voice = subject.make()
            audio = await spoken(voice, "One two three.")
            times = voice.word_times()
            assert bool(times) == subject.record.word_times
            starts = [word.start_ms for word in times]
            assert starts == sorted(starts)
            assert all(0 <= start <= voice.output_format().duration_ms(len(audio)) for start in starts)
            await closed(voice)

        self.run(server, check)
