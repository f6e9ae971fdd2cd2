"""Calls over real sockets at both ends: the simulated carrier, the phone, and OpenAI's simulated engine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from patter import Agent
from patter.audio.formats import MULAW_8K
from patter.providers.carrier import CallStatus
from patter.testing.tones import ToneReader, speech_ms, tone
from patter_openai.realtime_config import OpenAIRealtimeConfig
from patter_openai.realtime_simulator import RealtimeFaults, RealtimeSimulator

GREETING = "Hello, Acme."


@asynccontextmanager
async def engine_call(carrier, faults=None, **options):
    """A phone that serves with the engine, and the engine's server."""
    async with RealtimeSimulator(faults=faults) as engine:
        config = OpenAIRealtimeConfig(base_url=engine.base_url, api_key=engine.key)
        agent = Agent(engine=config, first_message=GREETING, **options)
        async with carrier.loopback(agent) as served:
            yield served, engine


def heard(call):
    """The texts that the caller has heard, by number, and for how long each, in ms."""
    runs = []
    for pitch in ToneReader(MULAW_8K).feed(b"".join(audio for _, audio in call.heard)):
        if runs and runs[-1][0] == pitch:
            runs[-1] = (pitch, runs[-1][1] + 20)
        elif pitch is not None:
            runs.append((pitch, 20))
    return runs


@pytest.mark.parametrize("prewarm", [False, True])
def test_a_caller_who_speaks_first_is_greeted_and_answered(carrier, prewarm):
    async def scenario():
        async with engine_call(carrier, prewarm=prewarm) as (served, engine):
            call = await served.ring()
            await call.say(tone(3, 300, MULAW_8K))
            first = (0, speech_ms(GREETING))
            second = (1, speech_ms("You said: tone 3"))
            await carrier.until(lambda: heard(call) == [first, second])
            await served.listening(call)
            await call.say(tone(5, 300, MULAW_8K))
            await carrier.until(lambda: heard(call) == [first, second, (2, second[1])])
            await served.listening(call)
            call.hangup()
            await served.ended(call, total=1)
            assert call.clears == []
            assert call.warnings == []
            (session,) = engine.sessions
            assert not [event for _, event in session.sent if event["type"] == "error"]
            (summary,) = served.summaries
            assert (summary.connected, summary.outcome) == (True, CallStatus.COMPLETED)
            assert [(entry.role, entry.text) for entry in summary.transcript] == [
                ("assistant", GREETING),
                ("user", "tone 3"),
                ("assistant", "You said: tone 3"),
                ("user", "tone 5"),
                ("assistant", "You said: tone 5"),
            ]

    asyncio.run(scenario())


def heard_last(call, number, text):
    """Whether the caller has heard that text whole, give or take the frame in which the one before it was cut."""
    return any(pitch == number and ms >= speech_ms(text) - 20 for pitch, ms in heard(call)[-2:])


def test_a_session_that_breaks_in_mid_greeting_is_made_anew(carrier):
    async def scenario():
        faults = RealtimeFaults(drop="during", drop_after_ms=200)
        async with engine_call(carrier, faults) as (served, engine):
            call = await served.ring()
            await carrier.until(lambda: heard_last(call, 1, GREETING))
            await served.listening(call)
            await call.say(tone(3, 300, MULAW_8K))
            await carrier.until(lambda: heard_last(call, 2, "You said: tone 3"))
            call.hangup()
            await served.ended(call, total=1)
            assert len(engine.sessions) == 2
            texts = [entry.text for entry in served.summaries[0].transcript if entry.role == "assistant"]
            assert texts[0] == GREETING
            assert texts.count(GREETING) == 1

    asyncio.run(scenario())


def test_many_calls_at_once_each_have_their_own_session(carrier):
    async def scenario():
        async with engine_call(carrier) as (served, engine):

            async def caller(number):
                call = await served.ring()
                await carrier.until(lambda: len(heard(call)) == 1)
                await served.listening(call)
                await call.say(tone(number, 300, MULAW_8K))
                await carrier.until(lambda: len(heard(call)) == 2)
                await served.listening(call)
                line = served.line(call)
                call.hangup()
                await call.wait_closed()
                return [entry.text for entry in (await line.done).transcript]

            texts = await asyncio.gather(*(caller(10 + number) for number in range(5)))
            await served.ended(total=5)
            for number, said in enumerate(texts):
                assert said == [GREETING, f"tone {10 + number}", f"You said: tone {10 + number}"]
            assert len(engine.sessions) == 5

    asyncio.run(scenario())
