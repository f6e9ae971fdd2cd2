"""The server under test of the call-carrying benchmark: a `Patter` with instant providers in memory.

    python bench.py patter --cmd "python tests/bench/bench_server.py --port {port}" \
        --webhook "http://127.0.0.1:{port}/webhooks/twilio/voice" --auth-token TOKEN

The stub providers follow the benchmark's rules: the transcript at the instant in which the VAD's silence ends the
turn, 40 tokens without delay, exactly 2 s of audio for each sentence in chunks of 20 ms of 16 kHz PCM.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np

from patter import Agent, LLMRecord, Patter, STTRecord, TTSRecord
from patter.audio.formats import MULAW_8K, PCM16_16K, AudioFormat
from patter.providers.llm import LLM, Done, LLMChunk, Text
from patter.providers.stt import STT, Final, STTEvent
from patter.providers.tts import TTS

GREETING = "Hello, thank you for calling the booking line."
REPLY = (
    "Sure, I can help you with that booking for two people tomorrow evening at our nice main place. "
    "The table is reserved under your name and we look forward to seeing you there with us again very soon my friend. "
)
TOKENS = [word + " " for word in REPLY.split()]
TRANSCRIPT = "hello i am calling you about my new order number"


def _chirp() -> list[bytes]:
    """2 s from 300 to 3000 Hz at 16 kHz in chunks of 20 ms: its content tells its place in time."""
    seconds = np.arange(32000) / 16000
    phase = 2 * np.pi * (300 * seconds + 2700 * seconds * seconds / 4)
    audio = (np.sin(phase) * 10000).astype("<i2").tobytes()
    return [audio[start : start + 640] for start in range(0, len(audio), 640)]


CHUNKS = _chirp()


class EventLog:
    """Stub events as JSON lines on the monotonic clock, where the harness asks for them."""

    def __init__(self, path: str | None) -> None:
        self._file = open(path, "a", buffering=1) if path else None  # noqa: SIM115 - open for the server's life

    def __call__(self, event: str, **data: Any) -> None:
        if self._file:
            self._file.write(json.dumps({"t": time.monotonic(), "ev": event, **data}) + "\n")


log = EventLog(os.environ.get("BENCH_EVENTS"))


class InstantSTT(STT):
    """Answers `finalize()` at once with the same transcript, never the same twice in the eyes of a filter."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[Final | None] = asyncio.Queue()

    def input_formats(self) -> Sequence[AudioFormat]:
        return [MULAW_8K]

    async def connect(self, audio_format: AudioFormat) -> None:
        return None

    def send_audio(self, chunk: bytes) -> None:
        return None

    async def finalize(self) -> None:
        log("stt_final")
        self._events.put_nowait(Final(TRANSCRIPT, from_finalize=True))

    async def receive(self) -> AsyncIterator[STTEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self) -> None:
        self._events.put_nowait(None)


class InstantLLM(LLM):
    """40 tokens without delay."""

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[LLMChunk]:
        log("llm_start")
        for token in TOKENS:
            yield Text(token)
        yield Done()

    async def close(self) -> None:
        return None


class InstantTTS(TTS):
    """2 s of chirp for each sentence."""

    def output_format(self) -> AudioFormat:
        return PCM16_16K

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        log("tts_start", chars=len(text))
        for chunk in CHUNKS:
            yield chunk
            await asyncio.sleep(0)

    async def close(self) -> None:
        return None


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--auth-token", default="TOKEN")
    parser.add_argument("--public", default="")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    os.environ.setdefault("TWILIO_ACCOUNT_SID", "AC" + "0" * 32)
    os.environ.setdefault("TWILIO_AUTH_TOKEN", options.auth_token)
    phone = Patter(
        carrier="twilio",
        phone_number="+15550001234",
        webhook_url=options.public or f"http://127.0.0.1:{options.port}",
        max_calls=1000,
    )
    agent = Agent(
        first_message=GREETING,
        stt=STTRecord("instant", InstantSTT),
        llm=LLMRecord("instant", InstantLLM),
        tts=TTSRecord("instant", InstantTTS),
        vad=os.environ.get("BENCH_VAD", "silero"),
    )
    gc.collect()
    gc.freeze()
    await phone.serve(agent, port=options.port)


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
