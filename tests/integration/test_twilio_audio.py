"""The caller's audio on its way in and the agent's on its way out: every frame, in time, over real sockets."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from patter import LLMRecord, STTRecord, TTSRecord
from patter.audio.formats import MULAW_8K
from patter.providers.llm import LLM, Done, Text
from patter.providers.stt import STT, Final, SpeechStarted
from patter.providers.tts import TTS

#: one frame, for clocks of two tasks
FRAME_S = 0.02


class Recording(STT):
    """Keeps the caller's audio; connects and takes frames as slowly as it is told."""

    def __init__(self, kept, connect_s=0.0, endpoints=False):
        self.kept = kept
        self._connect_s = connect_s
        self._events = asyncio.Queue()
        self._endpoints = endpoints
        self._speech = bytearray()
        self._quiet = 0

    def input_formats(self):
        return [MULAW_8K]

    async def connect(self, audio_format):
        await asyncio.sleep(self._connect_s)

    def send_audio(self, chunk):
        self.kept.append(chunk)
        if self._endpoints:
            self._judge(chunk)

    def _judge(self, chunk):
        if chunk.strip(b"\xff"):
            if not self._speech:
                self._events.put_nowait(SpeechStarted())
            self._speech += chunk
            self._quiet = 0
            return
        self._quiet += 1
        if self._speech and self._quiet == 5:
            text = bytes(code for code in self._speech[::40] if code != 0xFF).decode("ascii")
            self._speech.clear()
            self._events.put_nowait(Final(text))

    async def receive(self):
        while (event := await self._events.get()) is not None:
            yield event

    async def close(self):
        self._events.put_nowait(None)


class Slow(Recording):
    """Takes 100 ms for each frame of 20 ms."""

    async def send_audio(self, chunk):
        await asyncio.sleep(0.1)
        self.kept.append(chunk)


def sent_by(call):
    """The caller's frames as they were sent, silence included, up to now."""
    stream = call.stream
    spoken = {round((part.t - stream.started_t) / FRAME_S): part.audio for part in stream.said}
    return [spoken.get(number, b"").ljust(160, b"\xff") for number in range(stream._chunk)]


@pytest.mark.behaviour("PW-19")
def test_a_slow_stt_delays_no_greeting_and_loses_no_word_said_while_it_connects(carrier):
    kept, first_byte_s = defaultdict(list), {}

    async def scenario():
        for connect_s in (0.0, 0.4):
            record = STTRecord("recording", lambda s=connect_s: Recording(kept[s], s))
            agent = carrier.agent(
                stt=record, first_message="Hello and welcome.", barge_in_strategies="min-words?min_words=50"
            )
            async with carrier.loopback(agent) as served:
                call = await served.ring()
                await call.say(carrier.written("I spoke before you did"))
                await served.hears(call, "welcome.")
                await carrier.until(lambda c=call, s=connect_s: len(kept[s]) >= len(c.said) + 10)
                first_byte_s[connect_s] = call.heard[0][0] - call.stream.started_t
                frames = sent_by(call)
                count = len(kept[connect_s])
                assert kept[connect_s] == frames[:count]
                assert carrier.read(b"".join(frames[:count])) == "I spoke before you did"
                call.hangup()
                await served.ended(call, total=1)

    asyncio.run(scenario())
    assert first_byte_s[0.4] - first_byte_s[0.0] < 0.05
    assert first_byte_s[0.4] < 0.2


@pytest.mark.behaviour("LC-05")
def test_an_stt_that_takes_100_ms_a_frame_holds_up_no_mark_and_no_stop(carrier):
    kept = []

    async def scenario():
        agent = carrier.agent(stt=STTRecord("slow", lambda: Slow(kept)), turn_end="manual", first_message="")
        async with carrier.loopback(agent) as served:
            call = await served.ring()
            line = served.line(call)
            # 100 frames are 2 s, and what it has taken meanwhile is a fifth.
            await carrier.until(lambda: call.stream._chunk - len(kept) > 130)
            line.call.say(
                "Are you still there, and can you hear every single word that I am saying to you? " * 2
            )
            await served.listening(call)
            assert len(call.stream.echoes) >= 3
            assert call.stream._chunk - len(kept) > 50  # frames still wait

            ended = asyncio.get_running_loop().create_future()
            line.call.on(
                "call_ended", lambda _: ended.done() or ended.set_result(asyncio.get_running_loop().time())
            )
            sent = asyncio.get_running_loop().time()
            call.hangup()
            assert await asyncio.wait_for(ended, 5) - sent < 0.05 + FRAME_S
            await served.ended(call, total=1)
            (summary,) = served.summaries
            # The carrier's echoes come at once here, so what is measured is how late they were handled.
            assert 0 < summary.metrics["carrier_delay_ms"] < 50
            # What it did not take is the oldest beyond 2 s: counted, and nothing else is lost.
            assert summary.lost_frames > 20
            waiting = call.stream._chunk - len(kept) - summary.lost_frames
            assert 95 <= waiting <= 103

    asyncio.run(scenario())


class Finalizing(Recording):
    """Answers `finalize()` with what was said since the last one, and gives no interims."""

    def __init__(self, kept, read):
        super().__init__(kept)
        self._read = read
        self._done = 0

    async def finalize(self):
        said = b"".join(chunk for chunk in self.kept[self._done :] if chunk.strip(b"\xff"))
        self._done = len(self.kept)
        self._events.put_nowait(Final(self._read(said), from_finalize=True))


class Endless(LLM):
    """Goes on telling until it is closed; other questions are answered."""

    def __init__(self, closed):
        self._closed = closed

    async def stream(self, messages, tools, *, cancel_event, call_id):
        said = messages[-1].content
        if "story" not in said:
            yield Text(f"You said {said}. ")
            yield Done()
            return
        try:
            yield Text("Once upon a time there was a house. " * 3)
            await asyncio.Event().wait()
        finally:
            self._closed.append("llm")

    async def close(self):
        return None


class Drawling(TTS):
    """Makes a story's sentence as slowly as it sounds, without an end."""

    def __init__(self, closed, written):
        self._closed = closed
        self._written = written

    def output_format(self):
        return MULAW_8K

    async def synthesize(self, text):
        yield self._written(text.strip() + " ")
        if "house" in text:
            try:
                while True:
                    yield self._written("and on ")
                    await asyncio.sleep(0.02)
            finally:
                self._closed.append("tts")

    async def close(self):
        return None


@pytest.mark.behaviour("BI-12")
def test_a_confirmed_interruption_acts_once_and_the_stt_has_every_frame_from_before_it(carrier):
    kept, outcomes, closed = [], [], []

    async def scenario():
        agent = carrier.agent(
            stt=STTRecord("finalizing", lambda: Finalizing(kept, carrier.read)),
            llm=LLMRecord("endless", lambda: Endless(closed)),
            tts=TTSRecord("drawling", lambda: Drawling(closed, carrier.written)),
            barge_in_strategies="min-words?min_words=2",
        )
        async with carrier.loopback(agent) as served:
            call = await served.ring_and_greet()
            served.line(call).call.on("interruption", outcomes.append)
            await call.say(carrier.written("tell me a story"))
            await served.hears(call, "and on and on and on")
            before = len(kept)
            assert closed == []
            await call.say(carrier.written("stop it right now"))
            await carrier.until(lambda: call.clears)
            await carrier.until(lambda: sorted(closed) == ["llm", "tts"])
            await served.hears(call, "You said stop it right now.")
            await served.listening(call)
            # Nothing of the story sounds after the clear.
            after = b"".join(audio for t, audio in call.heard if t >= call.clears[0])
            assert carrier.read(after) == "You said stop it right now. "
            assert [outcome.outcome for outcome in outcomes] == ["confirmed"]
            assert (len(call.clears), sorted(closed)) == (1, ["llm", "tts"])
            # Each frame once and in order, so also those of the 250 ms before the speech.
            assert before > 13
            assert kept == sent_by(call)[: len(kept)]
            call.hangup()
            await served.ended(call, total=1)
            assert served.summaries[0].metrics["interruptions"] == 1

    asyncio.run(scenario())


class Timed(TTS):
    """Writes its sentences at once, and keeps when it was asked for each."""

    def __init__(self, carrier, asked):
        self._carrier = carrier
        self.asked = asked

    def output_format(self):
        return MULAW_8K

    async def synthesize(self, text):
        self.asked.append((asyncio.get_running_loop().time(), text.strip()))
        yield self._carrier.written(text.strip() + " ")

    async def close(self):
        return None


@pytest.mark.behaviour("PL-10")
def test_the_next_sentence_is_made_while_one_plays_and_no_gap_is_heard(carrier):
    asked = []

    async def scenario():
        record = TTSRecord("timed", lambda: Timed(carrier, asked))
        async with carrier.loopback(carrier.agent(tts=record)) as served:
            call = await served.ring_and_greet()
            await call.say(carrier.written("a story"))
            await served.hears(call, "part 12 of a long story.")
            story = [(t, audio) for t, audio in call.heard][1:]
            heard = served.heard(call).removeprefix("Hello. ")
            sentences = [text for _, text in asked if text.startswith("This is part")]
            assert heard.startswith(" ".join(sentences[:11]))
            assert sentences == [f"This is part {n} of a long story." for n in range(1, len(sentences) + 1)]
            began = story[0][0]
            position = 0.0
            for number, (t, text) in enumerate(asked[1:12]):
                starts = began + position / 8000
                if number:
                    assert t < starts, text  # asked for before it, and so while an earlier one played
                position += len(carrier.written(text + " "))
            call.hangup()
            await served.ended(call, total=1)
            first = next(index for index, (t, _) in enumerate(call.heard) if t >= began)
            ends = [t + len(audio) / 8000 for t, audio in call.heard[first:]]
            silences = [after[0] - end for end, after in zip(ends, call.heard[first + 1 :], strict=False)]
            assert max(silences) <= 0.040

    asyncio.run(scenario())


@pytest.mark.behaviour("SP-16")
def test_silero_is_used_with_its_phone_preset_and_without_a_vad_the_stt_says_when_speech_starts(
    carrier, monkeypatch, onnxruntime_loaded
):
    async def with_silero():
        async with carrier.loopback(carrier.agent(vad=None)) as served:
            plan = served.phone.planner.plan(served.phone.agent)
            assert plan.parts["vad"].reference == "silero"
            assert "activation=0.8" in plan.parts["vad"].key
            assert "deactivation=0.65" in plan.parts["vad"].key

    async def without():
        kept, started = [], []
        record = STTRecord("recording", lambda: Recording(kept, endpoints=True), endpoints=True)
        async with carrier.loopback(carrier.agent(vad=None, stt=record)) as served:
            call = await served.ring_and_greet()
            served.line(call).call.on("user_speech_started", started.append)
            await call.say(carrier.written("a story"))
            await served.hears(call, "part 3")
            await call.say(carrier.written("stop"))
            await served.hears(call, "You said stop.")
            assert (len(started), len(call.clears)) == (2, 1)
            call.hangup()
            await served.ended(call, total=1)

    asyncio.run(with_silero())
    monkeypatch.setenv("PATTER_DISABLE_PLUGINS", "patter-silero")
    asyncio.run(without())
