"""The matrix of the protected greeting: whatever the engine does and whenever the caller speaks, it is heard once, whole.

Each cell is an engine, a way in which its server misbehaves, a moment at which the caller says "Hello?", and a session
that was opened while the phone rang or is opened at pickup; the seeds draw what else differs between two calls. A cell
that an engine cannot have, because its record declares no flag for it, is skipped with that reason.
"""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest
from openai_calls import GREETING, EngineCall, engine_call

from patter.plugins import PluginManager
from patter.records import RealtimeRecord
from patter_openai.realtime_simulator import RealtimeFaults

pytestmark = [pytest.mark.patter_plugins("openai"), pytest.mark.simulation]

#: two in every run; ``GREETING_SEEDS=20`` plays them all
SEEDS = range(1, 1 + int(os.environ.get("GREETING_SEEDS", "2")))
#: when the caller begins to speak, in ms after pickup; None: not at all
SPEAKS_AT_MS = (0, 50, 250, 1000, None)
CONFIGURED = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 900,
    "create_response": True,
    "interrupt_response": True,
}


@dataclass(frozen=True)
class Cell:
    """A way in which the engine misbehaves.

    Attributes:
        faults: what its server does.
        needs: the flag of the engine's record without which the cell says nothing.
        reachable: whether a session can be had in the end.
        guarded: whether it acknowledges the protection in time.
        sessions: how many it takes.
    """

    faults: RealtimeFaults
    needs: str = ""
    reachable: bool = True
    guarded: bool = True
    sessions: int = 1


def cancelled(*events: str, times: int = 1) -> RealtimeFaults:
    return RealtimeFaults(cancels=times, cancel_events=events)


CELLS = {
    "normal": Cell(RealtimeFaults(), "ack"),
    "late": Cell(RealtimeFaults(acknowledgement="late"), "ack"),
    "reordered": Cell(RealtimeFaults(acknowledgement="reordered"), "ack"),
    "never": Cell(RealtimeFaults(acknowledgement="never"), "ack", guarded=False),
    "ignored": Cell(RealtimeFaults(update="ignored"), "ack", guarded=False),
    "refused": Cell(RealtimeFaults(update="refused"), "ack", guarded=False),
    "cancelled": Cell(cancelled("response.done"), "turn_events"),
    "cancelled-event": Cell(cancelled("response.cancelled", "response.done"), "turn_events"),
    "canceled-event": Cell(cancelled("response.canceled", "response.done"), "turn_events"),
    "canceled-alone": Cell(cancelled("response.canceled"), "turn_events"),
    "cancelled-twice": Cell(cancelled("response.done", times=2), "turn_events"),
    "drop-before": Cell(RealtimeFaults(drop="before"), "reconnect", sessions=2),
    "drop-during": Cell(RealtimeFaults(drop="during"), "reconnect", sessions=2),
    "drop-after": Cell(RealtimeFaults(drop="after"), "reconnect", sessions=2),
    "gone": Cell(RealtimeFaults(drop="during", connections=1), "reconnect", reachable=False),
}


def skipped(cell: Cell, engine: str) -> str:
    """Why an engine has no such cell; "" where it has."""
    record = PluginManager(allow=["openai"]).records_of(RealtimeRecord)[engine]
    if cell.needs and not getattr(record, cell.needs):
        return f"{engine} does not declare {cell.needs}"
    return ""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("adopted", [False, True], ids=["cold", "adopted"])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("engine", ["openai-realtime"])
async def test_the_greeting_is_heard_once_and_whole(
    simcall: Any, engine: str, name: str, adopted: bool, seed: int
) -> None:
    cell = CELLS[name]
    if reason := skipped(cell, engine):
        pytest.skip(reason)
    for speaks_at_ms in SPEAKS_AT_MS:
        drawn = random.Random(f"{name} {speaks_at_ms} {adopted} {seed}")
        await play(simcall, cell, speaks_at_ms, drawn, adopted=adopted)


async def play(
    simcall: Any, cell: Cell, speaks_at_ms: int | None, drawn: random.Random, *, adopted: bool
) -> None:
    """One call of a cell, and its checks."""
    faults = replace(
        cell.faults,
        acknowledgement_delay_s=drawn.uniform(0.0, 2.0),
        cancel_after_ms=drawn.randrange(100, 1200, 20),
        drop_after_ms=drawn.randrange(100, 1200, 20),
        late_deltas=drawn.randrange(4),
        transcription_delay_s=(0.1, 1.5),
    )
    server = {
        "speed": drawn.choice([2.0, 10.0, 50.0]),
        "delta_ms": drawn.choice([40, 100, 400]),
        "response_delay_s": drawn.uniform(0.0, 0.4),
        "seed": drawn.randrange(1000),
    }
    line = {"ring_s": 2.0} if adopted else {}
    settings = {"silence_duration_ms": 900}
    async with engine_call(
        simcall, faults=faults, settings=settings, line=line, server=server, prewarm=adopted
    ) as made:
        network: Any = asyncio.get_running_loop()
        network.network.set_latency("engine.example", 80, drawn.uniform(0.0, 0.12))
        try:
            await (converse(made, speaks_at_ms) if cell.reachable else lose(made, speaks_at_ms))
        finally:
            network.network.set_latency("engine.example", 80, 0.0)
    check(made, cell, speaks_at_ms, adopted=adopted)


async def converse(made: EngineCall, speaks_at_ms: int | None) -> None:
    """The caller says something early, hears the greeting and an answer, and one more."""
    early = "Hello?"
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await made.call.caller_says(early, wait=False)
    await made.call.agent_says(GREETING)
    if speaks_at_ms is not None:
        await made.call.agent_says(f"You said {early}")
        await made.call.quiet(500)
    await made.call.caller_says("Are you open?")
    await made.call.agent_says("You said Are you open?")
    await made.call.quiet(2500)


async def lose(made: EngineCall, speaks_at_ms: int | None) -> None:
    """The engine is gone for good: that is reported, and the call is over."""
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await made.call.caller_says("Hello?", wait=False)
    await made.call.ended()


def check(made: EngineCall, cell: Cell, speaks_at_ms: int | None, *, adopted: bool) -> None:
    """What holds in every cell."""
    assert made.call.heard.count(GREETING[-12:]) <= 1, "it was heard to its end twice"
    if not cell.reachable:
        assert len(made.told("greeting_failed")) == 1
        return
    said = ["Are you open?"] if speaks_at_ms is None else ["Hello?", "Are you open?"]
    answered = " ".join([GREETING, *(f"You said {words}" for words in said)])
    assert made.call.heard.endswith(answered), made.call.heard
    texts = [(entry.role, entry.text) for entry in made.call.transcript]
    expected = [("assistant", GREETING)]
    for words in said:
        expected += [("user", words), ("assistant", f"You said {words}")]
    assert texts == expected

    assert len(made.told("greeting_delivered")) == 1
    reported = len(made.told("protection_not_applied"))
    if cell.faults.acknowledgement in ("late", "reordered"):  # in time or not, as it is drawn
        assert reported <= 1
    else:
        assert reported == (0 if cell.guarded else 1)
    assert len(made.sessions) == cell.sessions
    assert made.restores() == [CONFIGURED]
    assert made.engine_heard() == list(range(len(said))), "each word reaches the engine once"
    # the model's own memory holds one greeting
    held = [item.text for item in made.sessions[-1].conversation.items]
    assert held.count(GREETING) == 1
    assert not [text for text in held if text and text != GREETING and GREETING.startswith(text)]
    assert (made.sessions[0].received[0][0] < made.pickup_t - 1.0) is adopted
    assert cancellations(made) == cell.faults.cancels
    refused = [event for one in made.sessions for _, event in one.sent if event["type"] == "error"]
    assert len(refused) == (1 if cell.faults.update == "refused" else 0), refused


def cancellations(made: EngineCall) -> int:
    """How many responses the server cancelled by itself, however it said so."""
    found = set()
    for session in made.sessions:
        for _, event in session.sent:
            response = event.get("response", {})
            if event["type"] in ("response.cancelled", "response.canceled"):
                found.add(event["response_id"])
            elif event["type"] == "response.done" and response["status"] == "cancelled":
                found.add(response["id"])
    return len(found)
