"""Whole calls with a hosted agent, in virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from patter.testing.conformance import EngineCallConformance
from patter.testing.conformance.engine_calls import HELLO
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_elevenlabs.simulator import Faults, SimulatedAgent, SimulatedTurn, Simulator


@pytest.mark.patter_plugins("elevenlabs")
class TestCalls(EngineCallConformance):
    unspoken = Faults(ignore_first_message=True)

    @asynccontextmanager
    async def server(self, turns, faults=None, *, wide=False):
        formats = {"input_format": "pcm_16000", "output_format": "pcm_24000"} if wide else {}
        agent, faults = SimulatedAgent(turns=turns, **formats), faults or Faults(late_chunks=2)
        async with Simulator(agent, faults=faults, host="agent.example", port=80) as simulator:
            yield (
                simulator,
                ElevenLabsConvaiConfig(
                    agent_id=agent.agent_id, api_key=simulator.key, base_url=simulator.base_url
                ),
            )

    def sessions(self, simulator):
        return simulator.conversations

    def lost_in_the_greeting(self, code):
        return Faults(drop="greeting", drop_code=code)

    async def test_an_agent_that_ends_the_conversation_ends_the_call(self, simcall):
        turn = SimulatedTurn("Bye.", "Goodbye.", ends_call=True)
        async with self.calling(simcall, turn, texts=(HELLO, "Goodbye.")) as (call, simulator):
            await call.agent_says(HELLO)
            await call.caller_says("Bye.", wait=False)
            await call.agent_says("Goodbye.")
            summary = await call.ended()
            assert summary.reason == "the agent ended the call"
            assert len(simulator.conversations) == 1, "nobody came back"
            assert call.failures == []
