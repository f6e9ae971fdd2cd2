"""What a turn costs of its own: from a final to the first media frame, with providers that take no time.

On the real loop, with the real engine; the best of several turns, as a ratio to bare passes of the same loop.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from patter import Agent, Patter
from patter.plugins import PluginManager
from patter.providers.stt import Final
from patter.testing import fake_plugin
from patter.testing.pytest_phone import FAKES
from patter.testing.simulated_call import SimulatedCall

pytestmark = pytest.mark.bench

TURNS = 15
PASSES = 2000


async def pass_s():
    """Seconds of one pass of the loop, the best of several rounds."""
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(PASSES):
            await asyncio.sleep(0)
        rounds.append((time.perf_counter() - began) / PASSES)
    return min(rounds)


async def turn_s(call, text):
    """Seconds from a final until the carrier's connection has taken the first media message of its answer."""
    taken = asyncio.get_running_loop().create_future()
    forget = call.call.on("agent_speech_started", lambda _: taken.set_result(time.perf_counter()))
    began = time.perf_counter()
    call.scene.recogniser.emit(Final(text))
    first = await taken
    forget()
    return first - began


@pytest.mark.behaviour("TN-01")
def test_a_final_is_answered_within_ten_milliseconds_where_the_providers_take_no_time():
    async def scenario():
        manager = PluginManager([fake_plugin], autoload=False, environ={})
        phone = Patter(manager=manager, carrier="fake", phone_number="+15550001234")
        await phone.start(None, port=0)
        agent = Agent(**{**FAKES, "stt": "fake-endpointing"})
        times = []
        try:
            async with SimulatedCall(phone, agent, replies=["Yes."] * TURNS) as call:
                await asyncio.sleep(0.1)
                for number in range(TURNS):
                    times.append(await turn_s(call, f"Question {number}?"))
                    while call.call.agent_state != "listening":
                        await asyncio.sleep(0.02)
        finally:
            await phone.disconnect()
        return min(times), await pass_s()

    best, one_pass = asyncio.run(scenario())
    print(f"final to media: {best * 1000:.2f} ms, {best / one_pass:.0f} passes of the loop")
    assert best < 0.010
    assert best / one_pass < 1000  # about four times what was measured
