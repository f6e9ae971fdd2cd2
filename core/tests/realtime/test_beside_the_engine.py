"""What works beside an engine as it does beside a pipeline: cleaned audio, silent callers, keys, and quiet logs."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from realtime_calls import GREETING, agent

from patter.errors import ProviderDisconnected
from patter.testing import EngineReply


@pytest.mark.parametrize(
    "stages", [{"high_pass_hz": 100.0}, {"echo_cancellation": True}, {"gain_control": True}], ids=str
)
async def test_the_engine_hears_cleaned_audio(simcall: Any, stages: dict[str, Any]) -> None:
    async with simcall(agent(engine="fake?input_rate=16000&output_rate=24000", **stages)) as call:
        await call.agent_says(GREETING)
        await call.caller_says("What are your hours?")
        await call.agent_says("You said: What are your hours?")
    assert call.failures == []


async def test_a_silent_caller_is_asked_and_then_left(simcall: Any) -> None:
    options = {"idle_prompt_s": 5.0, "idle_prompt": "Are you there?", "idle_hangup_s": 12.0}
    async with simcall(agent(**options)) as call:
        await call.agent_says(GREETING)
        await call.agent_says("Are you there?")
        summary = await call.ended()
    assert "nobody said anything" in summary.reason
    assert [what for name, what in call.scene.engine.orders if name == "response"] == [
        GREETING,
        "Are you there?",
    ]


async def test_keys_are_pressed_between_the_engines_words(simcall: Any) -> None:
    async with simcall(agent()) as call:
        await call.agent_says(GREETING)
        assert await call.call.send_dtmf("12#")
        await call.caller_says("Did you hear that?")
        await call.agent_says("You said: Did you hear that?")
    assert call.scene.engine.problems == []


async def test_a_response_that_comes_while_another_is_heard_waits_for_its_end(simcall: Any) -> None:
    call = simcall(agent(first_message=""))
    script = call.scene.engine
    script.replies.extend([EngineReply("This is the first answer."), EngineReply("And this the second.")])
    async with call:
        await call.caller_says("Two answers, please.")
        while not any(one.kind == "response_done" for one in script.events):
            await asyncio.sleep(0.01)
        script.engine._begin_turn("")
        await call.agent_says("This is the first answer.")
        await call.agent_says("And this the second.")
        await call.quiet(100)
        assert call.line.clears == []
    spoken = [line.text for line in call.transcript if line.role == "assistant"]
    assert spoken == ["This is the first answer.", "And this the second."]


async def test_a_failed_handshake_puts_no_text_of_it_into_a_log(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    call = simcall(agent(prewarm=False))
    call.scene.engine.connect_faults.append(
        ProviderDisconnected("wss://engine.example?api_key=SECRET refused")
    )
    with caplog.at_level(logging.DEBUG):
        async with call:
            await call.agent_says(GREETING)
    assert call.scene.engine.connections == 2
    assert "SECRET" not in caplog.text
    assert [one.kind for one in call.failures] == ["realtime"]
