"""The cells of the greeting's matrix with Gemini Live, which is asked for its greeting and acknowledges no settings."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Final

from patter import Agent
from patter.audio.formats import PCM16_16K
from patter.testing.tones import ToneReader
from patter_google.live_config import GeminiLiveConfig
from patter_google.simulator import Faults, SimulatedTurn, Simulator

GREETING: Final = "Hello, this is Acme, how can I help"
EARLY: Final = "Hello?"
ANSWER: Final = "We open at eight"
HOST: Final = "engine.example"
RING_S: Final = 2.0
TOLD: Final = ("greeting_delivered", "greeting_fallback", "greeting_failed", "protection_not_applied")
#: how often the greeting is begun
ATTEMPTS: Final = {"unspoken": 2, "cancelled": 2, "cancelled-twice": 3, "drop-during": 2}


def spoilt(cell: str, drawn: random.Random, *, adopted: bool) -> Faults:
    answered_s = 9.0 + RING_S * adopted
    kinds: dict[str, dict[str, Any]] = {
        "unspoken": {"mute": 1},
        "cancelled": {"cancels": 1},
        "cancelled-twice": {"cancels": 2},
        "drop-before": {"drop_s": 0.0},
        "drop-during": {"drop": 0},
        "drop-after": {"drop_s": answered_s},
        "gone": {"status": 503},
    }
    return Faults(
        **kinds.get(cell, {}),
        times=1 if cell.startswith("drop") else None,
        cancel_s=drawn.uniform(0.1, 1.2),
        ack_s=drawn.choice([0.0, drawn.uniform(0.0, 1.5)]),
        stall_s=drawn.choice([0.0, 0.2]),
        malformed=drawn.random() < 0.2,
        drop_code=drawn.choice([1011, None]),
        late_transcript=drawn.random() < 0.5,
        finishes=drawn.random() < 0.5,
        no_generation_complete=drawn.random() < 0.2,
        pong_s=drawn.choice([0.0, 30.0]),
    )


@dataclass
class GeminiCall:
    """One call, its server, and what observers were told of its greeting."""

    server: Simulator
    call: Any = None
    reports: list[tuple[str, Any]] = field(default_factory=list)
    pickup_t: float = 0.0

    def observe(self) -> None:
        """From now on; at once after the call was connected."""
        self.pickup_t = asyncio.get_running_loop().time()
        for name in TOLD:
            self.call.call.on(name, lambda report, name=name: self.reports.append((name, report)))

    def utterances_taken(self) -> int:
        """How many utterances of the caller all sessions were sent, repeated ones counted again."""
        count = 0
        for connection in self.server.connections:
            previous = None
            for pitch in ToneReader(PCM16_16K).feed(bytes(connection.model.audio)):
                count += pitch is not None and previous is None
                previous = pitch
        return count


async def play(
    simcall: Any, cell: str, speaks_at_ms: int | None, drawn: random.Random, *, adopted: bool
) -> None:
    """One call of a cell, and its checks."""
    voice = cell == "gone" and drawn.random() < 0.5
    server = Simulator(
        (SimulatedTurn(EARLY, ANSWER),),
        faults=spoilt(cell, drawn, adopted=adopted),
        voice=lambda text: made.call.scene.voice.begin(text)[0],
        host=HOST,
        port=80,
    )
    made = GeminiCall(server)
    network: Any = asyncio.get_running_loop()
    async with server:
        engine = GeminiLiveConfig(api_key=server.key, base_url=server.base_url)
        options = {"tts": "fake"} if voice else {}
        agent = Agent(engine=engine, first_message=GREETING, prewarm=adopted, **options)
        made.call = simcall(agent, limit_s=60, **({"ring_s": RING_S} if adopted else {}))
        network.network.set_latency(HOST, 80, drawn.uniform(0.0, 0.12))
        try:
            async with made.call:
                made.observe()
                await (
                    lose(made, speaks_at_ms, voice) if cell == "gone" else converse(made, cell, speaks_at_ms)
                )
        finally:
            network.network.set_latency(HOST, 80, 0.0)
    check(made, cell, voice)
    if cell != "gone":
        assert (made.server.connections[0].model.began < made.pickup_t - 1.0) is adopted


async def converse(made: GeminiCall, cell: str, speaks_at_ms: int | None) -> None:
    """The caller says something, early or not, hears the greeting, and is answered."""
    call = made.call
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await call.caller_says(EARLY, wait=False)
    await call.agent_says(GREETING, within_s=20)
    if speaks_at_ms is None:
        await asyncio.sleep(0.3)
        await call.caller_says(EARLY, wait=False)
    await call.agent_says(ANSWER)
    await call.quiet(8000 if cell == "drop-after" else 1500)


async def lose(made: GeminiCall, speaks_at_ms: int | None, voice: bool) -> None:
    """The engine cannot be had at all: that is reported, and the call is over."""
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await made.call.caller_says(EARLY, wait=False)
    if voice:
        await made.call.agent_says(GREETING)
    await made.call.ended()


def check(made: GeminiCall, cell: str, voice: bool) -> None:
    """What holds in every cell."""
    call = made.call
    assert call.heard.count(GREETING[-12:]) <= 1, "it was heard to its end twice"
    texts = [(entry.role, entry.text) for entry in call.transcript]
    names = [name for name, _ in made.reports]
    if cell == "gone":
        assert names == ["greeting_fallback" if voice else "greeting_failed"]
        assert [text for role, text in texts if role == "assistant"] == [GREETING] * voice
        return
    assert names == ["greeting_delivered"]
    assert made.reports[0][1].attempts == ATTEMPTS.get(cell, made.reports[0][1].attempts)
    assert call.heard.endswith(f"{GREETING} {ANSWER}"), call.heard
    assert texts == [("assistant", GREETING), ("user", EARLY), ("assistant", ANSWER)]
    assert len(made.server.connections) == (2 if cell.startswith("drop") else 1)
    assert made.utterances_taken() == 1, "each word reaches the engine once"
    if cell == "drop-after":
        told = made.server.connections[1].model.history
        assert told == [("model", GREETING), ("user", EARLY), ("model", ANSWER)]
