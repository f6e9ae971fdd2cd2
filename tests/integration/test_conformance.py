"""Every provider of this repository passes the conformance suite of its kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from patter.audio.convert import Converter
from patter.audio.formats import MULAW_8K, PCM16_16K, AudioFormat
from patter.audio.g711 import decode
from patter.testing.conformance import (
    BargeInConformance,
    CarrierConformance,
    LLMConformance,
    NoiseFilterConformance,
    RealtimeConformance,
    STTConformance,
    TTSConformance,
    VADConformance,
)
from patter_openai.realtime_simulator import RealtimeSimulator
from patter_openai.simulator import SimulatedCall, SimulatedReply, Simulator

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.testing.conformance.subject import Server

VOICE = Path(__file__).parents[2] / "plugins" / "silero" / "tests" / "data"
ACCOUNT, STREAM, CALL = (kind + "0" * 32 for kind in ("AC", "MZ", "CA"))


class TestMinWords(BargeInConformance):
    spec = "min-words?min_words=2"


class TestStopWords(BargeInConformance):
    spec = "stop-words"


class TestNoiseGate(NoiseFilterConformance):
    spec = "noise-gate"


class TestEspeak(TTSConformance):
    spec = "espeak"
    native_mulaw = False


class TestParrot(RealtimeConformance):
    spec = "parrot?delay_ms=100"
    native_mulaw = True


class TestScripted(LLMConformance):
    spec = "scripted"


class TestSilero(VADConformance):
    spec = "silero"

    def speech(self, rate: int) -> NDArray[Any]:
        """A recorded sentence."""
        pcm = decode(sorted(VOICE.glob("*.ulaw"))[0].read_bytes(), MULAW_8K.encoding)
        return pcm if rate == 8000 else np.repeat(pcm, rate // 8000)


class TestOpenAI(LLMConformance):
    spec = "openai/gpt-4.1-mini"
    tool_question = "When are you open on Monday?"

    @pytest.fixture
    def server(self) -> Server:
        """The simulated server, which asks for the tool when it is offered one."""

        def reply(body: dict[str, Any]) -> SimulatedReply:
            if body.get("tools"):
                return SimulatedReply("", (SimulatedCall("look_up", json.dumps({"day": "Monday"})),))
            return SimulatedReply("I am fine, thank you. How can I help you today?")

        @asynccontextmanager
        async def simulator() -> AsyncIterator[Mapping[str, Any]]:
            async with Simulator(reply) as running:
                yield {"base_url": running.base_url, "api_key": "test-key"}

        return simulator


class TestOpenAIRealtime(RealtimeConformance):
    spec = "openai-realtime"
    native_mulaw = True

    @pytest.fixture
    def server(self) -> Server:
        """The simulated engine, on loopback."""

        @asynccontextmanager
        async def simulator() -> AsyncIterator[Mapping[str, Any]]:
            async with RealtimeSimulator() as self.simulator:
                yield {"base_url": self.simulator.base_url, "api_key": self.simulator.key}

        return simulator

    def speech(self, audio_format: AudioFormat) -> bytes:
        """A tone, and the silence by which the server knows that it is over."""
        return super().speech(audio_format) + audio_format.silence(audio_format.rate // 2)

    async def openings(self) -> list[object]:
        """Of each connection: address, headers but for the key of the handshake, and the settings."""
        await asyncio.sleep(0.1)  # on their way
        return [
            (session.query, {**session.headers, "Sec-WebSocket-Key": ""}, session.instructed[:1])
            for session in self.simulator.sessions
        ]

    async def charged(self) -> int:
        """Responses."""
        sent = [event for session in self.simulator.sessions for _, event in session.sent]
        return sum(event["type"] == "response.created" for event in sent)


class TestTwilio(CarrierConformance):
    spec = "twilio"
    start_messages = (
        '{"event": "connected", "protocol": "Call", "version": "1.0.0"}',
        json.dumps(
            {
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": STREAM,
                "start": {
                    "streamSid": STREAM,
                    "accountSid": ACCOUNT,
                    "callSid": CALL,
                    "tracks": ["inbound"],
                    "customParameters": {},
                    "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                },
            }
        ),
    )

    @pytest.fixture
    def server(self) -> Server:
        """The account; nothing is dialled."""

        @asynccontextmanager
        async def account() -> AsyncIterator[Mapping[str, Any]]:
            yield {"account_sid": ACCOUNT, "auth_token": "a-token"}

        return account


@pytest.mark.realtime
class TestMoonshine(STTConformance):
    spec = "moonshine"
    native_mulaw = True
    words = "It was the best of times, it was the worst of times."

    def speech(self, audio_format: AudioFormat) -> bytes:
        """The beginning of the recording that comes with the engine."""
        from moonshine_voice.utils import get_assets_path, load_wav_file

        samples, rate = load_wav_file(get_assets_path() / "two_cities.wav")
        pcm = (np.array(samples[: int(rate * 4.6)]) * 32767).astype("<i2").tobytes()
        converter = Converter(AudioFormat(PCM16_16K.encoding, rate), audio_format)
        return converter.process(pcm) + converter.flush()
