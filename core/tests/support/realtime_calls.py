"""What tests of calls with an engine share: agents, what observers are told, and what the engine heard."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import Any

from patter import Agent, hookimpl
from patter.audio.formats import MULAW_8K
from patter.call.events import EVENTS
from patter.testing.tones import ToneReader, nearest_number, speech_ms

GREETING = "Hello, Acme here. How can I help?"
GREETING_MS = speech_ms(GREETING)


def agent(**options: Any) -> Agent:
    """An agent with the fake engine that greets."""
    return Agent(**{"engine": "fake", "first_message": GREETING, **options})


class Told:
    """A plugin that notes the events of the calls of a phone, from their setup on."""

    def __init__(self, phone: Any) -> None:
        self.events: dict[str, list[Any]] = defaultdict(list)
        self.order: list[str] = []
        phone.register(self)

    @hookimpl
    async def patter_call_setup(self, call: Any) -> None:
        """Subscribe to everything."""
        for name in EVENTS:
            call.on(name, lambda data, name=name: self._note(name, data))

    def _note(self, name: str, data: Any) -> None:
        self.order.append(name)
        self.events[name].append(data)

    def __getitem__(self, name: str) -> list[Any]:
        return self.events[name]


def utterances_heard(script: Any, count: int) -> list[tuple[int, int]]:
    """What the engine heard of the caller: the number of each stretch of speech and its frames, in order."""
    pitches = ToneReader(MULAW_8K).feed(bytes(script.heard))
    numbers = [nearest_number(pitch, count - 1) for pitch in pitches if pitch is not None]
    return [(number, len(list(frames))) for number, frames in groupby(numbers)]
