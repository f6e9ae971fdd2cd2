"""Whole calls with Ultravox, in virtual time: what the caller hears, and what the model hears."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from patter import Agent, hookimpl, tool
from patter.audio.formats import PCM16_16K
from patter.audio.g711 import decode
from patter.testing.tones import pitch_of, speech_ms
from patter_ultravox.config import UltravoxConfig
from patter_ultravox.simulator import Faults, SimulatedTool, SimulatedTurn, Simulator

pytestmark = pytest.mark.patter_plugins("ultravox")

HELLO = "Good morning, this is the bakery. What can I do for you today, and by when?"
ANSWER = "I am fine, thank you."
TOLD = ("greeting_delivered", "greeting_failed", "greeting_fallback")


class Reports:
    """What observers of a call are told about its greeting."""

    def __init__(self, phone):
        self.events = []
        phone.register(self)

    @hookimpl
    async def patter_call_setup(self, call):
        for name in TOLD:
            call.on(name, lambda report, name=name: self.events.append((name, report)))


@pytest.fixture
def reports(phone):
    return Reports(phone)


@asynccontextmanager
async def calling(simcall, *turns, faults=None, texts=(HELLO, ANSWER), agent=None, **settings):
    """A call whose agent says these texts, in that order; the caller's ear knows them by their pitch."""
    turns = turns or (SimulatedTurn("Hello?", ANSWER),)
    async with Simulator(turns, faults=faults, host="uv.example", port=80) as simulator:
        engine = UltravoxConfig(api_key=simulator.key, base_url=simulator.base_url, **settings)
        call = simcall(Agent(engine=engine, first_message=HELLO, **(agent or {})), limit_s=60)
        call.scene.voice.spoken.extend(texts)
        async with call:
            yield call, simulator
            if call.summary is None:
                await call.quiet(1000)  # the agent's turn is over


@pytest.mark.behaviour("RT-23")
@pytest.mark.parametrize("after_ms", [0, 50, 250, 1000, None])
async def test_an_early_caller_hears_the_whole_greeting_once_and_is_answered(simcall, reports, after_ms):
    async with calling(simcall) as (call, simulator):
        if after_ms is not None:
            await asyncio.sleep(after_ms / 1000)
            await call.caller_says("Hello?", wait=False)
        await call.agent_says(HELLO)
        if after_ms is None:
            await asyncio.sleep(2)
            await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        assert call.line.clears == []
    ((name, report),) = reports.events
    assert (name, report.attempts, report.partial) == ("greeting_delivered", 1, False)
    assert report.played_ms == speech_ms(HELLO)
    assert [(line.role, line.text) for line in call.transcript] == [
        ("assistant", HELLO),
        ("user", "Hello?"),
        ("assistant", ANSWER),
    ]
    assert simulator.calls[0].spoken == [HELLO, ANSWER]


@pytest.mark.behaviour("RT-23")
async def test_16_khz_in_and_24_khz_out_are_converted(simcall):
    async with calling(simcall, input_rate=16000, output_rate=24000) as (call, simulator):
        await call.agent_says(HELLO)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        (spoken,) = (one for one in call.timeline if one.who == "agent" and one.text == HELLO)
        assert (spoken.end - spoken.start) * 1000 == pytest.approx(speech_ms(HELLO), abs=20)
        heard = decode(bytes(simulator.calls[0].audio), PCM16_16K.encoding)
    frames = [heard[at : at + 320] for at in range(0, len(heard) - 319, 320)]
    pitches = [pitch for frame in frames if (pitch := pitch_of(frame, 16000)) is not None]
    assert len(pitches) * 20 == pytest.approx(speech_ms("Hello?"), abs=40), "as long as it was said"
    assert max(set(pitches), key=pitches.count) == 0, "as high as it was said"


@pytest.mark.behaviour("RT-23")
@pytest.mark.parametrize("tts", [None, "fake"])
async def test_a_greeting_that_is_not_spoken_is_noticed_after_3_s(simcall, reports, tts):
    agent = {"tts": tts} if tts else {}
    faults = Faults(ignore_greeting=True)
    async with calling(simcall, faults=faults, texts=(ANSWER,), agent=agent) as (call, _):
        if tts:
            await call.agent_says(HELLO, within_s=3.5 + speech_ms(HELLO) / 1000)
        else:
            await asyncio.sleep(3.5)
        await asyncio.sleep(1)
        ((name, report),) = reports.events
        assert name == ("greeting_fallback" if tts else "greeting_failed")
        assert report.attempts == 1
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)


@pytest.mark.parametrize("drop_code", [1011, None])
async def test_a_connection_that_is_lost_in_the_greeting_is_made_anew_and_greets(simcall, reports, drop_code):
    faults = Faults(drop="greeting", drop_code=drop_code)
    async with calling(simcall, faults=faults) as (call, simulator):
        while not simulator.calls:
            await asyncio.sleep(0.01)
        simulator.faults = Faults()
        await call.agent_says("by when?")
        await call.quiet(200)
        again = call.timeline[-1]  # the ear takes it for more of the same utterance
        assert round((again.end - again.start) * 1000) == speech_ms(HELLO)
        assert len(call.line.clears) == 1
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        assert len(simulator.calls) == 2
    ((name, report),) = reports.events
    assert (name, report.attempts, report.played_ms) == ("greeting_delivered", 2, speech_ms(HELLO))


async def test_a_caller_interrupts_and_the_agent_listens(simcall):
    long = "Well, that is a long story, and I shall tell all of it from the very beginning."
    turns = (SimulatedTurn("Hello?", long), SimulatedTurn("Stop.", ANSWER))
    async with calling(simcall, *turns, texts=(HELLO, long, ANSWER)) as (call, _):
        await call.agent_says(HELLO)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says("Well, that is")
        await call.caller_says("Stop.", wait=False)
        await call.agent_says(ANSWER)
        assert len(call.line.clears) == 1
    said = [line for line in call.transcript if line.role == "assistant"]
    assert said[1].interrupted
    assert long.startswith(said[1].text)
    assert len(said[1].text) < len(long) // 2
    assert said[2].text == ANSWER


async def test_a_tool_runs_and_its_result_is_spoken(simcall):
    asked = []

    @tool
    async def hours(day: str) -> str:
        """When it is open."""
        asked.append(day)
        return "8 to 6"

    turn = SimulatedTurn("When?", ANSWER, tool=SimulatedTool("hours", {"day": "friday"}))
    async with calling(simcall, turn, agent={"tools": [hours]}) as (call, simulator):
        await call.agent_says(HELLO)
        await call.caller_says("When?", wait=False)
        await call.agent_says(ANSWER)
    assert asked == ["friday"]
    assert simulator.calls[0].results == ["8 to 6"]
    offered = [one["temporaryTool"]["modelToolName"] for one in simulator.calls[0].request["selectedTools"]]
    assert {"hours", "end_call"} <= set(offered)


async def test_the_agent_ends_the_call_with_patters_own_tool(simcall):
    turn = SimulatedTurn("Bye.", ANSWER, tool=SimulatedTool("end_call"))
    async with calling(simcall, turn) as (call, simulator):
        await call.agent_says(HELLO)
        await call.caller_says("Bye.", wait=False)
        summary = await call.ended()
        assert summary.reason == "the agent ended the call"
        await asyncio.sleep(1)
        assert [one.end_reason for one in simulator.calls] == ["hangup"]


async def test_a_call_is_billed_by_the_minute_to_the_end_of_its_last_response(simcall):
    async with calling(simcall) as (call, _):
        await call.agent_says(HELLO)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        await asyncio.sleep(2)
        summary = await call.caller_hangs_up()
    (line,) = (one for one in summary.cost.lines if one.kind == "realtime")
    assert line.priced
    assert summary.duration_s - 3 < line.units["session"] <= summary.duration_s
    assert line.amounts["session"] == pytest.approx(line.units["session"] / 60 * 0.05)
