"""Inbound calls over real sockets: one after the other, many at once, interrupted, and with tools."""

from __future__ import annotations

import asyncio

import pytest

from patter import hookimpl
from patter.providers.carrier import CallStatus


def test_two_calls_in_sequence_are_each_greeted_heard_and_answered(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            for number in (1, 2):
                call = await served.ring_and_greet()
                await served.talk(call, f"first of call {number}", f"second of call {number}")
                call.hangup()
                await served.ended(call, total=number)
                assert served.heard(call) == (
                    f"Hello. You said first of call {number}. You said second of call {number}. "
                )
                assert (call.warnings, call.clears) == ([], [])
                summary = served.summaries[-1]
                assert (summary.connected, summary.outcome) == (True, CallStatus.COMPLETED)
                assert [(entry.role, entry.text) for entry in summary.transcript] == [
                    ("assistant", "Hello."),
                    ("user", f"first of call {number}"),
                    ("assistant", f"You said first of call {number}."),
                    ("user", f"second of call {number}"),
                    ("assistant", f"You said second of call {number}."),
                ]

    asyncio.run(scenario())


def test_ten_calls_at_once_each_hear_their_own_greeting_and_answers_and_nothing_else(carrier):
    async def scenario():
        agent = carrier.agent(first_message="Hello {CallerName}.")
        async with carrier.loopback(agent) as served:

            async def caller(number):
                call = await served.ring(fields={"CallerName": f"Ann {number}"})
                await served.hears(call, f"Hello Ann {number}.")
                await served.listening(call)
                await served.talk(call, f"I am caller {number}", f"and number {number} again")
                line = served.line(call)
                call.hangup()
                await call.wait_closed()
                return call, await line.done

            ended = await asyncio.gather(*(caller(number) for number in range(10)))
            await served.ended(total=10)
            for number, (call, summary) in enumerate(ended):
                assert served.heard(call) == (
                    f"Hello Ann {number}. You said I am caller {number}. You said and number {number} again. "
                )
                assert [entry.text for entry in summary.transcript if entry.role == "user"] == [
                    f"I am caller {number}",
                    f"and number {number} again",
                ]
                assert (summary.lost_frames, summary.metrics["dropped_audio_ms"]) == (0, 0.0)

    asyncio.run(scenario())


def test_an_interruption_clears_at_the_carrier_and_stops_that_call_alone(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            calls = [await served.ring(), await served.ring()]
            for call in calls:
                await served.greeted(call)
                await call.say(carrier.written("tell me a story"))
                await served.hears(call, "part 2")
            interrupted, other = calls
            began = asyncio.get_running_loop().time()
            await interrupted.say(carrier.written("stop it now"))
            await served.hears(interrupted, "You said stop it now.")

            (cleared,) = interrupted.clears
            assert cleared - began < 0.5
            story = served.heard(interrupted).partition("You said stop")[0]
            assert "part 1 of a long story." in story
            assert "part 40" not in story
            transcript = served.line(interrupted).call.transcript
            (cut,) = [entry for entry in transcript if entry.interrupted]
            # What counts as said is what was heard, to the word.
            assert story.removeprefix("Hello. ").startswith(cut.text)
            assert len(story) - len("Hello. " + cut.text) < 60

            length = len(served.heard(other))
            await carrier.until(lambda: len(served.heard(other)) > length + 100)
            assert other.clears == []
            for call in calls:
                call.hangup()
            await served.ended(*calls, total=2)

    asyncio.run(scenario())


def test_a_strategy_confirms_an_interruption_and_a_backchannel_leaves_the_agent_speaking(carrier):
    async def scenario():
        agent = carrier.agent(barge_in_strategies="min-words?min_words=3")
        async with carrier.loopback(agent) as served:
            call = await served.ring_and_greet()
            await call.say(carrier.written("tell me a story"))
            await served.hears(call, "part 2")
            await call.say(carrier.written("uh huh"))
            length = len(served.heard(call))
            await carrier.until(lambda: len(served.heard(call)) > length + 80)
            assert call.clears == []

            await call.say(carrier.written("please stop now"))
            await served.hears(call, "stop now.")
            assert len(call.clears) == 1
            call.hangup()
            await served.ended(call, total=1)
            assert any(
                entry.backchannel and entry.text == "uh huh" for entry in served.summaries[0].transcript
            )
            assert served.summaries[0].metrics["interruptions"] == 1

    asyncio.run(scenario())


def test_the_end_call_tool_is_obeyed_once_its_goodbye_was_heard(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            await call.say(carrier.written("goodbye"))
            await served.ended(call, total=1)
            assert served.heard(call) == "Hello. You said goodbye. "
            assert call.stream.close_code in (None, 1000)
            (summary,) = served.summaries
            assert (summary.outcome, summary.reason) == (CallStatus.COMPLETED, "the caller said goodbye")
            posts = [request.form for request in served.simulator.requests]
            assert posts == [(("Status", "completed"),)]

    asyncio.run(scenario())


def test_a_transfer_hands_the_caller_over_and_leaves_him_connected(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            await call.say(carrier.written("transfer me to +15550003333"))
            await carrier.until(lambda: call.dialled == ["+15550003333"])
            await carrier.until(lambda: len(served.summaries) == 1)
            await served.settled()
            (summary,) = served.summaries
            assert (summary.outcome, summary.reason) == (CallStatus.COMPLETED, "transferred")
            # The call goes on at the carrier: it was not hung up there.
            assert (call.status, len(served.simulator.requests)) == ("in-progress", 1)
            call.hangup()
            await call.wait_closed()

    asyncio.run(scenario())


def test_keys_reach_the_plugins_of_that_call_in_order(carrier):
    class Keys:
        def __init__(self):
            self.pressed = {}

        @hookimpl
        async def patter_dtmf(self, call, digit):
            self.pressed.setdefault(call.carrier_call_id, []).append(digit)

    async def scenario():
        keys = Keys()
        async with carrier.loopback(plugins=[keys]) as served:
            calls = [await served.ring(), await served.ring()]
            for key in "15#":
                calls[0].dtmf(key)
            calls[1].dtmf("7")
            await carrier.until(lambda: sum(map(len, keys.pressed.values())) == 4)
            assert keys.pressed == {calls[0].sid: ["1", "5", "#"], calls[1].sid: ["7"]}
            for call in calls:
                call.hangup()
            await served.ended(*calls, total=2)

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-04")
def test_caller_and_callee_reach_the_call(carrier):
    offered = []

    class Look:
        @hookimpl
        def patter_incoming_call(self, call):
            offered.append((call.caller, call.callee, call.direction, call.telephony_provider))

    async def scenario():
        async with carrier.loopback(plugins=[Look()]) as served:
            call = await served.ring("+15550007777")
            assert offered == [("+15550007777", carrier.number, "inbound", "twilio")]
            assert len(call.streams) == 1
            assert (served.line(call).call.caller, served.line(call).call.callee) == offered[0][:2]
            call.hangup()
            await served.ended(call, total=1)

    asyncio.run(scenario())
