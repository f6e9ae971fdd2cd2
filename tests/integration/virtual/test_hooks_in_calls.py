"""Hooks in whole calls: what they see, what they change, and what happens when they fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import Accept, Agent, Reject, hookimpl
from patter.plugins import HookFailure
from patter.providers.carrier import CallStatus


class Recorder:
    """Notes every hook of a call."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @hookimpl
    async def patter_incoming_call(self, call: Any) -> None:
        self.names.append("incoming_call")

    @hookimpl
    def patter_call_setup(self, call: Any) -> None:
        self.names.append("call_setup")

    @hookimpl
    async def patter_call_started(self, call: Any) -> None:
        self.names.append("call_started")

    @hookimpl
    async def patter_modify_user_turn(self, call: Any, turn: Any) -> None:
        self.names.append(f"user_turn {turn.text}")

    @hookimpl
    async def patter_modify_request(self, call: Any, request: Any) -> None:
        self.names.append(f"request {len(request.messages)}")

    @hookimpl
    async def patter_modify_speech(self, call: Any, sentence: Any) -> None:
        self.names.append(f"speech {sentence.text}")

    @hookimpl
    async def patter_turn_ended(self, call: Any, turn: Any) -> None:
        self.names.append(f"turn_ended {turn.text}")

    @hookimpl
    async def patter_dtmf(self, call: Any, digit: str) -> None:
        self.names.append(f"dtmf {digit}")

    @hookimpl
    async def patter_call_ended(self, call: Any, summary: Any) -> None:
        self.names.append(f"call_ended {summary.outcome.value}")


async def test_every_moment_of_a_call_reaches_its_hook_once_and_in_order(simcall: Any, phone: Any) -> None:
    recorder = phone.register(Recorder())
    async with simcall(first_message="Hello.", replies=["Fine."]) as call:
        await call.agent_says("Hello.")
        await call.quiet(100)
        await call.caller_says("How are you?")
        await call.agent_says("Fine.")
        await call.quiet(200)
        await call.dtmf("1#")

    assert [name for name in recorder.names if name != "call_started"] == [
        "incoming_call",
        "call_setup",
        "speech Hello.",
        "turn_ended Hello.",
        "user_turn How are you?",
        "request 3",
        "speech Fine.",
        "turn_ended Fine.",
        "dtmf 1",
        "dtmf #",
        "call_ended completed",
    ]
    assert recorder.names.count("call_started") == 1


async def test_modifying_hooks_change_what_is_asked_and_what_is_heard(simcall: Any, phone: Any) -> None:
    class Modify:
        @hookimpl
        async def patter_modify_user_turn(self, call: Any, turn: Any) -> None:
            turn.text = turn.text.replace("pizza", "salad")

        @hookimpl
        async def patter_modify_request(self, call: Any, request: Any) -> None:
            request.tools.clear()

        @hookimpl
        def patter_modify_speech(self, call: Any, sentence: Any) -> None:
            sentence.text = sentence.text.replace("salad", "SALAD")

    phone.register(Modify())
    async with simcall() as call:
        await call.caller_says("a pizza")
        await call.agent_says("You said: a SALAD")

    assert call.scene.model.tools == [[]]
    assert [entry.text for entry in call.transcript] == ["a salad", "You said: a SALAD"]


async def test_an_empty_text_skips_the_turn(simcall: Any) -> None:
    class Skip:
        @hookimpl
        def patter_modify_user_turn(self, call: Any, turn: Any) -> None:
            if "secret" in turn.text:
                turn.text = ""

    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake")
    agent.register(Skip())
    async with simcall(agent) as call:
        await call.caller_says("a secret")
        await call.quiet(1500)
        assert call.scene.model.requests == []
        await call.caller_says("no more")
        await call.agent_says("You said: no more")


async def test_hooks_of_phone_agent_and_call_act_from_the_inside_out(simcall: Any, phone: Any) -> None:
    class Append:
        def __init__(self, word: str) -> None:
            self.word = word

        @hookimpl
        def patter_modify_speech(self, call: Any, sentence: Any) -> None:
            sentence.text += f" {self.word}"

    class Setup:
        @hookimpl
        def patter_call_setup(self, call: Any) -> None:
            call.register(Append("call"))

    agent = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="Hello.")
    agent.register(Append("agent"))
    phone.register(Append("phone"))
    phone.register(Setup())
    async with simcall(agent) as call:
        await call.agent_says("Hello. call agent phone")
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello. call phone")


async def test_a_hook_that_raises_is_reported_muted_after_three_and_the_call_goes_on(
    simcall: Any, phone: Any
) -> None:
    class Broken:
        calls = 0

        @hookimpl
        async def patter_modify_speech(self, call: Any, sentence: Any) -> None:
            self.calls += 1
            raise LookupError("no such word")

    broken = phone.register(Broken())
    failures: list[HookFailure] = []
    phone.on_hook_failure = failures.append
    five = " ".join(f"This is the number {number} of five." for number in range(1, 6))
    async with simcall(replies=[five]) as call:
        await call.caller_says("Count")
        await call.agent_says(five)
    assert len(call.scene.voice.spoken) >= 4
    assert broken.calls == 3

    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
    assert broken.calls == 4
    assert [type(failure.error) for failure in failures] == [LookupError] * 4


async def test_a_hook_that_hangs_is_cut_off_at_its_budget(simcall: Any, phone: Any) -> None:
    class Hanging:
        @hookimpl
        async def patter_modify_user_turn(self, call: Any, turn: Any) -> None:
            await asyncio.sleep(1e6)

        @hookimpl
        async def patter_call_ended(self, call: Any, summary: Any) -> None:
            await asyncio.sleep(1e6)

    phone.register(Hanging())
    failures: list[HookFailure] = []
    phone.on_hook_failure = failures.append
    async with simcall(replies=["Here."]) as call:
        await call.caller_says("Hello?")
        await call.agent_says("Here.")
        caller, agent = call.timeline
        before = asyncio.get_running_loop().time()

    assert agent.start - caller.end == pytest.approx(1.4, abs=0.05)
    assert asyncio.get_running_loop().time() - before <= 5.5
    assert [failure.hook for failure in failures] == ["patter_modify_user_turn", "patter_call_ended"]
    assert call.ends == 1


async def test_a_hook_that_fails_at_set_up_ends_the_call_with_an_apology(simcall: Any, phone: Any) -> None:
    class Broken:
        @hookimpl
        async def patter_call_setup(self, call: Any) -> None:
            raise LookupError("no database")

    failures: list[HookFailure] = []
    phone.on_hook_failure = failures.append
    phone.register(Broken())
    async with simcall(first_message="Hello.") as call:
        summary = await call.ended()

    assert [failure.hook for failure in failures] == ["patter_call_setup"]
    assert summary.connected  # its media was up, though nobody talked
    assert summary.outcome is CallStatus.FAILED
    assert call.carrier.spoken == [(call.carrier_call_id, phone.settings.unavailable_message)]
    assert call.heard == ""


async def test_a_hook_refuses_a_call_or_gives_it_to_another_agent(simcall: Any, phone: Any) -> None:
    other = Agent(stt="fake", llm="fake", tts="fake", vad="fake", first_message="The other one.")

    class Reception:
        @hookimpl
        async def patter_incoming_call(self, call: Any) -> object:
            if call.caller.endswith("0"):
                return Reject("unwanted", message="Not you again.")
            return Accept(other) if call.caller.endswith("1") else None

    phone.register(Reception())
    async with simcall(first_message="Hello.", caller="+15550000000") as call:
        assert call.refusal.message == "Not you again."
        assert call.ends == 1
        assert not call.summary.connected
        assert call.summary.reason == "unwanted"
    async with simcall(first_message="Hello.", caller="+15550000001") as call:
        await call.agent_says("The other one.")
    async with simcall(first_message="Hello.", caller="+15550000002") as call:
        await call.agent_says("Hello.")


async def test_events_reach_subscribers_and_a_failing_one_disturbs_nobody(simcall: Any) -> None:
    seen: list[tuple[str, Any]] = []

    def fail(data: Any) -> None:
        raise LookupError("in a subscriber")

    async def late(data: Any) -> None:
        await asyncio.sleep(0.1)
        seen.append(("late final", data))

    async with simcall(replies=["Fine."]) as call:
        for event in ("transcript_final", "turn_started", "agent_speech_started", "agent_speech_ended"):
            call.call.on(event, fail)
            call.call.on(event, lambda data, event=event: seen.append((event, data)))
        call.call.on("transcript_final", late)
        unsubscribe = call.call.on("transcript_final", lambda data: seen.append(("never", data)))
        unsubscribe()
        await call.caller_says("How are you?")
        await call.agent_says("Fine.")
        await call.quiet(200)

    assert seen == [
        ("transcript_final", "How are you?"),
        ("turn_started", 1),
        ("agent_speech_started", 1),
        ("late final", "How are you?"),
        ("agent_speech_ended", 1),
    ]
