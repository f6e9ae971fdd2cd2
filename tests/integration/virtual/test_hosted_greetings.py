"""The matrix of the greeting for engines that greet by themselves: whatever their servers do, it is heard once, whole.

What a server spoils is said by the fallback voice, since these engines cannot be asked to say it again. Each cell is an
engine, a way in which its server misbehaves, and the moments at which the caller says "Hello?"; the seeds draw the rest.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

import patter_elevenlabs.simulator as elevenlabs
import patter_ultravox.simulator as ultravox
from patter import Agent, hookimpl
from patter.plugins import PluginManager
from patter.records import RealtimeRecord
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_ultravox.config import UltravoxConfig

pytestmark = [pytest.mark.patter_plugins("elevenlabs", "ultravox"), pytest.mark.simulation]

#: two in every run; ``GREETING_SEEDS=20`` plays them all
SEEDS = range(1, 1 + int(os.environ.get("GREETING_SEEDS", "2")))
#: when the caller begins to speak, in ms after pickup; None: not at all
SPEAKS_AT_MS = (0, 50, 250, 1000, None)
GREETING = "Hello, this is Acme, how can I help"
ANSWER = "We open at eight"
HOST = "engine.example"
TOLD = ("greeting_delivered", "greeting_fallback", "greeting_failed")

#: what the servers do: the faults of each engine, and how the greeting is heard
CELLS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "normal": ({}, {}, "greeting_delivered"),
    "slow": ({"metadata_s": 1.5}, {"create_s": 1.5}, "greeting_delivered"),
    "stalled": ({"stall_s": 0.2}, {"stall_s": 0.2}, "greeting_delivered"),
    "malformed": ({"malformed": True}, {"malformed": True}, "greeting_delivered"),
    "ignored": ({"ignore_first_message": True}, {"ignore_greeting": True}, "greeting_fallback"),
    "cancelled": ({"cancel_greeting_s": 0.6}, {"cancel_greeting_s": 0.6}, "greeting_fallback"),
    "drop-before": ({"drop": "metadata"}, {"join": "closed"}, "greeting_delivered"),
    "drop-during": ({"drop": "greeting"}, {"drop": "greeting"}, "greeting_delivered"),
    # by then it has answered: what a session had taken of the caller when it was lost is gone with it
    "drop-after": (
        {"drop": "after_greeting", "drop_after_s": 4.0},
        {"drop": "after_greeting", "drop_after_s": 4.0},
        "greeting_delivered",
    ),
    "gone": ({"drop": "metadata"}, {"create_status": 503}, "greeting_fallback"),
}
LOST_ONCE = ("drop-before", "drop-during", "drop-after")


class Reports:
    """What observers of a call are told about its greeting."""

    def __init__(self, phone: Any) -> None:
        self.events: list[str] = []
        phone.register(self)

    @hookimpl
    async def patter_call_setup(self, call: Any) -> None:
        for name in TOLD:
            call.on(name, lambda _, name=name: self.events.append(name))


def hosted(name: str, drawn: random.Random, voice: Callable[[str], int]) -> tuple[Any, Callable[[], Any]]:
    """The simulator of ElevenLabs, and how to configure its engine."""
    faults = elevenlabs.Faults(
        **CELLS[name][0],
        drop_code=drawn.choice([1011, None]),
        late_transcript=drawn.random() < 0.5,
        late_chunks=drawn.randrange(3),
    )
    agent = elevenlabs.SimulatedAgent(turns=(elevenlabs.SimulatedTurn("Hello?", ANSWER),))
    server = elevenlabs.Simulator(agent, faults=faults, voice=voice, host=HOST, port=80)

    def config() -> ElevenLabsConvaiConfig:
        return ElevenLabsConvaiConfig(agent_id=agent.agent_id, api_key=server.key, base_url=server.base_url)

    return server, config


def spoken_to(name: str, drawn: random.Random, voice: Callable[[str], int]) -> tuple[Any, Callable[[], Any]]:
    """The same of Ultravox."""
    faults = ultravox.Faults(
        **CELLS[name][1],
        drop_code=drawn.choice([1011, None]),
        late_transcript=drawn.random() < 0.5,
        no_deltas=drawn.random() < 0.5,
    )
    turns = (ultravox.SimulatedTurn("Hello?", ANSWER),)
    server = ultravox.Simulator(turns, faults=faults, voice=voice, host=HOST, port=80)

    def config() -> UltravoxConfig:
        return UltravoxConfig(api_key=server.key, base_url=server.base_url)

    return server, config


ENGINES = {"elevenlabs-convai": (hosted, elevenlabs.Faults), "ultravox": (spoken_to, ultravox.Faults)}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("adopted", [False, True], ids=["cold", "adopted"])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("engine", ENGINES)
async def test_the_greeting_is_heard_once_and_whole(
    simcall: Any, phone: Any, engine: str, name: str, adopted: bool, seed: int
) -> None:
    record = PluginManager(allow=["elevenlabs", "ultravox"]).records_of(RealtimeRecord)[engine]
    assert record.native_greeting
    if adopted:
        pytest.skip(f"{engine} begins to speak when its session is opened: none is opened while it rings")
    reports = Reports(phone)
    for speaks_at_ms in SPEAKS_AT_MS:
        drawn = random.Random(f"{engine} {name} {speaks_at_ms} {seed}")
        await play(simcall, reports, engine, name, speaks_at_ms, drawn)


async def play(
    simcall: Any, reports: Reports, engine: str, name: str, speaks_at_ms: int | None, drawn: random.Random
) -> None:
    """One call of a cell, and its checks."""
    make, kinds_of_faults = ENGINES[engine]
    reports.events.clear()
    calls: list[Any] = []

    def voice(text: str) -> int:
        number: int = calls[0].scene.voice.begin(text)[0]
        return number

    server, config = make(name, drawn, voice)
    network: Any = asyncio.get_running_loop()
    async with server:
        call = simcall(Agent(engine=config(), first_message=GREETING, tts="fake"), limit_s=60)
        calls.append(call)
        network.network.set_latency(HOST, 80, drawn.uniform(0.0, 0.12))
        mending = asyncio.ensure_future(mend(server, kinds_of_faults)) if name in LOST_ONCE else None
        try:
            async with call:
                await converse(call, name, speaks_at_ms)
        finally:
            if mending is not None:
                mending.cancel()
            network.network.set_latency(HOST, 80, 0.0)
    heard = [one for one in call.timeline if one.who == "agent" and one.text.startswith(GREETING)]
    assert len(heard) == 1, "heard to its end, and once"
    assert reports.events == [CELLS[name][2]]
    said = [line.text for line in call.transcript if line.role == "assistant"]
    assert [text for text in said if text.startswith(GREETING[:5])] == [heard[0].text]
    if speaks_at_ms is not None and name != "gone":
        assert [line.text for line in call.transcript if line.role == "user"] == ["Hello?"]
        assert said[-1] == ANSWER


async def mend(server: Any, faults: Callable[[], Any]) -> None:
    """Have nothing go wrong any more, once a session was begun."""
    while not (server.conversations if hasattr(server, "conversations") else server.calls):
        await asyncio.sleep(0.005)
    server.faults = faults()


async def converse(call: Any, name: str, speaks_at_ms: int | None) -> None:
    """The caller says something early, hears the greeting, and is answered."""
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await call.caller_says("Hello?", wait=False)
    await call.agent_says(GREETING)
    if name == "gone":
        await call.ended()
        return
    if speaks_at_ms is not None:
        await call.agent_says(ANSWER)
    await call.quiet(5000)
