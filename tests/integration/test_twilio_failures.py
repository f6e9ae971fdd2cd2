"""A part of a call that raises, in any of its tasks: one event, the rest goes on, and no exception is lost."""

from __future__ import annotations

import asyncio
import logging

import pytest

from patter import BargeInStrategy, LLMRecord, NoiseFilterRecord, STTRecord, TTSRecord, VADRecord
from patter.audio.formats import MULAW_8K
from patter.providers.carrier import CallStatus
from patter.providers.llm import LLM, Done, Text
from patter.providers.stt import STT, Final
from patter.providers.tts import TTS


class Fuse:
    """Burns once in a call, whatever object holds it."""

    def __init__(self):
        self.burnt = False

    def burn(self):
        if not self.burnt:
            self.burnt = True
            raise ValueError("a bug in a provider")


class Ears(STT):
    """Reads what was said; a saying that begins with "bug" burns the fuse in the place it was told."""

    def __init__(self, fuse, place, read):
        self._fuse, self._place, self._read = fuse, place, read
        self._heard = bytearray()
        self._events = asyncio.Queue()

    def input_formats(self):
        return [MULAW_8K]

    async def connect(self, audio_format):
        return None

    def send_audio(self, chunk):
        self._heard += chunk.strip(b"\xff")
        if self._place == "send_audio" and self._read(bytes(self._heard)).startswith("bug"):
            self._fuse.burn()

    async def finalize(self):
        text, self._heard = self._read(bytes(self._heard)), bytearray()
        if self._place == "finalize" and text.startswith("bug"):
            self._fuse.burn()
        self._events.put_nowait(Final(text, from_finalize=True))

    async def receive(self):
        while (event := await self._events.get()) is not None:
            if self._place == "receive" and event.text.startswith("bug"):
                self._fuse.burn()
            yield event

    async def close(self):
        self._events.put_nowait(None)


class AsyncEars(Ears):
    async def send_audio(self, chunk):
        super().send_audio(chunk)


class Brain(LLM):
    def __init__(self, fuse, place):
        self._fuse, self._place = fuse, place

    async def stream(self, messages, tools, *, cancel_event, call_id):
        if self._place == "before" and messages[-1].content.startswith("bug"):
            self._fuse.burn()
        yield Text(f"You said {messages[-1].content}. ")
        if self._place == "after" and messages[-1].content.startswith("bug"):
            self._fuse.burn()
        yield Done()

    async def close(self):
        raise ValueError("a bug in closing")


class Mouth(TTS):
    def __init__(self, fuse, written):
        self._fuse, self._written = fuse, written

    def output_format(self):
        return MULAW_8K

    async def synthesize(self, text):
        if "bug" in text:
            self._fuse.burn()
        yield self._written(text.strip() + " ")

    async def close(self):
        return None


def parts_with(place, fuse, carrier):
    """The provider in which the fuse burns."""
    if place == "async send_audio":
        return {"stt": STTRecord("ears", lambda: AsyncEars(fuse, "send_audio", carrier.read))}
    if place in ("send_audio", "finalize", "receive"):
        return {"stt": STTRecord("ears", lambda: Ears(fuse, place, carrier.read))}
    if place in ("before", "after"):
        return {"llm": LLMRecord("brain", lambda: Brain(fuse, place))}
    return {"tts": TTSRecord("mouth", lambda: Mouth(fuse, carrier.written))}


@pytest.mark.behaviour("LC-12")
@pytest.mark.parametrize(
    "place", ["send_audio", "async send_audio", "finalize", "receive", "before", "after", "voice"]
)
def test_a_provider_that_raises_once_is_told_once_and_healed(carrier, place, caplog):
    failures = []

    async def scenario():
        fuse = Fuse()
        agent = carrier.agent(**parts_with(place, fuse, carrier), llm_error_message="Sorry.")
        async with carrier.loopback(agent) as served:
            call = await served.ring_and_greet()
            line = served.line(call)
            line.call.on("failed", failures.append)
            await call.say(carrier.written("bugs are here"))
            await carrier.until(lambda: fuse.burnt)
            await carrier.until(lambda: len(failures) == 1)
            # What was said is answered all the same, unless it was lost with what had heard it.
            if place not in ("receive", "finalize"):
                await served.hears(call, "bugs are here.")
            await carrier.until(lambda: line.call.agent_state == "listening")
            await served.talk(call, "we go on")
            call.hangup()
            await served.ended(call, total=1)
            (failure,) = failures
            kind = {"before": "llm", "after": "llm", "voice": "tts"}.get(place, "stt")
            assert failure.kind == kind
            assert served.summaries[0].outcome is CallStatus.COMPLETED

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "never retrieved" not in caplog.text


class Judging(BargeInStrategy):
    def __init__(self):
        self.asked = 0

    def evaluate(self, event):
        self.asked += 1
        if "bug" in event.transcript:
            raise ValueError("a bug in a strategy")
        return "stop" in event.transcript


class Gate:
    """A filter that breaks at its tenth frame."""

    def __init__(self):
        self._frames = 0

    def process(self, pcm, rate):
        self._frames += 1
        if self._frames == 10:
            raise ValueError("a bug in a filter")
        return pcm

    def reset(self):
        return None

    def close(self):
        raise ValueError("a bug in closing")


@pytest.mark.behaviour("LC-12")
def test_strategies_filters_and_subscribers_that_raise_leave_the_call_to_go_on(carrier):
    async def failing(_):
        raise ValueError("a bug in a subscriber")

    def failing_at_once(_):
        raise ValueError("a bug in a subscriber")

    seen = []

    async def watching(summary):
        await asyncio.sleep(0)
        seen.append(summary)

    async def scenario():
        agent = carrier.agent(barge_in_strategies=[Judging()], noise_filter=NoiseFilterRecord("gate", Gate))
        async with carrier.loopback(agent) as served:
            call = await served.ring()
            for event in ("turn_ended", "transcript_final", "user_speech_started", "call_ended"):
                served.line(call).call.on(event, failing)
                served.line(call).call.on(event, failing_at_once)
            served.line(call).call.on("call_ended", watching)
            await served.greeted(call)
            await call.say(carrier.written("tell me a story"))
            await served.hears(call, "part 2")
            await call.say(carrier.written("a bug"))
            await carrier.until(lambda: "part 5" in served.heard(call))
            assert call.clears == []
            call.hangup()
            await served.ended(call, total=1)
            assert served.summaries[0].outcome is CallStatus.COMPLETED
            await carrier.until(lambda: seen)
            assert seen == served.summaries

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-12")
def test_a_vad_that_raises_ends_its_own_call_as_failed(carrier):
    class Fragile:
        def __init__(self):
            self._frames = 0

        def process_frame(self, pcm, rate):
            if pcm.any():
                raise ValueError("a bug in a detector")

        def reset(self):
            return None

        def close(self):
            return None

    failures = []

    async def scenario():
        async with carrier.loopback(carrier.agent(vad=VADRecord("fragile", Fragile))) as served:
            other = await served.ring()
            call = await served.ring_and_greet()
            served.line(call).call.on("failed", failures.append)
            await call.say(carrier.written("oh"))
            await served.ended(call, total=1)
            assert [(failure.kind, failure.reference) for failure in failures] == [
                ("vad", "VADRecord 'fragile'")
            ]
            (summary,) = served.summaries
            assert (summary.outcome, summary.reason) == (
                CallStatus.FAILED,
                "voice activity detection failed",
            )
            assert served.line(other).call.agent_state == "listening"
            other.hangup()
            await served.ended(other, total=2)

    asyncio.run(scenario())
