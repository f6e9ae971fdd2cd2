"""Keys that are pressed in a call with an engine: their tones have the floor, and the engine speaks after them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from patter import Agent
from patter.audio.formats import MULAW_8K
from patter.testing.keys import read_keys

GREETING = "Hello, Acme here."


class Heard:
    """The audio that a line plays to the caller."""

    def __init__(self, line: Any) -> None:
        self.audio = b""
        self._listener, line._listener = line._listener, self

    def plays(self, played: Any) -> None:
        self.audio += played.audio
        self._listener.plays(played)

    def cleared(self, t: float) -> None:
        self._listener.cleared(t)

    @property
    def keys(self) -> str:
        return "".join(one.key for one in read_keys(self.audio, MULAW_8K))


@pytest.mark.parametrize("options", [{}, {"barge_in_mode": "confirm"}], ids=["it decides", "we decide"])
@pytest.mark.parametrize("says", ["", "Hello?"])
async def test_keys_are_heard_whole_and_the_engine_answers_afterwards(
    phone: Any, simcall: Any, says: str, options: dict[str, Any]
) -> None:
    await phone.start(Agent(engine="fake", first_message=GREETING, **options), port=0)
    trunks = phone.switchboard.trunks
    trunks["fake"] = replace(trunks["fake"], record=replace(trunks["fake"].record, dtmf_out=False))
    async with simcall() as call:
        await call.agent_says(GREETING)
        await call.quiet(300)
        heard = Heard(call.line)
        assert await call.call.send_dtmf("123456789") is True
        if says:
            await call.caller_says(says)
        await asyncio.sleep(5)
        assert heard.keys == "123456789"
        if says:
            await call.agent_says(f"You said: {says}")
        await call.caller_says("And now?")
        await call.agent_says("You said: And now?")
