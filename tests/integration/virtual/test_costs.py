"""The cost of many whole calls against books that their providers keep of themselves.

60 calls are played; `PATTER_MANY_CALLS=1000` plays that many.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from patter import Agent, LLMRecord, STTRecord, TTSRecord, hookimpl
from patter.errors import ProviderError
from patter.providers.llm import Text, ToolCallDelta, Usage
from patter.testing import Reply
from patter.testing.fake_llm import FakeLLM
from patter.testing.fake_stt import FakeSTT
from patter.testing.fake_tts import FakeTTS
from patter.testing.scene import VoiceFault

MANY = int(os.environ.get("PATTER_MANY_CALLS", "0")) or 60
#: calls of one phone, one after the other
BATCH = 60
GREETING = "Hello, this is Acme. How can I help you today?"
#: what the vendors take, of a second, a character or a token; the call's prices are made of these
CALL_S, MEDIA_S, HEARD_S, CHARACTER = 0.0002, 0.00005, 0.0001, 0.00003
TOKENS = {
    "one": {"input": 3e-6, "output": 15e-6, "cache_read": 3e-7, "cache_write": 4e-6},
    "two": {"input": 1e-6, "output": 2e-6},
}
PRICES = {
    "carrier": {"fake": {"call": CALL_S * 60, "media_stream": MEDIA_S * 60}},
    "stt": {"booked": {"audio": HEARD_S * 60}},
    "tts": {"booked": {"characters": CHARACTER * 1000}},
    "llm": {name: dict(parts) for name, parts in TOKENS.items()},
}


@dataclass
class Books:
    """What the vendors of one call wrote down."""

    heard_s: float = 0.0
    characters: int = 0
    model: float = 0.0
    requests: int = 0
    uncounted: int = 0
    voices: set[str] = field(default_factory=set)


books = Books()


class BookedSTT(FakeSTT):
    """Counts the audio that it was sent."""

    async def connect(self, audio_format: Any) -> None:
        self._bytes_per_s = audio_format.rate * (2 if audio_format.encoding.value == "pcm16" else 1)
        await super().connect(audio_format)

    def send_audio(self, chunk: bytes) -> None:
        super().send_audio(chunk)
        books.heard_s += len(chunk) / self._bytes_per_s


class BookedTTS(FakeTTS):
    """Counts the characters of what it spoke, or began to."""

    async def synthesize(self, text: str) -> Any:
        counted = False
        try:
            async for chunk in super().synthesize(text):
                books.characters += 0 if counted else len(text)
                counted = True
                yield chunk
        except ProviderError:
            raise
        except BaseException:  # it was given up before the first sound
            books.characters += 0 if counted else len(text)
            raise


class BookedLLM(FakeLLM):
    """Counts tokens as it tells them, and a quarter of the characters where it tells none."""

    name = "one"

    async def stream(self, messages: Any, tools: Any, *, cancel_event: Any, call_id: str) -> Any:
        prices = TOKENS[self.name]
        given = sum(
            len(one.content) + sum(len(call.name + call.arguments) for call in one.tool_calls)
            for one in messages
        )
        written, told, answered, failed = 0, None, False, False
        try:
            async for chunk in super().stream(messages, tools, cancel_event=cancel_event, call_id=call_id):
                if isinstance(chunk, Text):
                    written += len(chunk.content)
                elif isinstance(chunk, ToolCallDelta):
                    written += len(chunk.name or "") + len(chunk.arguments)
                told = chunk if isinstance(chunk, Usage) else told
                answered = True
                yield chunk
        except ProviderError:
            failed = True
            raise
        finally:
            if answered or not failed:
                books.requests += 1
                books.uncounted += told is None
                usage = told or Usage(math.ceil(given / 4), math.ceil(written / 4))
                read, write = usage.cache_read_tokens, usage.cache_write_tokens
                books.model += (usage.input_tokens - read - write) * prices["input"]
                books.model += read * prices.get("cache_read", prices["input"])
                books.model += write * prices.get("cache_write", prices["input"])
                books.model += usage.output_tokens * prices["output"]


class OtherLLM(BookedLLM):
    """The same protocol, another vendor."""

    name = "two"


class Vendors:
    """The vendors as a plugin."""

    @hookimpl
    def patter_register_stt(self) -> list[STTRecord]:
        return [STTRecord("booked", BookedSTT, interims=True)]

    @hookimpl
    def patter_register_tts(self) -> list[TTSRecord]:
        return [TTSRecord("booked", BookedTTS)]

    @hookimpl
    def patter_register_llm(self) -> list[LLMRecord]:
        return [LLMRecord("one", BookedLLM), LLMRecord("two", OtherLLM)]


def drawn_reply(random: Random) -> Reply:
    """An answer of the model: told or not, cached or not, slow or quick, whole or broken."""
    text = " ".join(["This is what there is to say."] * random.randint(1, 5))
    if random.random() < 0.1:
        return Reply(error=ProviderError("down"))
    if random.random() < 0.1:
        return Reply(text, error=ProviderError("broke off"), tokens_before_error=random.randint(1, 5))
    usage = None
    if random.random() < 0.4:
        given = random.randint(100, 5000)
        read = random.randint(0, given)
        usage = Usage(given, random.randint(1, 300), read, random.randint(0, given - read))
    return Reply(text, counted=random.random() < 0.5, usage=usage, token_delay_s=random.choice([0.0, 0.02]))


async def play(simcall: Any, random: Random) -> Any:
    """A call with a few turns, some of which are interrupted."""
    prewarms = random.random() < 0.5
    agent = Agent(
        stt=f"booked?endpoints={random.choice(['true', 'false'])}",
        llm="one",
        tts=f"booked?delay_ms={random.choice([0, 200])}&rate={random.choice([8000, 16000])}&encoding=pcm16",
        vad="fake",
        first_message=GREETING,
        prewarm_first_message=prewarms,
        llm_fallbacks=["two"] if random.random() < 0.5 else [],
        llm_error_message="That did not work.",
    )
    turns = random.randint(0, 4)
    call = simcall(
        agent, replies=[drawn_reply(random) for _ in range(3 * turns)], ring_s=2.0 if prewarms else 0.0
    )
    if random.random() < 0.3:
        call.scene.voice.faults.extend([None, VoiceFault(error=ProviderError("mute"))])
    async with call:
        if random.random() < 0.7:
            await call.quiet(300)
        for _ in range(turns):
            await call.caller_says("And what about this?")
            await call.quiet(random.choice([20, 400, 1500]))
            if call.summary is not None:
                break
    return call.summary


@pytest.mark.behaviour("CO-02")
@pytest.mark.patter_phone(prices=PRICES)
@pytest.mark.parametrize("batch", range(math.ceil(MANY / BATCH)))
async def test_cost_is_what_the_vendors_books_say(simcall: Any, phone: Any, batch: int) -> None:
    global books
    phone.register(Vendors())
    random = Random(20261123 + batch)
    await phone.start(None, port=0)
    trunk = phone.switchboard.trunks["fake"]
    seen = Books()
    for _ in range(BATCH):
        increment_s = random.choice([1, 6, 60])
        phone.switchboard.trunks["fake"] = replace(
            trunk, record=replace(trunk.record, billing_increment_s=increment_s)
        )
        books = Books()
        summary = await play(simcall, random)
        billed_s = math.ceil(round(summary.duration_s, 3) / increment_s) * increment_s
        cost = summary.cost
        assert cost.telephony == pytest.approx(billed_s * (CALL_S + MEDIA_S))
        assert cost.stt == pytest.approx(books.heard_s * HEARD_S)
        assert cost.tts == pytest.approx(books.characters * CHARACTER)
        assert cost.llm == pytest.approx(books.model)
        whole = (
            billed_s * (CALL_S + MEDIA_S)
            + books.heard_s * HEARD_S
            + books.characters * CHARACTER
            + books.model
        )
        assert cost.total == pytest.approx(whole)
        assert cost.total == pytest.approx(sum(line.amount for line in cost.lines))
        seen.requests += books.requests
        seen.uncounted += books.uncounted
        seen.voices.update(line.provider for line in cost.lines if line.kind == "llm")
    assert seen.requests > BATCH
    assert seen.requests > seen.uncounted > BATCH / 10
    assert seen.voices == {"one", "two"}
