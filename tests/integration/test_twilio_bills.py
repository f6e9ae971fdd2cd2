"""What calls over Twilio cost: estimated at their end, then as Twilio's callback and call resource say."""

from __future__ import annotations

import asyncio

import pytest

from patter.environment import Environment
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import VirtualClock, VirtualTimeLoop, run_virtual
from patter_twilio.simulator import RestFault, SimulatedPrices

TO = "+15550004444"


def telephony(cost):
    (line,) = [line for line in cost.lines if line.kind == "carrier"]
    return line


@pytest.mark.behaviour("CO-03", "CO-08")
@pytest.mark.parametrize("fails", [False, True])
def test_twilios_own_figures_replace_the_estimate(carrier, fails):
    async def scenario():
        environment = Environment.seeded(1, VirtualClock(loop))
        async with carrier.loopback(environment=environment) as served:
            served.simulator.prices = SimulatedPrices(outbound=0.0123, known_after_s=60.0)
            calling = asyncio.create_task(served.phone.call(TO))
            call = await served.simulator.next_dialled()
            await served.greeted(call)
            await asyncio.sleep(61.0)
            call.hangup()
            result = await calling
            await call.wait_closed()
            record = served.phone.calls.get(result.call_id)
            line = telephony(result.cost)
            assert (line.provider, line.model, line.units["call"]) == ("twilio", "outbound", 120)
            assert line.amounts == pytest.approx({"call": 2 * 0.014, "media_stream": 2 * 0.004})
            counted = telephony(record.cost)
            assert (counted.amounts, counted.estimated) == (line.amounts, False), "the status callback came"
            if fails:
                served.simulator.fail_next(*[RestFault(500)] * 50)
            await asyncio.sleep(4000.0)
            billed = telephony(served.phone.calls.get(result.call_id).cost)
            fetched = [one for one in served.simulator.requests if one.method == "GET"]
            if fails:
                assert len(fetched) == 5
                assert billed == counted
            else:
                assert len(fetched) == 3, "5 s, 30 s and 120 s after the end"
                assert billed.amounts == pytest.approx({"call": 2 * 0.0123, "media_stream": 2 * 0.004})

    loop = VirtualTimeLoop(network=MemoryNetwork())
    run_virtual(scenario(), loop=loop, timeout_s=7200.0)
    loop.close()
