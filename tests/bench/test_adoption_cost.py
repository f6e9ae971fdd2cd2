"""What taking over a parked connection costs of its own (PW-08), with providers that take no time."""

from __future__ import annotations

import asyncio
import time

import pytest

from patter.call.adoption import Adoption
from patter.call.call import Call
from patter.environment import Environment
from patter.prewarm.warming import Warmable, Warming

pytestmark = pytest.mark.bench

CALLS = 300
PASSES = 2000


class Socket:
    def close(self):
        pass


class Parking:
    handle = None

    async def open_parked_connection(self):
        return Socket()

    async def adopt_websocket(self, handle):
        self.handle = handle


async def pass_s():
    """Seconds of one pass of the loop, the best of several rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(PASSES):
            await asyncio.sleep(0)
        rounds.append((time.perf_counter() - began) / PASSES)
    return min(rounds)


@pytest.mark.behaviour("PW-08")
@pytest.mark.parametrize("others", [0, 100])
def test_an_adoption_takes_less_than_five_milliseconds_also_beside_other_ringing_calls(others):
    async def scenario():
        clock = Environment().clock
        warming = Warming(clock, lambda *_: None)
        for number in range(others):
            warming.begin(f"other-{number}", [Warmable.of("stt", Parking())], 60.0)
        times = []
        for number in range(CALLS):
            call = Call(f"call-{number}", direction="inbound", carrier="fake", caller="", callee="")
            told = []
            call.on("provider_connected", told.append)
            provider = Parking()
            warming.begin(call.id, [Warmable.of("stt", provider)], 60.0)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            adoption = Adoption(call, clock, warming)
            began = time.perf_counter()
            adopted = await adoption.adopt("stt", lambda provider=provider: provider)
            times.append(time.perf_counter() - began)
            assert adopted is True
            assert provider.handle is not None
            warming.end(call.id)
            await call.events.close()
            assert [(one.source, one.took_ms <= 1000) for one in told] == [("adopted", True)]
        await warming.close()
        return min(times), await pass_s()

    best, one_pass = asyncio.run(scenario())
    print(f"adoption: {best * 1000:.3f} ms, {best / one_pass:.0f} passes of the loop")
    assert best < 0.005
    assert best / one_pass < 20  # about ten times what was measured
