"""The protected greeting under every mixture of faults: heard to its end once, or told that it was not."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from realtime_calls import GREETING, GREETING_MS, Told, agent, utterances_heard

from patter.errors import ProviderDisconnected
from patter.testing import EngineReply

SPEAKS_AT_MS = (None, 0, 50, 250, 1000)
#: broken attempts; of those that are told complete nothing more can be said
FAULTS = (
    "cancelled",
    "canceled twice",
    "failed",
    "incomplete",
    "silent",
    "dropped",
    "never",
    "hangs",
    "server cancels",
)


def broken(kind: str, chance: random.Random) -> EngineReply:
    """An attempt that goes wrong, somewhere before its end."""
    after_ms = chance.randrange(0, GREETING_MS * 6 // 10, 100)
    common: dict[str, Any] = {"after_ms": after_ms, "piece_s": chance.choice([0.001, 0.01, 0.1])}
    return {
        "cancelled": EngineReply(status="cancelled", **common),
        "canceled twice": EngineReply(status="cancelled", repeated_ends=2, **common),
        "failed": EngineReply(status="failed", detail="server_error", **common),
        "incomplete": EngineReply(status="incomplete", **common),
        "silent": EngineReply(silent=True),
        "dropped": EngineReply(drops=True, **common),
        "never": EngineReply(never=True),
        "hangs": EngineReply(hangs=True, **common),
        "server cancels": EngineReply(),
    }[kind]


def prepared(script: Any, chance: random.Random) -> list[str]:
    """Faults of one call, at most as many as there are retries; returns which."""
    acknowledgement = chance.choice(["normal", "late", "never", "ignored", "refused"])
    script.ack_s = {"late": chance.uniform(0, 2.0), "never": None}.get(acknowledgement, 0.05)
    script.ignores_guard = acknowledgement == "ignored"
    script.guard_error = "unknown_parameter" if acknowledgement == "refused" else ""
    script.connect_s = chance.choice([0.0, 0.05, 0.4])
    script.transcript_s = chance.choice([0.0, 0.2, 1.0])
    faults = [chance.choice(FAULTS[:-1]) for _ in range(chance.randrange(3))]
    script.greetings.extend(broken(fault, chance) for fault in faults)
    return faults


@pytest.mark.behaviour("RT-06", "RT-08", "RT-09")
@pytest.mark.parametrize("seed", range(60))
async def test_a_greeting_is_heard_whole_once_and_early_words_are_answered(
    simcall: Any, told: Told, seed: int
) -> None:
    chance = random.Random(seed)
    prewarm = chance.random() < 0.5
    options = {"prewarm": prewarm, "greeting_ack": chance.choice(["proceed", "wait"])}
    call = simcall(agent(**options), ring_s=1.0 if prewarm else 0.0)
    script = call.scene.engine
    faults = prepared(script, chance)
    speaks_at = chance.choice(SPEAKS_AT_MS)
    cancels_at = chance.choice([None, None, 0.2, 0.8]) if not faults else None
    async with call:
        if speaks_at is not None:
            await asyncio.sleep(speaks_at / 1000)
            await call.caller_says("Hello?", wait=False)
        if cancels_at is not None:
            script.greetings.append(EngineReply(piece_s=0.1))
            await asyncio.sleep(cancels_at)
            if script.engine is not None:
                script.engine.cancel("turn_detected")
        await call.agent_says(GREETING)
        if speaks_at is not None:
            await call.agent_says("You said: Hello?")
            assert utterances_heard(script, 1) == [(0, 18)]
        else:
            await call.caller_says("Good morning.")
            await call.agent_says("You said: Good morning.")
        await call.quiet(300)
        assert call.heard.count(GREETING) == 1
        assert call.summary is None
    assert script.names().count("restore") == 1
    assert script.names().index("restore") < script.names().index("audio")
    assert script.names().count("response") <= 3
    (report,) = told["greeting_delivered"]
    assert report.attempts <= 3
    assert told["greeting_failed"] == told["greeting_fallback"] == []
    assert len(told["protection_not_applied"]) <= 1
    assert sum(line.text.startswith("Hello, Acme") for line in call.transcript) == 1
    assert script.problems == []
    assert call.summary.metrics["stuck_repairs"] == 0


@pytest.mark.behaviour("RT-10")
@pytest.mark.parametrize("seed", range(20))
async def test_a_greeting_that_cannot_be_had_is_told_or_spoken_by_the_fallback_and_the_call_goes_on(
    simcall: Any, told: Told, seed: int
) -> None:
    chance = random.Random(1000 + seed)
    voice = chance.choice([None, "fake"])
    call = simcall(agent(tts=voice, greeting_retries=chance.randrange(3), prewarm=False))
    script = call.scene.engine
    if chance.random() < 0.3:
        script.connect_faults.extend([ProviderDisconnected("refused")] * 2)
        script.greetings.extend([EngineReply(silent=True)] * 3)
    else:
        script.greetings.extend(broken(chance.choice(FAULTS[:-1]), chance) for _ in range(3))
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says("You said: Hello?", within_s=60)
        await call.quiet(300)
        assert call.summary is None
        assert call.heard.count(GREETING) == (voice is not None)
    ends = [name for name in told.order if name.startswith("greeting_")]
    assert ends == ["greeting_failed" if voice is None else "greeting_fallback"]
    assert script.names().count("restore") <= 1
    assert script.problems == []
