"""The cells of the greeting's matrix with engines that greet, and protect their greeting, by themselves.

What their servers spoil is said by the fallback voice, since these engines cannot be asked to say it again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import patter_elevenlabs.simulator as elevenlabs
import patter_ultravox.simulator as ultravox
from patter import Agent
from patter.audio.formats import MULAW_8K, PCM16_8K, AudioFormat
from patter.testing.tones import ToneReader
from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig
from patter_ultravox.config import UltravoxConfig

GREETING: Final = "Hello, this is Acme, how can I help"
EARLY: Final = "Hello?"
ANSWER: Final = "We open at eight"
HOST: Final = "engine.example"
TOLD: Final = ("greeting_delivered", "greeting_fallback", "greeting_failed", "protection_not_applied")
#: the session is lost once in these, and made anew
LOST_ONCE: Final = ("drop-before", "drop-during", "drop-after")


@dataclass(frozen=True)
class Hosted:
    """One engine and its simulated servers.

    Attributes:
        simulate: makes the simulator from the text's pitches.
        configure: the engine's configuration for that simulator.
        spoil: the faults of a cell.
        sessions: those that the simulator had.
        takes: format of the caller's audio.
        asked: what a session was asked to say first; None where that would not be protected.
    """

    simulate: Callable[[Callable[[str], int]], Any]
    configure: Callable[[Any], Any]
    spoil: Callable[[str, random.Random], Any]
    sessions: Callable[[Any], list[Any]]
    takes: AudioFormat
    asked: Callable[[Any], str | None]


def lost_after_s(drawn: random.Random) -> float:
    """When a session is lost after its greeting, in s: before it could answer what the caller said, or long after."""
    return drawn.choice([drawn.uniform(0.0, 0.3), 4.0])


# -- ElevenLabs


def simulated_elevenlabs(voice: Callable[[str], int]) -> elevenlabs.Simulator:
    agent = elevenlabs.SimulatedAgent(turns=(elevenlabs.SimulatedTurn(EARLY, ANSWER),))
    return elevenlabs.Simulator(agent, voice=voice, host=HOST, port=80)


def spoilt_elevenlabs(cell: str, drawn: random.Random) -> elevenlabs.Faults:
    kinds: dict[str, dict[str, Any]] = {
        "unspoken": {"ignore_first_message": True},
        "cancelled": {"cancel_greeting_s": drawn.uniform(0.1, 1.2)},
        "drop-before": {"drop": "metadata"},
        "drop-during": {"drop": "greeting"},
        "drop-after": {"drop": "after_greeting", "drop_after_s": lost_after_s(drawn)},
        "gone": {"drop": "metadata"},
    }
    return elevenlabs.Faults(
        **kinds.get(cell, {}),
        times=1 if cell in LOST_ONCE else None,
        metadata_s=drawn.choice([0.0, drawn.uniform(0.0, 1.5)]),
        stall_s=drawn.choice([0.0, 0.2]),
        malformed=drawn.random() < 0.2,
        drop_code=drawn.choice([1011, None]),
        late_transcript=drawn.random() < 0.5,
        late_chunks=drawn.randrange(3),
    )


def asked_of_elevenlabs(conversation: Any) -> str | None:
    override = conversation.initiation["conversation_config_override"]["agent"]
    return str(override.get("first_message"))


ELEVENLABS: Final = Hosted(
    simulated_elevenlabs,
    lambda server: ElevenLabsConvaiConfig(
        agent_id=server.agent.agent_id, api_key=server.key, base_url=server.base_url
    ),
    spoilt_elevenlabs,
    lambda server: list(server.conversations),
    MULAW_8K,
    asked_of_elevenlabs,
)


# -- Ultravox


def simulated_ultravox(voice: Callable[[str], int]) -> ultravox.Simulator:
    return ultravox.Simulator((ultravox.SimulatedTurn(EARLY, ANSWER),), voice=voice, host=HOST, port=80)


def spoilt_ultravox(cell: str, drawn: random.Random) -> ultravox.Faults:
    kinds: dict[str, dict[str, Any]] = {
        "unspoken": {"ignore_greeting": True},
        "cancelled": {"cancel_greeting_s": drawn.uniform(0.1, 1.2)},
        "drop-before": {"join": "closed"},
        "drop-during": {"drop": "greeting"},
        "drop-after": {"drop": "after_greeting", "drop_after_s": lost_after_s(drawn)},
        "gone": {"create_status": 503},
    }
    return ultravox.Faults(
        **kinds.get(cell, {}),
        times=1 if cell in LOST_ONCE else None,
        create_s=drawn.choice([0.0, drawn.uniform(0.0, 1.5)]),
        stall_s=drawn.choice([0.0, 0.2]),
        malformed=drawn.random() < 0.2,
        split_audio=drawn.random() < 0.5,
        drop_code=drawn.choice([1011, None]),
        late_transcript=drawn.random() < 0.5,
        no_deltas=drawn.random() < 0.5,
    )


def asked_of_ultravox(call: Any) -> str | None:
    greeting = call.request["firstSpeakerSettings"]["agent"]
    return str(greeting["text"]) if greeting["uninterruptible"] else None


ULTRAVOX: Final = Hosted(
    simulated_ultravox,
    lambda server: UltravoxConfig(api_key=server.key, base_url=server.base_url),
    spoilt_ultravox,
    lambda server: list(server.calls),
    PCM16_8K,
    asked_of_ultravox,
)


# -- the calls


@dataclass
class HostedCall:
    """One call, its server, and what observers were told of its greeting."""

    engine: Hosted
    server: Any
    voice: bool
    call: Any = None
    reports: list[str] = field(default_factory=list)

    def observe(self) -> None:
        """From now on; at once after the call was connected."""
        for name in TOLD:
            self.call.call.on(name, lambda _, name=name: self.reports.append(name))

    def utterances_taken(self) -> list[int]:
        """How many utterances of the caller each session was sent, repeated ones counted again."""
        counts = []
        for session in self.engine.sessions(self.server):
            pitches = [None, *ToneReader(self.engine.takes).feed(bytes(session.audio))]
            counts.append(sum(b is not None and a is None for a, b in pairwise(pitches)))
        return counts


async def play_elevenlabs(
    simcall: Any, cell: str, speaks_at_ms: int | None, drawn: random.Random, *, adopted: bool
) -> None:
    """One call of a cell, and its checks."""
    assert not adopted
    await play(simcall, ELEVENLABS, cell, speaks_at_ms, drawn)


async def play_ultravox(
    simcall: Any, cell: str, speaks_at_ms: int | None, drawn: random.Random, *, adopted: bool
) -> None:
    """One call of a cell, and its checks."""
    assert not adopted
    await play(simcall, ULTRAVOX, cell, speaks_at_ms, drawn)


async def play(
    simcall: Any, engine: Hosted, cell: str, speaks_at_ms: int | None, drawn: random.Random
) -> None:
    server = engine.simulate(lambda text: made.call.scene.voice.begin(text)[0])
    server.faults = engine.spoil(cell, drawn)
    made = HostedCall(engine, server, voice=cell != "gone" or drawn.random() < 0.5)
    network: Any = asyncio.get_running_loop()
    async with server:
        options = {"tts": "fake"} if made.voice else {}
        agent = Agent(engine=engine.configure(server), first_message=GREETING, **options)
        made.call = simcall(agent, limit_s=60)
        network.network.set_latency(HOST, 80, drawn.uniform(0.0, 0.12))
        try:
            async with made.call:
                made.observe()
                await (lose(made, speaks_at_ms) if cell == "gone" else converse(made, cell, speaks_at_ms))
        finally:
            network.network.set_latency(HOST, 80, 0.0)
    check(made, cell)


async def converse(made: HostedCall, cell: str, speaks_at_ms: int | None) -> None:
    """The caller says something, early or not, hears the greeting, and is answered."""
    call = made.call
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await call.caller_says(EARLY, wait=False)
    await call.agent_says(GREETING)
    if speaks_at_ms is None:
        await asyncio.sleep(0.3)
        await call.caller_says(EARLY, wait=False)
    await call.agent_says(ANSWER)
    await call.quiet(5000 if cell == "drop-after" else 1500)


async def lose(made: HostedCall, speaks_at_ms: int | None) -> None:
    """The engine cannot be had at all: that is reported, and the call is over."""
    if speaks_at_ms is not None:
        await asyncio.sleep(speaks_at_ms / 1000)
        await made.call.caller_says(EARLY, wait=False)
    if made.voice:
        await made.call.agent_says(GREETING)
    await made.call.ended()


def check(made: HostedCall, cell: str) -> None:
    """What holds in every cell."""
    call = made.call
    assert call.heard.count(GREETING[-12:]) <= 1, "it was heard to its end twice"
    texts = [(entry.role, entry.text) for entry in call.transcript]
    if cell == "gone":
        assert made.reports == ["greeting_fallback" if made.voice else "greeting_failed"]
        assert [text for role, text in texts if role == "assistant"] == [GREETING] * made.voice
        return
    by_voice = cell in ("unspoken", "cancelled")
    assert made.reports == ["greeting_fallback" if by_voice else "greeting_delivered"]
    assert call.heard.endswith(f"{GREETING} {ANSWER}"), call.heard
    assert texts == [("assistant", GREETING), ("user", EARLY), ("assistant", ANSWER)]
    sessions = made.engine.sessions(made.server)
    assert len(sessions) == (2 if cell in LOST_ONCE else 1)
    assert made.engine.asked(sessions[0]) == GREETING, "it is asked to greet, protected, by itself"
    taken = made.utterances_taken()
    assert max(taken) == 1, "each word reaches a session once"
    assert sum(taken) == 1 or cell == "drop-after", "and another one only if it was lost with the first"
