"""An engine is interrupted like any agent, and its first audio is stamped like all audio."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from realtime_calls import GREETING, Told, agent
from websockets.asyncio.server import ServerConnection, serve

from patter import Agent, BargeInStrategy
from patter.testing.engine_script import EngineReply

LONG = "This answer takes a long time to say, and then some more, and it does not come to an end soon."


class StopWord(BargeInStrategy):
    """Interrupts at "stop" alone."""

    def evaluate(self, event: Any) -> bool:
        return "stop" in event.transcript.lower()


TRIGGERS: dict[str, dict[str, Any]] = {
    "speech": {},
    "strategy": {"barge_in_strategies": [StopWord()]},
    "final": {"barge_in_mode": "confirm"},
    "pause": {"barge_in_strategies": [StopWord()], "barge_in_mode": "pause"},
    "application": {},
    "application in its stead": {"barge_in_mode": "confirm"},
}


@pytest.mark.behaviour("BI-22")
@pytest.mark.parametrize("trigger", sorted(TRIGGERS))
@pytest.mark.parametrize("made", [False, True], ids=["being made", "made"])
async def test_each_effect_of_an_interruption_of_an_engine_comes_once(
    simcall: Any, told: Told, trigger: str, made: bool
) -> None:
    call = simcall(agent(**TRIGGERS[trigger]), echo_s=0.3)
    script = call.scene.engine
    script.replies.extend(
        [EngineReply(LONG, piece_s=0.01 if made else 0.1), EngineReply("Yes?", delay_s=10.0)]
    )
    async with call:
        await call.agent_says(GREETING)
        await call.caller_says("Tell me all.")
        await call.agent_says("This answer takes")
        assert len([one for one in script.events if one.kind == "response_done"]) == 1 + made
        told["agent_speech_ended"].clear()  # that of the greeting
        assert told["interruption"] == []
        if trigger.startswith("application"):
            call.call.interrupt()
        else:
            await call.caller_says("Please stop.")
        while not told["agent_speech_ended"]:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        (cut,) = (one for one in call.call.transcript if one.interrupted)
        sent, responses = call.line.media_messages, len(script.events)
        await asyncio.sleep(1.0)  # marks that come back now count for nothing, and no audio follows
        assert [one for one in call.call.transcript if one.interrupted] == [cut]
        assert call.line.media_messages == sent
        assert "audio" not in [one.kind for one in script.events[responses:]], "nothing is made any more"
        await call.caller_hangs_up()
    assert len(told["agent_speech_ended"]) == 1
    assert len(call.line.clears) == 1
    (outcome,) = told["interruption"]
    assert (outcome.outcome, outcome.requested) == ("confirmed", trigger.startswith("application"))
    assert outcome.metrics is not None
    assert outcome.detection_delay_ms >= 0
    assert script.names().count("truncate") == 1
    assert LONG.startswith(cut.text)
    assert abs(len(cut.text.split()) - len(call.heard.removeprefix(GREETING).split())) <= 1
    assert call.summary.metrics["interruptions"] == 1


PIPELINE: dict[str, Any] = {"stt": "fake", "llm": "fake", "vad": "fake"}
GREETED = {"first_message": "Hello from Acme today."}
REMOTE = "agent.example.com"
#: every place that audio comes from
PLACES: dict[str, dict[str, Any]] = {
    "live greeting": {**PIPELINE, **GREETED, "tts": "fake?delay_ms=300&chunk_delay_ms=20"},
    "greeting made beforehand": {**PIPELINE, **GREETED, "tts": "fake", "prewarm_first_message": True},
    "streamed voice": {**PIPELINE, "tts": "fake?delay_ms=300&chunk_delay_ms=20"},
    "whole sentences": {**PIPELINE, "tts": "fake?delay_ms=300&chunk_bytes=1000000"},
    "remote handler": {"stt": "fake", "vad": "fake", "tts": "fake", "on_message": f"ws://{REMOTE}:8081/turn"},
    "engine": {"engine": "fake"},
    "greeting of an engine": {"engine": "fake", **GREETED},
}


async def talk_remotely(socket: ServerConnection) -> None:
    """Answer a turn in two pieces."""
    await socket.recv()
    await socket.send(json.dumps({"text": "This is what I have to say. "}))
    await asyncio.sleep(0.2)
    await socket.send(json.dumps({"text": "And that.", "done": True}))


@pytest.mark.behaviour("BI-03")
@pytest.mark.parametrize("place", sorted(PLACES))
async def test_the_first_audio_is_stamped_when_its_first_chunk_was_sent_wherever_it_comes_from(
    simcall: Any, place: str
) -> None:
    stamps: list[tuple[float, float | None, int]] = []
    loop = asyncio.get_running_loop()
    server = await serve(talk_remotely, REMOTE, 8081)
    async with simcall(Agent(**PLACES[place]), ring_s=3.0) as call:

        def note(turn: int) -> None:
            judge = call.call._control._machine.barge_in
            stamps.append((loop.time(), judge.first_audio, call.line.media_messages))

        call.call.on("agent_speech_started", note)
        if "first_message" not in PLACES[place]:
            await call.caller_says("What is new?")
        while not stamps:
            await asyncio.sleep(0.005)
        sent_at, stamped_at, messages = stamps[0]
        assert messages == 1, "after the first chunk"
        assert stamped_at == sent_at
        opens = call.call._control._machine.barge_in.gate_open
        assert (opens(sent_at + 0.249), opens(sent_at + 0.251)) == (False, True)
        await call.quiet(100)
        assert next(one.start for one in call.timeline if one.who == "agent") == pytest.approx(sent_at)
    server.close()
    await server.wait_closed()
