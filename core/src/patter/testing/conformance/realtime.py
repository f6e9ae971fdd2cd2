"""What a speech-to-speech engine must do: its formats, its life, and what its record's flags promise."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, get_args

import numpy as np
import pytest

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.audio.g711 import decode, encode
from patter.audio.mixing import level_dbfs
from patter.metrics.cost_meter import CallMeter
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeEventKind, RealtimeSession
from patter.records import ProviderKind
from patter.testing.conformance.realtime_flags import RealtimeFlagConformance
from patter.testing.conformance.subject import Server, Subject, closed

#: an engine is ready, or has something to say, within this, in s
ANSWER_S = 10.0
#: how loud it speaks, in dBFS
SPEECH_DBFS = (-45.0, -9.0)


class RealtimeConformance(RealtimeFlagConformance):
    """Checks of `patter.providers.realtime.RealtimeEngine`."""

    kind: ClassVar[ProviderKind] = "realtime"

    def speech(self, audio_format: AudioFormat) -> bytes:
        """Something that the engine answers aloud, in its own input format; half a second of a tone by default."""
        instants = np.arange(audio_format.rate // 2) / audio_format.rate
        tone = np.rint(np.sin(2 * np.pi * 440 * instants) * 6000).astype(np.int16)
        return encode(tone, audio_format.encoding)

    async def work(self, provider: Any) -> None:
        """Open a session, and wait until it is ready."""
        await provider.connect(RealtimeSession("You are a receptionist."))
        async with asyncio.timeout(ANSWER_S):
            async for event in provider.receive():
                if event.kind == "session_ready":
                    break

    async def use(self, provider: Any, meter: CallMeter) -> None:
        """Let it answer."""
        for event in await self.answered(provider):
            if event.usage is not None:
                meter.response(event.usage)

    def parking_arguments(self, provider: Any) -> tuple[Any, ...]:
        """The session."""
        return (RealtimeSession("You are a receptionist."),)

    async def open_live(self, provider: Any) -> None:
        """Connect."""
        await provider.connect(RealtimeSession("You are a receptionist."))

    async def work_adopted(self, provider: Any) -> None:
        """Wait until the session is ready."""
        async with asyncio.timeout(ANSWER_S):
            async for event in provider.receive():
                if event.kind == "session_ready":
                    break

    async def answered(self, engine: RealtimeEngine, least_ms: float = 200.0) -> list[RealtimeEvent]:
        """Events up to the first `least_ms` of audio that answers `speech()`."""
        takes, gives = engine.audio_formats()
        await engine.connect(RealtimeSession("You are a receptionist."))
        audio, step = self.speech(takes), takes.bytes_for_ms(20)
        for start in range(0, len(audio), step):
            sending = engine.send_audio(audio[start : start + step])
            if sending is not None:
                await sending
        events: list[RealtimeEvent] = []
        async with asyncio.timeout(ANSWER_S):
            async for event in engine.receive():
                events.append(event)
                if gives.duration_ms(sum(len(one.audio) for one in events)) >= least_ms:
                    break
        return events

    @pytest.mark.behaviour("SP-03")
    def test_its_formats_are_declared_and_do_not_change(self, server: Server) -> None:
        """One that it takes and one that it gives, before it is connected and after; µ-law if that is native."""

        async def check(subject: Subject) -> None:
            engine, other = subject.make(), subject.make()
            assert isinstance(engine, RealtimeEngine)
            declared = engine.audio_formats()
            assert len(declared) == 2
            assert all(isinstance(one, AudioFormat) for one in declared)
            assert self.native_mulaw in (None, declared == (MULAW_8K, MULAW_8K))
            await self.work(engine)
            assert engine.audio_formats() == other.audio_formats() == declared
            await closed(engine)
            await closed(other)

        self.run(server, check)

    @pytest.mark.behaviour("SP-03", "RT-15")
    def test_it_takes_and_gives_audio_in_the_formats_that_it_declares(self, server: Server) -> None:
        """Samples read in the encoding of others are as loud as nobody speaks."""

        async def check(subject: Subject) -> None:
            engine = subject.make()
            _, gives = engine.audio_formats()
            events = await self.answered(engine)
            assert {event.kind for event in events} <= set(get_args(RealtimeEventKind))
            assert all(isinstance(event.audio, bytes) for event in events)
            audio = b"".join(event.audio for event in events)
            whole = len(audio) // gives.bytes_per_sample * gives.bytes_per_sample
            assert SPEECH_DBFS[0] <= level_dbfs(decode(audio[:whole], gives.encoding)) <= SPEECH_DBFS[1]
            await closed(engine)

        self.run(server, check)

    def test_receiving_ends_quietly_when_it_is_closed(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            engine = subject.make()
            await engine.connect(RealtimeSession(""))

            async def read() -> list[str]:
                return [event.kind async for event in engine.receive()]

            reading = asyncio.ensure_future(read())
            await asyncio.sleep(0.01)
            await closed(engine)
            async with asyncio.timeout(1.0):
                kinds = await reading
            assert "error" not in kinds
            assert "audio" not in kinds

        self.run(server, check)
