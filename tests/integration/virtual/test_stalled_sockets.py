"""A carrier socket that takes no data, in whole calls and virtual time: its own call suffers, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import Agent
from patter.call.socket_stall import UNSENT_BYTES
from patter.providers.carrier import CallStatus

LONG = " ".join(
    ["Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."] * 9
)


@pytest.fixture
def agent() -> Agent:
    return Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message=LONG)


@pytest.mark.behaviour("LC-11")
@pytest.mark.parametrize("buffer_bytes", [0, 4 * UNSENT_BYTES], ids=["send blocks", "64 KiB unsent"])
async def test_a_stalled_socket_ends_its_call_and_no_other(
    simcall: Any, agent: Agent, buffer_bytes: int
) -> None:
    now = asyncio.get_running_loop().time
    async with simcall(first_message="Hello.") as other, simcall(agent) as call:
        await call.agent_says("Our opening")
        call.line.stall(buffer_bytes)
        stalled = now()
        await other.caller_says("Are you there?")
        await other.agent_says("You said: Are you there?")
        answered = now()
        summary = await call.ended()
        took = now() - stalled
        unsent = call.line.unsent_bytes()
        call.line.drop()

    assert answered - stalled < 4.0, "the other call was answered while this one was stalled"
    assert summary.outcome is CallStatus.FAILED
    assert summary.reason == "the carrier's socket takes no data"
    assert summary.leaks == ()
    if buffer_bytes:
        assert UNSENT_BYTES <= unsent < UNSENT_BYTES + 2048, "sending stopped at 64 KiB unsent"
        assert took > 10.0
    else:
        # blocked from the next message on, which may be 200 ms of audio away
        assert 5.0 <= took <= 5.6
        assert summary.metrics["dropped_audio_ms"] > 0


@pytest.mark.behaviour("LC-11")
async def test_after_a_short_stall_nothing_is_lost_and_nothing_bursts(simcall: Any, agent: Agent) -> None:
    async with simcall(agent) as call:
        await call.agent_says("Our opening")
        call.line.stall()
        await asyncio.sleep(3.0)
        before = call.line.media_messages
        call.line.resume()
        await asyncio.sleep(0.02)
        burst = call.line.media_messages - before
        await call.agent_says(LONG.removeprefix("Our opening"), within_s=90.0)

    assert call.heard == LONG
    assert call.summary.outcome is CallStatus.COMPLETED
    assert burst <= 6, "at most 200 ms ahead in messages of 40 ms, and the one that was blocked"
