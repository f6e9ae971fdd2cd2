"""The parrot in whole calls and virtual time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from patter import Agent
from patter.testing.tones import ToneReader, nearest_number

pytestmark = pytest.mark.patter_plugins("parrot")


class Line:
    """Hears what the parrot sends to the carrier."""

    def __init__(self, call: Any) -> None:
        self.frames: list[tuple[float, int]] = []
        self._call = call
        self._reader = ToneReader(call.line.format)
        listener, plays = call.line._listener, call.line._listener.plays

        def listening(played: Any) -> None:
            for pitch in self._reader.feed(played.audio):
                if pitch is not None:
                    self.frames.append((played.start, nearest_number(pitch, 5)))
            plays(played)

        listener.plays = listening


@pytest.mark.parametrize("delay_ms", [200, 500])
async def test_the_caller_hears_each_word_again_once(simcall: Any, delay_ms: int) -> None:
    async with simcall(Agent(engine=f"parrot?delay_ms={delay_ms}")) as call:
        line = Line(call)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await call.caller_says("Hello?")
        await asyncio.sleep(1.0)
        await call.caller_says("Nice weather.")
        await asyncio.sleep(2.0)
        summary = await call.caller_hangs_up()
    assert [number for _, number in line.frames] == [0] * 18 + [1] * 39
    assert line.frames[0][0] - began == pytest.approx(delay_ms / 1000, abs=0.1)
    assert summary.leaks == ()
    assert call.failures == []


async def test_what_it_cannot_say_is_told(simcall: Any, caplog: pytest.LogCaptureFixture) -> None:
    failed: list[Any] = []
    async with simcall(Agent(engine="parrot", first_message="Hello."), ring_s=1.0) as call:
        call.call.on("greeting_failed", failed.append)
        await call.caller_says("Hello?")
        await asyncio.sleep(1.0)
        with caplog.at_level(logging.WARNING):
            call.call.say("I cannot say that.")
            await asyncio.sleep(0.5)
    assert "cannot be asked to say a text" in caplog.text
    assert call.scene.voice.spoken == []


async def test_a_voice_beside_it_greets(simcall: Any) -> None:
    async with simcall(Agent(engine="parrot", first_message="Hello, Acme here.", tts="fake")) as call:
        await call.agent_says("Hello, Acme here.")
        await call.caller_says("Hello?")
        await asyncio.sleep(1.5)
    assert call.transcript[0].text == "Hello, Acme here."
