"""Whole calls with the engine, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from patter.testing.conformance import EngineCallConformance
from patter.testing.conformance.engine_calls import ANSWER, HELLO
from patter.testing.tones import speech_ms
from patter_google.live_config import GeminiLiveConfig
from patter_google.simulator import Faults, SimulatedTool, SimulatedTurn, Simulator, Terms


@pytest.mark.patter_plugins("google")
class TestCalls(EngineCallConformance):
    terms = Terms()

    @asynccontextmanager
    async def server(self, turns, faults=None, *, wide=True):
        """It speaks 16 and 24 kHz alone."""
        turns = tuple(
            SimulatedTurn(
                one.heard, one.reply, one.tool and SimulatedTool(one.tool.name, one.tool.parameters)
            )
            for one in turns
        )
        server = Simulator(turns, faults=faults, terms=self.terms, host="live.example", port=80)
        async with server as simulator:
            yield simulator, GeminiLiveConfig(api_key=simulator.key, base_url=simulator.base_url)

    def sessions(self, simulator):
        return [one.model for one in simulator.connections]

    def results(self, session):
        return [one["output"] for one in session.results.values()]

    def lost_in_the_greeting(self, code):
        return Faults(drop=0, drop_code=code)

    async def test_a_greeting_that_the_vendor_interrupts_is_said_again(self, simcall, reports):
        faults, texts = Faults(cancels=2), (HELLO, HELLO, HELLO, ANSWER)
        async with self.calling(simcall, faults=faults, texts=texts) as (call, simulator):
            await call.agent_says("by when?")
            await call.quiet(300)
            await call.caller_says("Hello?", wait=False)
            await call.agent_says(ANSWER)
            assert simulator.connections[0].model.spoken == [HELLO, HELLO, HELLO, ANSWER]
        ((name, report),) = reports.events
        assert (name, report.attempts, report.played_ms) == ("greeting_delivered", 3, speech_ms(HELLO))
        assert [line.text for line in call.transcript if line.role == "assistant"] == [HELLO, ANSWER]

    @pytest.mark.parametrize("tts", [None, "fake"])
    async def test_a_greeting_that_never_comes_is_spoken_by_a_voice_or_reported(self, simcall, reports, tts):
        async with self.calling(simcall, faults=Faults(mute=3), texts=(HELLO,), tts=tts) as (call, _):
            if tts:
                await call.agent_says(HELLO, within_s=17 + speech_ms(HELLO) / 1000)
            else:
                await asyncio.sleep(16)
            await asyncio.sleep(1)
        ((name, report),) = reports.events
        assert name == ("greeting_fallback" if tts else "greeting_failed")
        assert report.attempts == 3

    async def test_a_connection_that_is_told_to_go_away_costs_the_caller_nothing(self, simcall):
        turns = (SimulatedTurn("Hello?", ANSWER), SimulatedTurn("And you?", "Fine."))
        self.terms = Terms(connection_s=14, notice_s=6)
        async with self.calling(simcall, *turns, texts=(HELLO, ANSWER, "Fine.")) as (call, simulator):
            await self.greeted_and_answered(call)
            await asyncio.sleep(6)
            assert len(simulator.connections) == 2
            await call.caller_says("And you?", wait=False)
            await call.agent_says("Fine.")
            assert call.failures == []

    async def test_where_patter_decides_it_asks_for_each_answer_once(self, simcall, reports):
        async with self.calling(simcall, barge_in_mode="confirm") as (call, simulator):
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
