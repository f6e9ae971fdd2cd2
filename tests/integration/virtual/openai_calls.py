"""Whole calls with OpenAI's engine: a simulated caller, the call, the plugin and the simulated server, in memory.

The server speaks in the tones of the call's scene and understands what the scene's caller says, so that what was heard
at both ends is read from audio alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from patter import Agent
from patter.audio.formats import MULAW_8K
from patter.testing.tones import ToneReader, nearest_number
from patter_openai.realtime_config import OpenAIRealtimeConfig
from patter_openai.realtime_simulator import Asked, RealtimeFaults, RealtimeSimulator, SimulatedSession

GREETING = "Hello, Acme. How can I help you?"
KEY = "key-of-the-engine"
OBSERVED = (
    "greeting_delivered",
    "greeting_failed",
    "greeting_fallback",
    "protection_not_applied",
    "protocol_trace",
    "interruption",
)


def answer(asked: Asked) -> str:
    """What the simulated model says to the caller's last words."""
    said = [text for role, text in asked.heard if role == "user" and text]
    return f"You said {said[-1]}" if said else "Nobody spoke"


@dataclass
class EngineCall:
    """One call and both of its far ends.

    Attributes:
        call: the caller's end.
        simulator: the engine's end.
        pickup_t: when the call was answered, in s of the loop's clock.
        events: what the call's observers were told of `OBSERVED`, with the times.
    """

    call: Any
    simulator: RealtimeSimulator
    pickup_t: float
    events: list[tuple[float, str, Any]] = field(default_factory=list)

    def told(self, name: str) -> list[Any]:
        """What observers were told under that name."""
        return [data for _, event, data in self.events if event == name]

    def observe(self) -> None:
        """From now on; at once after the call was connected."""
        loop = asyncio.get_running_loop()
        for name in OBSERVED:
            self.call.call.on(name, lambda data, name=name: self.events.append((loop.time(), name, data)))

    # -- the engine's end

    @property
    def sessions(self) -> list[SimulatedSession]:
        """The sessions that the engine had, in order."""
        return self.simulator.sessions

    def received(self, *kinds: str) -> list[dict[str, Any]]:
        """Messages that the engine got, of all sessions."""
        return [one for session in self.sessions for one in session.instructed if one["type"] in kinds]

    def when(self, kind: str, matches: Callable[[dict[str, Any]], bool] = lambda _: True) -> list[float]:
        """When the engine got messages of that kind."""
        return [t for one in self.sessions for t, m in one.received if m["type"] == kind and matches(m)]

    def detections(self) -> list[dict[str, Any]]:
        """The turn detection of each update, the set-up of each session included."""
        return [one["session"]["audio"]["input"]["turn_detection"] for one in self.received("session.update")]

    def restores(self) -> list[dict[str, Any]]:
        """The updates that gave the configured turn detection back."""
        return [
            one["session"]["audio"]["input"]["turn_detection"]
            for one in self.received("session.update")
            if one["event_id"].startswith("restore")
        ]

    def engine_heard(self) -> list[int]:
        """The caller's utterances in the audio that the engine was sent, in order; a repeated one shows twice."""
        numbers: list[int] = []
        for session in self.sessions:
            latest = len(self.call.scene.recogniser.utterances) - 1
            previous = None
            for pitch in ToneReader(MULAW_8K).feed(bytes(session.heard)):
                if pitch is not None and pitch != previous:
                    numbers.append(nearest_number(pitch, latest))
                previous = pitch
        return numbers

    # -- the caller's end

    def times_heard_to_the_end(self, text: str) -> int:
        """How often the caller heard that text from somewhere to its end."""
        return sum(line.text.endswith(text[-6:]) for line in self.agent_lines() if line.text)

    def agent_lines(self) -> list[Any]:
        """What the caller heard of the agent, one for each stretch."""
        return [one for one in self.call.timeline if one.who == "agent"]


@asynccontextmanager
async def engine_call(
    simcall: Any,
    *,
    faults: RealtimeFaults | None = None,
    settings: dict[str, Any] | None = None,
    line: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[EngineCall]:
    """A connected call; `options` are the agent's, `settings` the engine's, `line` those of the caller's call.

    On a phone that loads the plugin: ``@pytest.mark.patter_plugins("openai")``.
    """
    engine = OpenAIRealtimeConfig(base_url="http://engine.example/v1", api_key=KEY, **(settings or {}))
    agent = Agent(**{"engine": engine, "first_message": GREETING, "prewarm": False, **options})
    call = simcall(agent, **(line or {}))
    utterances = call.scene.recogniser.utterances

    def understand(pitches: Any) -> str:
        numbers = [nearest_number(pitch, len(utterances) - 1) for pitch in pitches]
        return " ".join(utterances[number].understood for number in _runs(numbers) if number >= 0)

    simulator = RealtimeSimulator(
        **{
            "model": answer,
            "faults": faults,
            "voice": lambda text: call.scene.voice.begin(text)[0],
            "understand": understand,
            "key": KEY,
            "host": "engine.example",
            "port": 80,
            **(server or {}),
        }
    )
    async with simulator, call:
        made = EngineCall(call, simulator, asyncio.get_running_loop().time())
        made.observe()
        yield made


def _runs(numbers: list[int]) -> Iterator[int]:
    previous = None
    for number in numbers:
        if number != previous:
            yield number
        previous = number
