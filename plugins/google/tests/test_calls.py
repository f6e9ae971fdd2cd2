"""Whole calls with the engine, in virtual time: what the caller hears, and what the model hears."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from patter import Agent, hookimpl, tool
from patter.audio.formats import PCM16_16K
from patter.audio.g711 import decode
from patter.testing.tones import pitch_of, speech_ms
from patter_google.live_config import GeminiLiveConfig
from patter_google.simulator import Faults, SimulatedTool, SimulatedTurn, Simulator, Terms

pytestmark = pytest.mark.patter_plugins("google")

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
async def calling(simcall, *turns, faults=None, terms=None, texts=(HELLO, ANSWER), **options):
    """A call with the simulated model; the caller's ear knows what it says by its pitch."""
    turns = turns or (SimulatedTurn("Hello?", ANSWER),)
    async with Simulator(turns, faults=faults, terms=terms, host="live.example", port=80) as simulator:
        engine = GeminiLiveConfig(api_key=simulator.key, base_url=simulator.base_url)
        call = simcall(Agent(engine=engine, first_message=HELLO, **options), limit_s=60)
        call.scene.voice.spoken.extend(texts)
        async with call:
            yield call, simulator


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
    assert simulator.connections[0].model.spoken == [HELLO, ANSWER]


@pytest.mark.behaviour("RT-23")
async def test_16_khz_in_and_24_khz_out_are_converted(simcall, reports):
    async with calling(simcall) as (call, simulator):
        await call.agent_says(HELLO)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        (spoken,) = (one for one in call.timeline if one.who == "agent" and one.text == HELLO)
        assert (spoken.end - spoken.start) * 1000 == pytest.approx(speech_ms(HELLO), abs=20)
        heard = decode(bytes(simulator.connections[0].model.audio), PCM16_16K.encoding)
    frames = [heard[at : at + 320] for at in range(0, len(heard) - 319, 320)]
    pitches = [pitch for frame in frames if (pitch := pitch_of(frame, 16000)) is not None]
    assert len(pitches) * 20 == pytest.approx(speech_ms("Hello?"), abs=40), "as long as it was said"
    assert max(set(pitches), key=pitches.count) == 0, "as high as it was said"


async def test_a_greeting_that_the_vendor_interrupts_is_said_again(simcall, reports):
    async with calling(simcall, faults=Faults(cancels=2), texts=(HELLO, HELLO, HELLO, ANSWER)) as (
        call,
        simulator,
    ):
        await call.agent_says("by when?")
        await call.quiet(300)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        assert simulator.connections[0].model.spoken == [HELLO, HELLO, HELLO, ANSWER]
    ((name, report),) = reports.events
    assert (name, report.attempts, report.played_ms) == ("greeting_delivered", 3, speech_ms(HELLO))
    assert [line.text for line in call.transcript if line.role == "assistant"] == [HELLO, ANSWER]


@pytest.mark.parametrize("tts", [None, "fake"])
async def test_a_greeting_that_never_comes_is_spoken_by_a_voice_or_reported(simcall, reports, tts):
    options = {"tts": tts} if tts else {}
    async with calling(simcall, faults=Faults(mute=3), texts=(HELLO,), **options) as (call, _):
        if tts:
            await call.agent_says(HELLO, within_s=17 + speech_ms(HELLO) / 1000)
        else:
            await asyncio.sleep(16)
        await asyncio.sleep(1)
    ((name, report),) = reports.events
    assert name == ("greeting_fallback" if tts else "greeting_failed")
    assert report.attempts == 3


@pytest.mark.parametrize("drop_code", [1011, None])
async def test_a_connection_that_is_lost_in_the_greeting_is_made_anew_and_greets(simcall, reports, drop_code):
    async with calling(simcall, faults=Faults(drop=0, drop_code=drop_code)) as (call, simulator):
        while not simulator.connections:
            await asyncio.sleep(0.01)
        simulator.faults = Faults()
        await call.agent_says("by when?")
        await call.quiet(200)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        assert len(simulator.connections) == 2
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
    async with calling(simcall, turn, tools=[hours]) as (call, simulator):
        await call.agent_says(HELLO)
        await call.caller_says("When?", wait=False)
        await call.agent_says(ANSWER)
    assert asked == ["friday"]
    model = simulator.connections[0].model
    assert model.results == {"call-1": {"output": "8 to 6"}}
    assert model.spoken == [HELLO, ANSWER]


async def test_a_connection_that_is_told_to_go_away_costs_the_caller_nothing(simcall):
    turns = (SimulatedTurn("Hello?", ANSWER), SimulatedTurn("And you?", "Fine."))
    async with calling(
        simcall, *turns, terms=Terms(connection_s=14, notice_s=6), texts=(HELLO, ANSWER, "Fine.")
    ) as (
        call,
        simulator,
    ):
        await call.agent_says(HELLO)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        await asyncio.sleep(6)
        assert len(simulator.connections) == 2
        await call.caller_says("And you?", wait=False)
        await call.agent_says("Fine.")
        assert call.failures == []


async def test_where_patter_decides_it_asks_for_each_answer_once(simcall, reports):
    async with calling(simcall, barge_in_mode="confirm") as (call, simulator):
        await call.agent_says(HELLO)
        await asyncio.sleep(1)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(ANSWER)
        (connection,) = simulator.connections
        detection = connection.setup["realtimeInputConfig"]["automaticActivityDetection"]
        assert detection == {"disabled": True}
        ends = [one for one in connection.received if "activityEnd" in one.get("realtimeInput", ())]
        assert len(ends) == 1
    assert [(line.role, line.text) for line in call.transcript] == [
        ("assistant", HELLO),
        ("user", "Hello?"),
        ("assistant", ANSWER),
    ]
