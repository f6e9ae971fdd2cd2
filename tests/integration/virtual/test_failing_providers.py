"""Providers that fail, lie or fall silent in whole calls, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import Hangup, Retry, Switch, hookimpl
from patter.errors import ProviderAuthError, ProviderDisconnected, ProviderError
from patter.providers.carrier import CallStatus
from patter.testing import CallTool, Reply, VoiceFault

SORRY = "I'm sorry, I'm having trouble answering right now. Could you say that again?"
LONG = "Our opening hours are nine to five on every day of the week, and ten to four on Saturdays."


class Decide:
    """A plugin that answers `patter_call_error`."""

    def __init__(self, *decisions: object) -> None:
        self.decisions = list(decisions)
        self.asked: list[tuple[str, str, float]] = []

    @hookimpl
    async def patter_call_error(self, call: Any, error: Any) -> object:
        now = asyncio.get_running_loop().time()
        self.asked.append((error.kind, type(error.error).__name__, now))
        return self.decisions.pop(0) if self.decisions else None


async def test_a_model_that_fails_once_before_its_first_token_is_asked_again(simcall: Any) -> None:
    async with simcall(replies=[ProviderError("overloaded"), "Here I am."]) as call:
        await call.caller_says("Hello?")
        await call.agent_says("Here I am.")

    assert len(call.scene.model.requests) == 2
    assert call.scene.model.made == 2
    assert [one.kind for one in call.failures] == ["llm"]
    assert call.heard == "Here I am."


async def test_a_model_that_never_answers_leaves_one_spoken_apology_and_the_call_goes_on(
    simcall: Any,
) -> None:
    broken = [ProviderError("overloaded")] * 3
    async with simcall(replies=[*broken, "Now I can."]) as call:
        await call.caller_says("Hello?")
        await call.agent_says(SORRY)
        await call.quiet(500)
        await call.caller_says("Once more?")
        await call.agent_says("Now I can.")

    assert call.heard == f"{SORRY} Now I can."
    assert call.summary.outcome is CallStatus.COMPLETED


async def test_the_apology_is_configurable(simcall: Any) -> None:
    async with simcall(replies=[ProviderAuthError("no key")], llm_error_message="Oh dear.") as call:
        await call.caller_says("Hello?")
        await call.agent_says("Oh dear.")

    assert len(call.scene.model.requests) == 1


@pytest.mark.parametrize("error", [ProviderDisconnected("gone"), ValueError("a defect of the plugin")])
async def test_a_model_that_fails_in_mid_sentence(simcall: Any, error: Exception) -> None:
    """What was said stays said and nothing of it is said twice; the caller hears that something is wrong."""
    reply = Reply(
        "From nine to five. On Saturdays from ten to four.",
        error=error,
        tokens_before_error=6,
        token_delay_s=0.05,
    )
    async with simcall(replies=[reply, "As I said."]) as call:
        await call.caller_says("When are you open?")
        await call.agent_says("From nine to five.")
        await call.quiet(2000)
        await call.caller_says("And on Saturdays?")
        await call.agent_says("As I said.")

    assert call.heard.count("From nine to five.") == 1
    assert call.failures[0].kind == "llm"
    assert call.summary.outcome is CallStatus.COMPLETED


async def test_a_model_that_is_connected_but_silent_has_fifteen_seconds(simcall: Any) -> None:
    async with simcall(replies=[Reply(delay_s=1e6), "Sorry for the wait."]) as call:
        await call.caller_says("Hello?")
        await call.agent_says("Sorry for the wait.", within_s=40)
        caller, agent = call.timeline

    assert agent.start - caller.end == pytest.approx(15.4, abs=0.1)
    assert type(call.failures[0].error).__name__ == "ProviderTimeout"


async def test_a_model_that_wants_tools_without_end_is_stopped(simcall: Any) -> None:
    def again(messages: Any) -> Reply:
        return Reply(tools=[CallTool("no_such_tool", id=f"call_{len(messages)}")])

    async with simcall(replies=[again] * 12) as call:
        await call.caller_says("Hello?")
        await call.agent_says("I could not finish that.")

    assert len(call.scene.model.requests) == 10


@pytest.mark.parametrize("chunk_bytes", [1, 3, 333, 100_001])
async def test_a_voice_with_odd_chunks_is_heard_whole(simcall: Any, chunk_bytes: int) -> None:
    text = "Odd bytes, all of them."
    async with simcall(
        tts=f"fake?encoding=pcm16&rate=8000&chunk_bytes={chunk_bytes}", first_message=text
    ) as call:
        await call.agent_says(text)

    assert call.heard == text


async def test_a_voice_that_ends_in_half_a_sample_spoils_nothing_after_it(simcall: Any) -> None:
    async with simcall(tts="fake?encoding=pcm16&rate=16000&chunk_bytes=161", replies=["Next."]) as call:
        call.scene.voice.faults.append(VoiceFault(error=ProviderError("cut"), after_ms=300))
        await call.caller_says("Speak to me")
        await call.quiet(1000)
        await call.caller_says("Again")
        await call.agent_says("You said: Again"[:-1])

    assert [one.kind for one in call.failures] == ["tts"]


async def test_a_voice_that_fails_before_it_was_heard_is_made_anew(simcall: Any) -> None:
    call = simcall(first_message="Hello, this is Acme.")
    call.scene.voice.faults.append(VoiceFault(error=ProviderDisconnected("gone")))
    async with call:
        await call.agent_says("Hello, this is Acme.")

    assert call.scene.voice.made == 2
    assert call.heard == "Hello, this is Acme."


async def test_a_voice_that_fails_in_the_middle_is_not_heard_twice(simcall: Any) -> None:
    call = simcall(replies=["Hello, this is Acme. How can I help?"])
    call.scene.voice.faults.append(VoiceFault(error=ProviderDisconnected("gone"), after_ms=600))
    async with call:
        await call.caller_says("Hello?")
        await call.agent_says("How can I help?")

    assert call.heard == "Hello, thi How can I help?"
    # history claims no word that was never made
    said = [entry.text for entry in call.transcript if entry.role == "assistant"]
    assert said == ["Hello, How can I help?"]


async def test_a_voice_that_cannot_be_healed_ends_the_call(simcall: Any) -> None:
    call = simcall(first_message="Hello.")
    call.scene.voice.faults.extend([VoiceFault(error=ProviderError("down"))] * 3)
    async with call:
        summary = await call.ended()

    assert summary.outcome is CallStatus.FAILED
    assert "tts fake failed" in summary.reason
    assert call.heard == ""


@pytest.mark.parametrize(
    ("decision", "kinds"),
    [(Hangup("no voice"), ["tts"]), (Switch("tts", "fake?rate=16000&encoding=pcm16"), ["tts"])],
)
async def test_a_hook_decides_about_a_failed_voice(
    simcall: Any, phone: Any, decision: object, kinds: list[str]
) -> None:
    plugin = phone.register(Decide(decision))
    call = simcall(first_message="Hello, this is Acme.")
    call.scene.voice.faults.append(VoiceFault(error=ProviderError("down")))
    async with call:
        if isinstance(decision, Hangup):
            assert (await call.ended()).reason == "no voice"
        else:
            await call.agent_says("Hello, this is Acme"[:-1])

    assert [kind for kind, _, _ in plugin.asked] == kinds


@pytest.mark.behaviour("SP-23")
@pytest.mark.parametrize("stt", ["fake", "fake-endpointing"])
async def test_an_stt_that_is_up_but_silent_is_asked_reconnected_and_reported(
    simcall: Any, phone: Any, stt: str
) -> None:
    """3 s after a speech end a final is asked for, 3 s later it is reconnected, 3 s later a hook decides.

    Where the VAD ends the turns, the final was asked for at the speech end already.
    """
    plugin = phone.register(Decide(Hangup("deaf")))
    call = simcall(stt=stt)
    call.scene.recogniser.silent = True
    async with call:
        await call.caller_says("Can you hear me?")
        ended = asyncio.get_running_loop().time() + 0.4
        recogniser = call.scene.recogniser
        finalized = reconnected = None
        while call.summary is None:
            await asyncio.sleep(0.02)
            now = asyncio.get_running_loop().time()
            if finalized is None and recogniser.finalizes == 1:
                finalized = now - ended
            if reconnected is None and recogniser.connections == 2:
                reconnected = now - ended
        (asked,) = plugin.asked

    first = 3.0 if stt == "fake-endpointing" else 0.0
    assert finalized == pytest.approx(first, abs=0.06)
    assert reconnected == pytest.approx(first + 3.0, abs=0.1)
    assert asked[:2] == ("stt", "ProviderTimeout")
    assert asked[2] - ended == pytest.approx(first + 6.0, abs=0.1)
    assert recogniser.finalizes == 1
    assert call.summary.reason == "deaf"


@pytest.mark.behaviour("SP-23")
@pytest.mark.parametrize("decision", [Retry(), Switch("tts", "fake?chunk_bytes=99"), Hangup("dumb")])
async def test_a_voice_that_is_up_but_silent_is_closed_after_five_seconds(
    simcall: Any, phone: Any, decision: object
) -> None:
    plugin = phone.register(Decide(decision))
    call = simcall(first_message="Hello, this is Acme.")
    call.scene.voice.faults.append(VoiceFault(delay_s=1e6))
    async with call:
        await asyncio.sleep(4.9)
        assert call.scene.voice.open_streams == 1
        assert plugin.asked == []
        await asyncio.sleep(0.2)
        ((kind, error, at),) = plugin.asked
        assert (kind, error) == ("tts", "ProviderTimeout")
        assert at - call.started_at == pytest.approx(5.0, abs=0.1)
        if isinstance(decision, Hangup):
            assert (await call.ended()).reason == "dumb"
        else:
            await call.agent_says("Hello, this is Acme.")
    assert call.scene.voice.open_streams == 0


async def test_an_stt_that_loses_its_connection_is_connected_again_and_understands(simcall: Any) -> None:
    async with simcall() as call:
        await call.caller_says("First")
        await call.agent_says("You said: First")
        call.scene.recogniser.fail(ProviderDisconnected("gone"))
        await call.quiet(200)
        await call.caller_says("Second")
        await call.agent_says("You said: Second")

    assert call.scene.recogniser.connections == 2
    assert [one.kind for one in call.failures] == ["stt"]


async def test_a_key_that_does_not_hold_is_not_tried_again(simcall: Any) -> None:
    async with simcall(first_message=LONG) as call:
        await call.agent_says("Our opening")
        call.scene.recogniser.fail(ProviderAuthError("the key was refused"))
        summary = await call.ended()

    assert summary.outcome is CallStatus.FAILED
    assert summary.reason == "stt fake failed"
    assert call.scene.recogniser.connections == 1


async def test_malformed_media_is_dropped_and_the_call_goes_on(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        "",
        "no json",
        "[]",
        '"text"',
        "{}",
        '{"type": []}',
        '{"type": "video"}',
        '{"type": "media"}',
        '{"type": "media", "audio": "%%%"}',
        '{"type": "mark"}',
        '{"type": "dtmf", "digit": "E"}',
        "[" * 100_000,
    ]
    async with simcall() as call:
        for text in bad:
            call.line.send_raw(text)
        await call.caller_says("Still there?")
        await call.agent_says("You said: Still there?")

    dropped = [one for one in caplog.messages if "dropped a media message" in one]
    assert 1 <= len(dropped) <= len(bad)
