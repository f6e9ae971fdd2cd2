"""Whole calls with Ultravox, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from patter.testing.conformance import EngineCallConformance
from patter.testing.conformance.engine_calls import ANSWER, HELLO
from patter_ultravox.config import UltravoxConfig
from patter_ultravox.simulator import Faults, SimulatedTool, SimulatedTurn, Simulator


@pytest.mark.patter_plugins("ultravox")
class TestCalls(EngineCallConformance):
    unspoken = Faults(ignore_greeting=True)

    @asynccontextmanager
    async def server(self, turns, faults=None, *, wide=False):
        rates = {"input_rate": 16000, "output_rate": 24000} if wide else {}
        async with Simulator(turns, faults=faults, host="uv.example", port=80) as simulator:
            yield simulator, UltravoxConfig(api_key=simulator.key, base_url=simulator.base_url, **rates)

    def sessions(self, simulator):
        return simulator.calls

    def lost_in_the_greeting(self, code):
        return Faults(drop="greeting", drop_code=code)

    async def test_the_agent_ends_the_call_with_patters_own_tool(self, simcall):
        turn = SimulatedTurn("Bye.", ANSWER, tool=SimulatedTool("end_call"))
        async with self.calling(simcall, turn) as (call, simulator):
            await call.agent_says(HELLO)
            await call.caller_says("Bye.", wait=False)
            summary = await call.ended()
            assert summary.reason == "the agent ended the call"
            await asyncio.sleep(1)
            assert [one.end_reason for one in simulator.calls] == ["hangup"]
        offered = simulator.calls[0].request["selectedTools"]
        assert "end_call" in [one["temporaryTool"]["modelToolName"] for one in offered]

    async def test_a_call_is_billed_by_the_minute_to_the_end_of_its_last_response(self, simcall):
        async with self.calling(simcall) as (call, _):
            await self.greeted_and_answered(call)
            await asyncio.sleep(2)
            summary = await call.caller_hangs_up()
        (line,) = (one for one in summary.cost.lines if one.kind == "realtime")
        assert line.priced
        assert summary.duration_s - 3 < line.units["session"] <= summary.duration_s
        assert line.amounts["session"] == pytest.approx(line.units["session"] / 60 * 0.05)
