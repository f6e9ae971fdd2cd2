"""Talking with an engine: interruptions, transcripts in order, and who decides, in whole calls and virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from realtime_calls import Told, agent

from patter import BargeInStrategy
from patter.providers.realtime import RealtimeEvent
from patter.testing.engine_script import EngineReply

LONG = "Let me tell you all about our opening hours, which are long."


def quiet_agent(**options: Any) -> Any:
    return agent(**{"first_message": "", **options})


def lines(call: Any) -> list[tuple[str, str]]:
    return [(line.role, line.text) for line in call.transcript]


def heard_ms(call: Any, text: str) -> float:
    """How much of an agent's text was heard, in ms, by the audio alone."""
    spoken = [one for one in call.timeline if one.who == "agent" and text.startswith(one.text)]
    return sum(one.end - one.start for one in spoken) * 1000


# -- interruptions


@pytest.mark.behaviour("RT-17")
async def test_speech_over_audio_that_is_heard_clears_once_and_truncates_at_the_heard_position(
    simcall: Any,
) -> None:
    call = simcall(quiet_agent())
    script = call.scene.engine
    script.replies.append(EngineReply(LONG))
    async with call:
        await call.caller_says("Tell me.")
        await call.agent_says("Let me tell you")
        ends = [one for one in script.events if one.kind == "response_done"]
        assert len(ends) == 1, "the engine has made all of it, and cancels nothing"
        await call.caller_says("Stop.")
        assert len(call.line.clears) == 1
        assert call.silent_after_ms < 100
        (item, ms), *more = [what for name, what in script.orders if name == "truncate"]
        assert (item, more) == ("item_1", [])
        assert ms == pytest.approx(heard_ms(call, LONG), abs=60)
        assert "cancel" not in script.names()
        await call.agent_says("You said: Stop.")
        await call.quiet(200)
    assert ("assistant", "Let me tell you") in [(role, text[:15]) for role, text in lines(call)]
    assert [line.interrupted for line in call.transcript if line.role == "assistant"] == [True, False]


@pytest.mark.behaviour("RT-17")
async def test_the_engine_that_cancels_by_itself_is_followed_at_once_whatever_the_gate_says(
    simcall: Any, told: Told
) -> None:
    call = simcall(quiet_agent())
    script = call.scene.engine
    script.replies.append(EngineReply(LONG, piece_s=0.1))
    async with call:
        await call.caller_says("Tell me.")
        while not told["agent_speech_started"]:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)  # the gate opens 250 ms after the first audio
        script.engine.cancel("turn_detected")
        await asyncio.sleep(0.1)
        assert len(call.line.clears) == 1
        assert [one.outcome for one in told["interruption"]] == ["confirmed"]
        before = call.line.media_messages
        script.engine.report(RealtimeEvent("audio", audio=b"\x10" * 800, response_id="resp_1"))
        await asyncio.sleep(0.3)
        assert call.line.media_messages == before, "what comes late of it is dropped"
        assert script.names().count("truncate") == 1
        assert "cancel" not in script.names()


@pytest.mark.behaviour("RT-17")
async def test_what_nobody_has_heard_is_deleted(simcall: Any) -> None:
    call = simcall(quiet_agent())
    script = call.scene.engine
    script.replies.append(EngineReply(LONG))
    async with call:
        call.call.on("agent_speech_started", lambda turn: call.call.interrupt())
        await call.caller_says("Tell me.")
        await asyncio.sleep(1.0)
        assert [what for name, what in script.orders if name == "truncate"] == [("item_1", 0)]


@pytest.mark.behaviour("RT-17")
async def test_the_gate_binds_what_patter_decides(simcall: Any, told: Told) -> None:
    call = simcall(quiet_agent())
    script = call.scene.engine
    script.replies.append(EngineReply(LONG, piece_s=0.001))
    async with call:
        await call.caller_says("Tell me.")
        while not told["agent_speech_started"]:
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert any(one.kind == "response_done" for one in script.events)
        for kind in ("speech_started", "speech_stopped"):
            script.engine.report(RealtimeEvent(kind, item_id="cough"))
            await asyncio.sleep(0.05)
        await call.agent_says(LONG)
        assert call.line.clears == []


# -- transcripts


@pytest.mark.behaviour("RT-16")
@pytest.mark.parametrize("late_s", [0.0, 0.3, 1.0, 3.0])
async def test_the_callers_line_stands_before_the_answer_whenever_its_text_comes(
    simcall: Any, late_s: float
) -> None:
    call = simcall(quiet_agent())
    call.scene.engine.transcript_s = late_s
    async with call:
        await call.caller_says("Hi.")
        await call.agent_says("You said: Hi.")
        ended = call._now()
        while len(call.transcript) < 2:
            assert call._now() - ended < 3.0
            roles = [line.role for line in call.transcript]
            assert roles in ([], ["user"]), "the answer is not written before the question"
            await asyncio.sleep(0.05)
        assert lines(call) == [("user", "Hi."), ("assistant", "You said: Hi.")]
        assert [one.role for one in call.call.history] == ["user", "assistant"]


@pytest.mark.behaviour("RT-16")
async def test_an_answer_waits_three_seconds_for_a_text_that_does_not_come(simcall: Any) -> None:
    call = simcall(quiet_agent())
    call.scene.engine.transcript_s = None
    async with call:
        await call.caller_says("Hi.")
        await call.agent_says("You said: Hi.")
        await call.quiet(100)
        assert lines(call) == []
        await asyncio.sleep(2.7)
        assert lines(call) == []
        await asyncio.sleep(0.3)
        assert lines(call) == [("assistant", "You said: Hi.")]
        script = call.scene.engine
        script.engine.report(RealtimeEvent("transcript_input", text="Hi.", item_id="user_1", final=True))
        await asyncio.sleep(0.05)
        assert lines(call) == [("user", "Hi."), ("assistant", "You said: Hi.")], "late, in its place"


@pytest.mark.behaviour("RT-16")
@pytest.mark.parametrize("decides", [False, True])
async def test_texts_are_matched_by_their_items_and_not_by_their_order(simcall: Any, decides: bool) -> None:
    options = {"barge_in_mode": "confirm"} if decides else {}
    call = simcall(quiet_agent(**options))
    script = call.scene.engine
    script.transcript_delays.extend([1.6, 0.1])
    script.reply_s = 1.0
    script.replies.extend([EngineReply("Very well."), EngineReply("Very well.")])
    async with call:
        await call.caller_says("One, two.")
        await asyncio.sleep(0.4)
        await call.caller_says("And three.")
        await call.agent_says("Very well.")
        await asyncio.sleep(3.0)
    said = [text for role, text in lines(call) if role == "user"]
    assert " ".join(said) == "One, two. And three."
    assert lines(call)[0] == ("user", said[0])


# -- who decides


class StopWord(BargeInStrategy):
    """Interrupts at "stop" alone."""

    def evaluate(self, event: Any) -> bool:
        return "stop" in event.transcript.lower()


@pytest.mark.behaviour("RT-24")
@pytest.mark.parametrize(
    ("options", "decides"),
    [
        ({}, False),
        ({"barge_in_mode": "cancel"}, False),
        ({"barge_in_mode": "confirm"}, True),
        ({"barge_in_mode": "pause"}, True),
        ({"barge_in_strategies": [StopWord()]}, True),
        ({"barge_in_strategies": [StopWord()], "barge_in_mode": "cancel"}, True),
    ],
)
async def test_only_mode_cancel_without_strategies_leaves_it_to_the_engine(
    simcall: Any, options: dict[str, Any], decides: bool
) -> None:
    async with simcall(agent(**options)) as call:
        await call.agent_says("How can I help?")
        await call.caller_says("What time is it?")
        await call.agent_says("You said: What time is it?")
        await call.caller_says("And now?")
        await call.agent_says("You said: And now?")
    script = call.scene.engine
    assert script.sessions[0].patter_decides is decides
    restored = [one.echo.guarded for one in script.events if one.kind == "session_ready"][-1]
    assert restored is decides, "it has no more powers after the greeting than it may have"
    asked = [what for name, what in script.orders if name == "response"]
    assert len(asked) == (3 if decides else 1)
    assert script.problems == []


@pytest.mark.behaviour("RT-24")
async def test_strategies_judge_speech_over_an_engine_as_over_a_pipeline(simcall: Any, told: Told) -> None:
    call = simcall(quiet_agent(barge_in_strategies=[StopWord()]))
    script = call.scene.engine
    script.replies.extend([EngineReply(LONG * 2, piece_s=0.1), EngineReply("Stopped.")])
    async with call:
        await call.caller_says("Tell me.")
        await call.agent_says("Let me tell you")
        await call.caller_says("I see.")
        await call.agent_says("opening hours")
        assert call.line.clears == []
        assert script.names().count("response") == 1
        await call.caller_says("Stop now.")
        await call.agent_says("Stopped.")
        assert len(call.line.clears) == 1
        await call.quiet(500)
    confirmed = [one for one in told["interruption"] if one.outcome == "confirmed"]
    assert len(confirmed) == 1
    names = [name for name in script.names() if name != "audio"]
    assert names == ["response", "cancel", "truncate", "response"]
    assert script.problems == []


async def test_a_turn_whose_text_never_comes_is_answered_all_the_same(simcall: Any) -> None:
    call = simcall(quiet_agent(barge_in_mode="confirm"))
    call.scene.engine.transcript_s = None
    async with call:
        await call.caller_says("Can you hear me?")
        await call.agent_says("You said: Can you hear me?")
    assert call.scene.engine.names().count("response") == 1


async def test_the_application_commits_turns_where_it_asked_to(simcall: Any) -> None:
    async with simcall(quiet_agent(turn_end="manual")) as call:
        await call.caller_says("One.")
        await call.caller_says("Two.")
        await asyncio.sleep(1.0)
        assert "response" not in call.scene.engine.names()
        call.call.commit_turn()
        await call.agent_says("You said: One. Two.")
    assert [text for role, text in lines(call) if role == "user"] == ["One. Two."]


# -- the application


async def test_the_application_has_a_text_said_and_stops_the_agent(simcall: Any) -> None:
    call = simcall(quiet_agent())
    script = call.scene.engine
    script.replies.append(EngineReply(LONG, piece_s=0.1))
    async with call:
        await call.caller_says("Tell me.")
        await call.agent_says("Let me tell")
        call.call.say("One moment, please.")
        await call.agent_says("One moment, please.")
        assert [name for name in script.names() if name != "audio"] == ["cancel", "truncate", "response"]
        await call.caller_says("Go on.")
        await call.agent_says("You said")
        call.call.interrupt()
        await call.quiet(500)
    assert script.problems == []


async def test_usage_is_told_for_each_response_also_of_one_that_was_cancelled(
    simcall: Any, told: Told
) -> None:
    call = simcall(quiet_agent())
    call.scene.engine.replies.append(EngineReply(LONG, piece_s=0.1))
    async with call:
        await call.caller_says("Tell me.")
        await call.agent_says("Let me")
        await call.caller_says("Stop.")
        await call.agent_says("You said: Stop.")
    assert [one.output_audio for one in told["realtime_usage"]] == [20, 20]


async def test_a_session_lost_in_mid_call_is_made_anew_with_what_was_said(simcall: Any) -> None:
    async with simcall(quiet_agent()) as call:
        await call.caller_says("My name is Ann.")
        await call.agent_says("You said: My name is Ann.")
        await call.quiet(300)
        call.scene.engine.engine.drop()
        await asyncio.sleep(0.2)
        await call.caller_says("Who am I?")
        await call.agent_says("You said: Who am I?")
    history = call.scene.engine.sessions[1].history
    assert [(one.role, one.content) for one in history] == [
        ("user", "My name is Ann."),
        ("assistant", "You said: My name is Ann."),
    ]


@pytest.mark.parametrize("decides", [False, True])
async def test_words_that_a_lost_session_did_not_answer_are_answered_by_the_next_one_once(
    simcall: Any, decides: bool
) -> None:
    call = simcall(quiet_agent(**({"barge_in_mode": "confirm"} if decides else {})))
    script = call.scene.engine
    script.transcript_s, script.reply_s = 0.05, 2.0
    script.replies.append(EngineReply("You said: Are you there?", delay_s=2.0))
    async with call:
        await call.caller_says("Are you there?")
        await asyncio.sleep(0.6)
        script.replies.clear()
        script.engine.drop()
        await call.agent_says("You said: Are you there?")
        await asyncio.sleep(3.0)
        assert call.heard == "You said: Are you there?"
    assert [(one.role, one.content) for one in script.sessions[1].history] == [("user", "Are you there?")]
    assert lines(call) == [("user", "Are you there?"), ("assistant", "You said: Are you there?")]


async def test_an_engine_that_takes_no_audio_is_replaced_and_nothing_is_lost(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with simcall(quiet_agent()) as call:
        await call.caller_says("One.")
        await call.agent_says("You said: One.")
        await call.quiet(300)
        call.scene.engine.engine._open = False
        await call.caller_says("Two.")
        await call.agent_says("You said: Two.")
    assert call.scene.engine.connections == 2
    assert len([one for one in caplog.messages if "did not take audio" in one]) == 1


async def test_the_application_may_speak_over_the_greeting(simcall: Any, told: Told) -> None:
    async with simcall(agent()) as call:
        await call.agent_says("Hello, Acme")
        call.call.say("All lines are busy.")
        await call.agent_says("All lines are busy.")
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert [one.reason for one in told["greeting_failed"]] == ["stopped"]
    orders = [name for name in call.scene.engine.names() if name not in ("audio", "truncate")]
    assert orders == ["guard", "response", "restore", "response"]


async def test_an_engine_that_cannot_be_had_any_more_ends_the_call(simcall: Any) -> None:
    from patter.errors import ProviderDisconnected

    call = simcall(quiet_agent(prewarm=False))
    call.scene.engine.connect_faults.extend([ProviderDisconnected("refused")] * 9)
    async with call:
        summary = await call.ended()
    assert (summary.outcome.value, summary.reason) == ("failed", "the engine fake failed") or (
        summary.reason == "realtime fake failed"
    )
    assert call.scene.engine.connections == 6
