"""Real voices through real engines: Moonshine hears, Silero says when, espeak-ng speaks; the words are echoed.

The caller's voice is that of `patter demo`. These tests run in real time and want the machine for themselves.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from patter import LLMRecord
from patter.audio.g711 import mulaw_decode
from patter.providers.llm import LLM, Done, Text
from patter.testing.word_errors import word_error_rate

yaml = pytest.importorskip("yaml")
for engine in ("patter_moonshine", "patter_espeak", "patter_silero"):
    pytest.importorskip(engine)

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("onnxruntime_loaded")]

VOICE = Path(__file__).parents[2] / "contrib" / "demo" / "src" / "patter_demo" / "voice"
SCRIPT = {
    line["id"]: line for line in yaml.safe_load((VOICE / "script.yaml").read_text(encoding="utf-8"))["lines"]
}
GREETING = "Hello, this is the Garden restaurant."
#: from the first sound of the interrupting words to the carrier's empty buffer, in s
STOP_S = 1.2
#: sound is 30 dB below full scale
LOUD = 1000
FRAME = 160


class Repeat(LLM):
    """Says what it heard, and a good deal more."""

    async def stream(self, messages, tools, *, cancel_event, call_id):
        said = next(message.content for message in reversed(messages) if message.role == "user")
        yield Text(f"You said: {said} ")
        yield Text("There is a good deal more to tell about that, for this house has many rooms. ")
        yield Text("Its history is long as well, and the garden behind it is older than the house itself. ")
        yield Done()

    async def close(self):
        return None


def words(line_id):
    return SCRIPT[line_id]["text"]


def voice(line_id):
    return (VOICE / SCRIPT[line_id]["file"]).read_bytes()


def onset_s(audio):
    """When the first sound of a recording begins."""
    samples = np.abs(mulaw_decode(audio).astype(np.int32))
    return int(np.argmax(samples > LOUD)) / 8000


def sounding_s(call):
    """For how long the caller has heard sound, not silence."""
    audio = b"".join(part for _, part in call.heard)
    samples = np.abs(mulaw_decode(audio).astype(np.int32))
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME).max(axis=1)
    return int((frames > LOUD).sum()) * FRAME / 8000


def agent_of(carrier, **options):
    parts = {"stt": "moonshine", "llm": LLMRecord("repeat", Repeat), "tts": "espeak", "vad": "silero"}
    return carrier.agent(first_message=GREETING, **parts, **options)


async def speaks(served, carrier, call, seconds):
    """Wait until the caller has heard that much more of the agent's voice."""
    before = sounding_s(call)
    await carrier.until(lambda: sounding_s(call) >= before + seconds, 15)


async def listening(served, carrier, call):
    await carrier.until(lambda: served.line(call).call.agent_state == "listening", 30)


def said_by_user(transcript):
    return " ".join(entry.text for entry in transcript if entry.role == "user" and not entry.backchannel)


def test_a_call_is_greeted_heard_answered_and_interrupted(carrier):
    async def scenario():
        agent = agent_of(carrier, barge_in_strategies="min-words?min_words=2")
        async with carrier.loopback(agent) as served:
            call = await served.ring()
            await speaks(served, carrier, call, 1.0)
            await listening(served, carrier, call)
            await call.say(voice("wants-table"))
            # Into the second sentence, so that the first one was heard whole.
            await speaks(served, carrier, call, 5.0)
            assert call.clears == []

            began = asyncio.get_running_loop().time()
            saying = asyncio.create_task(call.say(voice("interruption")))
            await carrier.until(lambda: call.clears)
            first = next(t for t, _ in call.said if t >= began - 0.04)
            assert call.clears[0] - (first + onset_s(voice("interruption"))) <= STOP_S
            cut = call.heard[-1]
            assert (
                cut[0] + len(cut[1]) / 8000 <= call.clears[0] + 0.02
            )  # nothing of it sounds after the clear
            await saying
            await speaks(served, carrier, call, 1.0)
            call.hangup()
            await served.ended(call, total=1)

            (summary,) = served.summaries
            entries = [entry for entry in summary.transcript if not entry.backchannel]
            assert [entry.role for entry in entries] == ["assistant", "user"] * 2 + ["assistant"]
            assert entries[0].text == GREETING
            assert word_error_rate(words("wants-table"), entries[1].text) <= 0.25
            assert entries[2].text.startswith(f"You said: {entries[1].text}")
            assert (entries[2].interrupted, summary.metrics["interruptions"]) == (True, 1)
            assert word_error_rate(words("interruption"), entries[3].text) <= 0.25
            assert (summary.lost_frames, summary.metrics["dropped_audio_ms"], call.warnings) == (0, 0.0, [])

    asyncio.run(scenario())


def test_three_calls_at_once_are_each_heard_and_answered_with_their_own_words(carrier):
    lines = ("wants-table", "day", "opening-hours")

    async def scenario():
        async with carrier.loopback(agent_of(carrier)) as served:

            async def caller(line_id):
                call = await served.ring()
                line = served.line(call)
                await speaks(served, carrier, call, 1.0)
                await listening(served, carrier, call)
                await call.say(voice(line_id))
                await speaks(served, carrier, call, 4.0)
                assert call.clears == []
                call.hangup()
                async with asyncio.timeout(10):
                    await call.wait_closed()
                    return await line.done

            summaries = await asyncio.gather(*(caller(line_id) for line_id in lines))
            await served.ended(total=3)
            for line_id, summary in zip(lines, summaries, strict=True):
                greeting, heard, answer = summary.transcript
                assert (greeting.role, greeting.text) == ("assistant", GREETING)
                rates = {other: word_error_rate(words(other), heard.text) for other in lines}
                assert rates[line_id] <= 0.25, (line_id, heard.text)
                assert min(rates, key=rates.__getitem__) == line_id
                assert answer.text.startswith(f"You said: {heard.text}"[:40])
                assert summary.lost_frames == 0

    asyncio.run(scenario())
