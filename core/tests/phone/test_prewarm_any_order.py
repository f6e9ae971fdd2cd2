"""Prewarmed calls with vendors and ends drawn at random: whatever happens when, nothing is left open or paid for unsaid."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from parking import Log, SlowSocket, agent, nothing_is_kept

from patter import hookimpl
from patter.providers.carrier import CallOffer, CallStatus, StatusReport

SEEDS = 60
TIMES_S = (0.0, 0.05, 0.3, 0.31, 0.9, 2.0, 4.0, 3600.0)


class SlowSetUp:
    """Takes its time before the session runs, or fails."""

    def __init__(self, seconds: float, *, fails: bool) -> None:
        self.seconds = seconds
        self.fails = fails

    @hookimpl
    async def patter_call_setup(self, call: Any) -> None:
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise RuntimeError("no")


def draw(chance: random.Random, phone: Any, log: Log) -> Any:
    """Vendors that are slow, hang and fail, and an agent of theirs."""
    for kind in ("stt", "tts", "llm"):
        for step in ("park", "connect", "adopt"):
            if step != "adopt" or kind == "tts":
                log.takes_s[f"{step} {kind}"] = chance.choice(TIMES_S[:-1] if step == "connect" else TIMES_S)
            if step != "connect" and chance.random() < 0.2:
                log.fails.add(f"{step} {kind}")
    if chance.random() < 0.3:
        log.socket = SlowSocket
    if chance.random() < 0.3:
        phone.register(SlowSetUp(chance.choice((0.05, 0.5)), fails=chance.random() < 0.5))
        phone.on_hook_failure = None
    return agent(
        llm="parking",
        prewarm_first_message=chance.random() < 0.5,
        first_message=chance.choice(["Hello, Acme here. How can I help?", ""]),
    )


async def not_answered(chance: random.Random, phone: Any, chosen: Any) -> None:
    """A call that never gets media."""
    await phone.start(chosen, port=0)
    host = phone.switchboard.trunks["fake"].carrier.host
    for _ in range(chance.choice((1, 2))):
        await host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
        await asyncio.sleep(chance.choice(TIMES_S[:-1]))
    end = chance.choice(("status", "end_call", "disconnect", "nothing"))
    if end == "status":
        host.call_status(StatusReport("one", chance.choice((CallStatus.BUSY, CallStatus.CANCELED))))
    elif end == "disconnect":
        await phone.disconnect()
    elif end == "end_call":
        for line in phone.switchboard.lines():
            await phone.end_call(line.call.id)
    else:
        await asyncio.sleep(30.0)


async def answered(chance: random.Random, phone: Any, simcall: Any, chosen: Any) -> None:
    """A call whose media is up, and which ends in one of the ways of calls."""
    async with simcall(chosen, ring_s=chance.choice(TIMES_S[:-1])) as call:
        await asyncio.sleep(chance.choice((0.0, 0.01, 0.3, 0.35, 1.0, 5.0)))
        end = chance.choice(("hang up", "drop", "end_call", "disconnect"))
        if call.summary is not None:
            return
        if end == "hang up":
            await call.caller_hangs_up()
        elif end == "drop":
            await call.drop_connection()
        elif end == "end_call":
            await phone.end_call(call.call.id)
        else:
            await phone.disconnect()
        await call.ended()


@pytest.mark.behaviour("PW-07", "PW-16", "PW-18")
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_nothing_is_left_whatever_happens_when(
    simcall: Any, phone: Any, log: Log, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    chance = random.Random(seed)
    chosen = draw(chance, phone, log)
    if chance.random() < 0.4:
        await not_answered(chance, phone, chosen)
    else:
        await answered(chance, phone, simcall, chosen)
    await asyncio.sleep(3.0)
    nothing_is_kept(phone, log)
    assert not [task for task in asyncio.all_tasks() if "prewarm" in task.get_name()]
    assert len([message for message in caplog.messages if "were paid for and not heard" in message]) <= 1
    assert "vendor.example" not in caplog.text
    errors = [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
    assert not [error for error in errors if "cannot be set up" not in error]
