"""The cells of the greeting's matrix with OpenAI's engine, which asks for its greeting and guards it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

from openai_calls import GREETING, EngineCall, engine_call

from patter_openai.realtime_simulator import RealtimeFaults

CONFIGURED = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 900,
    "create_response": True,
    "interrupt_response": True,
}


def cancelled(*events: str, times: int = 1) -> RealtimeFaults:
    return RealtimeFaults(cancels=times, cancel_events=events)


FAULTS = {
    "normal": RealtimeFaults(),
    "late": RealtimeFaults(acknowledgement="late"),
    "reordered": RealtimeFaults(acknowledgement="reordered"),
    "never": RealtimeFaults(acknowledgement="never"),
    "ignored": RealtimeFaults(update="ignored"),
    "refused": RealtimeFaults(update="refused"),
    "unspoken": RealtimeFaults(silent_responses=1),
    "cancelled": cancelled("response.done"),
    "cancelled-event": cancelled("response.cancelled", "response.done"),
    "canceled-event": cancelled("response.canceled", "response.done"),
    "canceled-alone": cancelled("response.canceled"),
    "cancelled-twice": cancelled("response.done", times=2),
    "drop-before": RealtimeFaults(drop="before"),
    "drop-during": RealtimeFaults(drop="during"),
    "drop-after": RealtimeFaults(drop="after"),
    "gone": RealtimeFaults(drop="during", connections=1),
}
#: the protection is not acknowledged in these, and that is reported
UNGUARDED = ("never", "ignored", "refused")


async def play(
    simcall: Any, cell: str, speaks_at_ms: int | None, drawn: random.Random, *, adopted: bool
) -> None:
    """One call of a cell, and its checks."""
    faults = replace(
        FAULTS[cell],
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
            await (lose(made, speaks_at_ms) if cell == "gone" else converse(made, speaks_at_ms))
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


def check(made: EngineCall, cell: str, speaks_at_ms: int | None, *, adopted: bool) -> None:
    """What holds in every cell."""
    assert made.call.heard.count(GREETING[-12:]) <= 1, "it was heard to its end twice"
    if cell == "gone":
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
    if cell in ("late", "reordered"):  # in time or not, as it is drawn
        assert reported <= 1
    else:
        assert reported == (1 if cell in UNGUARDED else 0)
    assert len(made.sessions) == (2 if cell.startswith("drop") else 1)
    assert made.restores() == [CONFIGURED]
    assert made.engine_heard() == list(range(len(said))), "each word reaches the engine once"
    # the model's own memory holds one greeting
    held = [item.text for item in made.sessions[-1].conversation.items]
    assert held.count(GREETING) == 1
    assert not [text for text in held if text and text != GREETING and GREETING.startswith(text)]
    assert (made.sessions[0].received[0][0] < made.pickup_t - 1.0) is adopted
    assert cancellations(made) == FAULTS[cell].cancels
    refused = [event for one in made.sessions for _, event in one.sent if event["type"] == "error"]
    assert len(refused) == (1 if cell == "refused" else 0), refused


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
