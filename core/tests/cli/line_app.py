"""The application of the tests of commands: an agent that says hello and never understands anything."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from patter import Agent, LLMRecord, STTRecord, TTSRecord, hookimpl
from patter.audio.formats import MULAW_8K
from patter.providers.llm import LLM
from patter.providers.stt import STT
from patter.providers.tts import TTS


class DeafSTT(STT):
    def __init__(self):
        self.closed = asyncio.Event()

    def input_formats(self):
        return [MULAW_8K]

    async def connect(self, audio_format):
        pass

    def send_audio(self, chunk):
        pass

    async def receive(self):
        await self.closed.wait()
        return
        yield

    async def close(self):
        self.closed.set()
        await asyncio.sleep(float(os.environ.get("SLOW_CLOSE_S", "0")))


class ToneTTS(TTS):
    def output_format(self):
        return MULAW_8K

    async def synthesize(self, text):
        yield b"\x10" * 8000

    async def close(self):
        pass


class SilentLLM(LLM):
    async def stream(self, messages, tools, *, cancel_event, call_id):
        return
        yield

    async def close(self):
        pass


class SlowEnd:
    """Holds the end of each call up for as long as the test wants."""

    @hookimpl
    async def patter_call_ended(self):
        began = time.perf_counter()
        try:
            await asyncio.sleep(float(os.environ.get("SLOW_END_S", "0")))
        finally:
            print(f"patter_call_ended had {time.perf_counter() - began:.2f} s", file=sys.stderr, flush=True)


agent = Agent(
    first_message="Hello.",
    stt=STTRecord("deaf", DeafSTT, endpoints=True),
    llm=LLMRecord("silent", SilentLLM),
    tts=TTSRecord("tone", ToneTTS),
)
agent.register(SlowEnd())
not_an_agent = 3
