"""The input chain in whole calls, in virtual time: a room that echoes, stages that fail, audio that nobody touches."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from patter import NoiseFilterRecord, STTRecord, TTSRecord, hookimpl
from patter.audio.convert import Converter
from patter.audio.formats import ALAW_8K, MULAW_8K, PCM16_8K, PCM16_16K, PCM16_24K, AudioFormat
from patter.audio.g711 import decode, encode
from patter.providers.carrier import AudioReceived, MediaEvent
from patter.providers.context import ProviderContext
from patter.providers.noise_filter import NoiseFilter
from patter.records import CarrierRecord
from patter.testing import fake_plugin
from patter.testing.fake_carrier import FakeCarrier, FakeMediaProtocol
from patter.testing.fake_stt import FakeSTT
from patter.testing.fake_tts import FakeTTS
from patter.testing.simulated_line import PlayedAudio

LONG = "Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."


class Room:
    """A telephone on its loudspeaker: what the caller hears comes back into the microphone a little later.

    Stands between the simulated caller and the line, on the line's own clock.
    """

    def __init__(self, line: Any, *, delay_ms: float, gain: float) -> None:
        self._line, self._ear, self._send = line, line._listener, line.send_raw
        self._rate = line.format.rate
        self._delay_s, self._gain = delay_ms / 1000, gain
        self._played = np.zeros(0)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        line._listener, line.send_raw = self, self._speak

    def plays(self, played: PlayedAudio) -> None:
        """The caller hears it, and so does his microphone."""
        samples = decode(played.audio, self._line.format.encoding)
        start = round((played.start - self._began) * self._rate)
        if self._played.size < start + samples.size:
            self._played = np.concatenate([self._played, np.zeros(start + samples.size - self._played.size)])
        self._played[start : start + samples.size] = samples
        self._ear.plays(played)

    def cleared(self, t: float) -> None:
        """What was not played makes no echo."""
        self._played = self._played[: max(0, round((t - self._began) * self._rate))]
        self._ear.cleared(t)

    def _speak(self, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "media":
            encoding = self._line.format.encoding
            own = decode(base64.b64decode(message["audio"]), encoding).astype(float)
            first = round((self._loop.time() - self._delay_s - self._began) * self._rate) - own.size
            echo = self._played[max(0, first) : max(0, first + own.size)]
            own[: echo.size] += self._gain * echo
            mixed = np.rint(own).clip(-32768, 32767).astype(np.int16)
            message["audio"] = base64.b64encode(encode(mixed, encoding)).decode()
            text = json.dumps(message)
        self._send(text)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_the_agents_own_echo_interrupts_it_unless_it_is_cancelled(
    simcall: Any, cancelled: bool
) -> None:
    """The echo is loud enough for the VAD of the fakes, which takes all sound for speech."""
    async with simcall(first_message=LONG, echo_cancellation=cancelled, min_silence_ms=100) as call:
        Room(call.line, delay_ms=20, gain=0.4)
        await call.quiet(1500)
        heard = call.heard
        await call.caller_says("Are you there?")
        await asyncio.sleep(1)

    assert (heard == LONG) is cancelled
    assert (call.line.clears == []) is cancelled
    if cancelled:
        assert [entry.text for entry in call.transcript if entry.role == "user"] == ["Are you there?"]


async def test_the_caller_is_heard_over_the_echo_and_the_agent_stops(simcall: Any) -> None:
    """The reference follows the clear: after it the caller's words are whole."""
    async with simcall(
        first_message=LONG, echo_cancellation=True, min_silence_ms=100, replies=["Fine.", "Good."]
    ) as call:
        Room(call.line, delay_ms=20, gain=0.3)
        await call.agent_says("Our opening hours are")
        await call.caller_says("Stop that now please")
        await call.agent_says("Fine.")
        await call.quiet(300)
        await call.caller_says("Thank you")
        await call.agent_says("Good.")

    assert len(call.line.clears) == 1
    assert [entry.text for entry in call.transcript if entry.role == "user"][-1] == "Thank you"


class Watched(NoiseFilter):
    """Changes nothing and keeps the rates of what it gets; fails at the frame it is told to."""

    rates: list[int]
    fail_at = 0

    def __init__(self, context: ProviderContext) -> None:
        type(self).rates = []

    def process(self, pcm: Any, rate: int) -> Any:
        self.rates.append(rate)
        if len(self.rates) == self.fail_at:
            raise ValueError("a bug in a filter")
        return pcm

    def reset(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to release."""


class Failing(Watched):
    """Breaks in the middle of the caller's first words."""

    fail_at = 30


ALL = {"high_pass_hz": 120, "echo_cancellation": True, "gain_control": True}


class WideSTT(FakeSTT):
    """Takes no other audio than PCM at 16 kHz."""

    def input_formats(self) -> Sequence[AudioFormat]:
        return (PCM16_16K,)


@pytest.mark.parametrize("stt", ["fake", STTRecord("wide", WideSTT)])
async def test_with_every_stage_on_the_conversation_is_the_same(simcall: Any, stt: Any) -> None:
    async with simcall(
        stt=stt, replies=["We are open."], noise_filter=NoiseFilterRecord("watched", Watched), **ALL
    ) as call:
        await call.caller_says("Are you open?")
        await call.agent_says("We are open.")

    assert [entry.text for entry in call.transcript] == ["Are you open?", "We are open."]
    assert set(Watched.rates) == {8000 if stt == "fake" else 16000}


@pytest.mark.behaviour("SP-18")
async def test_a_filter_that_fails_in_a_call_is_left_out_with_one_warning_and_the_call_goes_on(
    simcall: Any, caplog: Any
) -> None:
    with caplog.at_level(logging.WARNING):
        async with simcall(
            replies=["We are open.", "Until five."], noise_filter=NoiseFilterRecord("failing", Failing), **ALL
        ) as call:
            await call.caller_says("Are you open?")
            await call.agent_says("We are open.")
            await call.caller_says("How long?")
            await call.agent_says("Until five.")

    warnings = [record for record in caplog.records if "noise filter" in record.getMessage()]
    assert len(warnings) == 1
    assert len(Failing.rates) == Failing.fail_at
    assert [entry.text for entry in call.transcript if entry.role == "user"] == ["Are you open?", "How long?"]
    assert call.failures == []


# -- audio that nobody touches


class Kept:
    """What passed on the line of one call, as the very objects."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.sent: list[bytes] = []
        self.recognised: list[bytes] = []
        self.spoken: list[list[bytes]] = []
        self.stt_formats: list[AudioFormat] = []


class KeepingProtocol(FakeMediaProtocol):
    """Keeps what the caller sent and what he is sent."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def parse(self, text: str) -> MediaEvent | None:
        event = super().parse(text)
        if isinstance(event, AudioReceived):
            self._kept.received.append(event.payload)
        return event

    def media(self, payload: bytes) -> str:
        self._kept.sent.append(payload)
        return super().media(payload)


class KeepingPhone:
    """The fakes as a plugin, each of which keeps what passes; the format of each is the test's choice."""

    patter_register_llm = staticmethod(fake_plugin.patter_register_llm)
    patter_register_vad = staticmethod(fake_plugin.patter_register_vad)

    def __init__(self, carrier: AudioFormat, stt: AudioFormat, tts: AudioFormat) -> None:
        self.kept = Kept()
        self.formats = {"carrier": carrier, "stt": stt, "tts": tts}

    @hookimpl
    def patter_register_carrier(self) -> list[CarrierRecord]:
        kept, line = self.kept, self.formats["carrier"]

        class KeepingCarrier(FakeCarrier):
            def __init__(self, context: ProviderContext) -> None:
                super().__init__(context, encoding=line.encoding, rate=line.rate)

            def media_protocol(self) -> KeepingProtocol:
                return KeepingProtocol(kept)

        return [CarrierRecord("fake", KeepingCarrier, marks=True, clear=True)]

    @hookimpl
    def patter_register_stt(self) -> list[STTRecord]:
        kept, wanted = self.kept, self.formats["stt"]

        class KeepingSTT(FakeSTT):
            def __init__(self, context: ProviderContext) -> None:
                super().__init__(context)

            def input_formats(self) -> Sequence[AudioFormat]:
                return (wanted,)

            async def connect(self, audio_format: AudioFormat) -> None:
                kept.stt_formats.append(audio_format)
                await super().connect(audio_format)

            def send_audio(self, chunk: bytes) -> None:
                kept.recognised.append(chunk)
                super().send_audio(chunk)

        return [STTRecord("fake", KeepingSTT)]

    @hookimpl
    def patter_register_tts(self) -> list[TTSRecord]:
        kept, given = self.kept, self.formats["tts"]

        class KeepingTTS(FakeTTS):
            def __init__(self, context: ProviderContext) -> None:
                super().__init__(context, encoding=given.encoding, rate=given.rate, chunk_bytes=777)

            async def synthesize(self, text: str) -> AsyncIterator[bytes]:
                chunks: list[bytes] = []
                kept.spoken.append(chunks)
                async for chunk in super().synthesize(text):
                    chunks.append(chunk)
                    yield chunk

        return [TTSRecord("fake", KeepingTTS)]


def converted(chunks: Sequence[bytes], source: AudioFormat, target: AudioFormat, *, flush: bool) -> bytes:
    """One conversion of a whole stream."""
    converter = Converter(source, target)
    audio = converter.process(b"".join(chunks))
    return audio + converter.flush() if flush and source != target else audio


async def conversation(simcall: Any, phone: Any, plugin: KeepingPhone) -> Kept:
    """The greeting of the agent and one answer; returns what passed."""
    phone.plugins.unregister(fake_plugin)
    phone.register(plugin)
    async with simcall(first_message="Hello, who is it?", replies=["Good to hear you."]) as call:
        await call.agent_says("Hello, who is it?")
        await call.caller_says("It is me")
        await call.agent_says("Good to hear you.")
        await call.quiet(200)
    assert [entry.text for entry in call.transcript] == ["Hello, who is it?", "It is me", "Good to hear you."]
    return plugin.kept


FORMATS = [MULAW_8K, ALAW_8K, PCM16_16K]


@pytest.mark.behaviour("SP-03", "SP-17")
@pytest.mark.parametrize("line", FORMATS, ids=str)
async def test_who_speaks_the_carriers_format_gets_and_gives_the_very_bytes(
    simcall: Any, phone: Any, line: AudioFormat
) -> None:
    kept = await conversation(simcall, phone, KeepingPhone(line, line, line))

    assert set(kept.stt_formats) == {line}
    assert len(kept.recognised) > 100
    # The STT is connected in the step after the call's start; what came before waited for it.
    assert all(taken is frame for taken, frame in zip(kept.recognised, kept.received, strict=True))
    assert b"".join(kept.sent) == b"".join(chunk for chunks in kept.spoken for chunk in chunks)


@pytest.mark.behaviour("SP-03")
@pytest.mark.parametrize("line", [MULAW_8K, ALAW_8K], ids=str)
@pytest.mark.parametrize("other", [PCM16_8K, PCM16_16K, PCM16_24K], ids=str)
async def test_who_speaks_another_format_is_converted_once_at_the_edge(
    simcall: Any, phone: Any, line: AudioFormat, other: AudioFormat
) -> None:
    """As one stream: converted in pieces or on the way through a third format, other bytes would come out."""
    kept = await conversation(simcall, phone, KeepingPhone(line, other, other))

    assert set(kept.stt_formats) == {other}
    assert b"".join(kept.recognised) == converted(kept.received, line, other, flush=False)
    spoken = [converted(chunks, other, line, flush=True) for chunks in kept.spoken]
    assert b"".join(kept.sent) == b"".join(spoken)


STARTED = """
import sys
from patter import Agent
from patter.testing.pytest_phone import FAKES, PhoneTest

test = PhoneTest("imports")
phone = test.make_phone()

async def main():
    await phone.start(Agent(**FAKES, echo_cancellation={on}), port=0)
    print(*(name for name in sys.modules if name.endswith(("echo_cancellation", "echo_reference"))))

test.run_test(main())
test.close()
"""


@pytest.mark.behaviour("PW-20")
@pytest.mark.parametrize("on", [True, False])
def test_echo_cancellation_is_imported_at_the_start_of_the_phone_if_the_agent_has_it_on(on: bool) -> None:
    script = STARTED.format(on=on)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {"patter.audio.echo_cancellation", "patter.call.echo_reference"}
    assert set(done.stdout.split()) == (loaded if on else set())
