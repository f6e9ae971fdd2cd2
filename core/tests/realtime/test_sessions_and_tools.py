"""The session of an engine, parked or live, and the tools that it calls, in whole calls and virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from realtime_calls import GREETING, Told, agent

from patter import Agent, tool
from patter.providers.carrier import CallOffer, CallStatus, StatusReport
from patter.testing.engine_script import EngineReply
from patter.testing.scene import CallTool, Reply

ran: list[str] = []


@tool
async def opening_hours(day: str) -> str:
    """Opening hours for a weekday."""
    ran.append(day)
    await asyncio.sleep(0.2)
    return f"{day}: nine to five"


@tool(reassurance="One moment")
async def slow_hours(seconds: float) -> str:
    """Opening hours, slowly."""
    await asyncio.sleep(seconds)
    return "nine to five"


@tool(reassurance={"message": "Still looking", "after_ms": 500})
async def early_word(seconds: float) -> str:
    """Opening hours, with an early word."""
    await asyncio.sleep(seconds)
    return "nine to five"


# -- the session


@pytest.mark.behaviour("PW-10")
@pytest.mark.parametrize("tools", [(), (opening_hours,)])
async def test_the_parked_session_asks_for_what_the_live_one_asks_for(simcall: Any, tools: Any) -> None:
    options = {"tools": tools, "system_prompt": "Be {mood}.", "variables": {"mood": "kind"}}
    sessions = []
    for prewarm in (True, False):
        async with simcall(agent(prewarm=prewarm, **options), ring_s=1.0) as call:
            await call.agent_says(GREETING)
        script = call.scene.engine
        assert (len(script.parked), script.connections, len(script.sessions)) == (int(prewarm), 1, 1)
        sessions += [*script.parked, *script.sessions]
    assert sessions[0] == sessions[1] == sessions[2]
    assert [one.name for one in sessions[0].tools] == [
        *(one.name for one in tools),
        "transfer_call",
        "end_call",
    ]
    assert sessions[0].instructions.endswith("Be kind.")
    assert sessions[0].language is None, "nobody has set one"
    async with simcall(agent(language="it")) as call:
        await call.agent_says(GREETING)
    assert call.scene.engine.sessions[0].language == "it"


@pytest.mark.behaviour("PW-11")
async def test_an_engine_that_does_not_adopt_its_session_is_replaced_by_one_that_connects(
    simcall: Any, phone: Any
) -> None:
    call = simcall(agent(), ring_s=1.0)
    script = call.scene.engine
    script.adoption_fails = True
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        await call.agent_says("You said: Hello?")
        tasks = [one.get_name() for one in asyncio.all_tasks() if one.get_name().endswith(" engine")]
        assert len(tasks) == 1
        assert call.heard.count(GREETING) == 1
    assert (script.made, len(script.parked), script.parked_closed, len(script.sessions)) == (2, 1, 1, 1)
    assert [name for name in script.names() if name != "audio"] == ["guard", "response", "restore"]
    assert len(phone.warming) == 0


@pytest.mark.behaviour("PW-05")
async def test_the_engine_is_parked_under_its_own_name_and_taken_once(simcall: Any, phone: Any) -> None:
    taken: list[tuple[str, bool]] = []
    take = phone.warming.take

    async def noting(call_id: str, slot: str) -> Any:
        handle = await take(call_id, slot)
        taken.append((slot, handle is not None))
        return handle

    phone.warming.take = noting
    async with simcall(agent(), ring_s=1.0) as call:
        await call.agent_says(GREETING)
        assert taken == [("fake", True)]
        assert await take(call.call.id, "fake") is None, "the second take is a miss"
        assert not phone.warming.keeps(call.call.id, "realtime")
    async with simcall(agent(engine="fake-greeter"), ring_s=1.0) as call:
        await call.agent_says(GREETING)
    assert taken[1:] == [("fake_greeter", True)]


async def test_a_parked_session_that_nobody_takes_is_closed(simcall: Any, phone: Any) -> None:
    await phone.start(agent(), port=0)
    carrier = phone.switchboard.trunks["fake"].carrier
    await carrier.host.incoming_call(CallOffer("one", "+15550001111", "+15550001234"))
    await asyncio.sleep(1.0)
    assert len(phone.warming) > 0
    carrier.host.call_status(StatusReport("one", CallStatus.CANCELED))
    await asyncio.sleep(1.0)
    assert len(phone.warming) == 0


@pytest.mark.behaviour("PW-15")
async def test_a_voice_beside_an_engine_makes_no_greeting_beforehand(simcall: Any) -> None:
    async with simcall(agent(tts="fake", prewarm_first_message=True), ring_s=2.0) as call:
        assert call.scene.voice.spoken == []
        await call.agent_says(GREETING)
        assert call.scene.voice.spoken == [GREETING], "the engine's"


# -- tools


async def test_all_results_of_a_response_are_sent_before_one_further_response_is_asked_for(
    simcall: Any, told: Told
) -> None:
    call = simcall(agent(tools=(opening_hours,)))
    script = call.scene.engine
    calls = (CallTool("opening_hours", {"day": "Monday"}), CallTool("opening_hours", {"day": "Friday"}))
    script.replies.extend([EngineReply("Let me see.", tools=calls), EngineReply("Nine to five.")])
    async with call:
        await call.agent_says(GREETING)
        await call.caller_says("When are you open?")
        await call.agent_says("Let me see.")
        await call.agent_says("Nine to five.")
        await call.quiet(100)
    orders = [(name, what) for name, what in script.orders if name != "audio"][3:]
    assert orders == [
        ("result", ("call_2_0", "Monday: nine to five")),
        ("result", ("call_2_1", "Friday: nine to five")),
        ("response", ""),
    ]
    assert script.problems == []
    assert [one.name for one in told["tool_call_started"]] == ["opening_hours"] * 2
    assert call.transcript[-1].text == "Let me see. Nine to five.", "one turn of the agent"
    assert [one.role for one in call.summary.history][-4:] == ["assistant", "tool", "tool", "assistant"]


@pytest.mark.behaviour("RT-21")
@pytest.mark.parametrize(
    ("name", "seconds", "said"),
    [
        ("slow_hours", 1.4, []),
        ("slow_hours", 1.6, ["One moment"]),
        ("slow_hours", 6.0, ["One moment"]),
        ("early_word", 0.4, []),
        ("early_word", 0.6, ["Still looking"]),
        ("opening", 3.0, []),
    ],
)
async def test_a_tool_that_keeps_the_caller_waiting_is_spoken_of_once(
    simcall: Any, name: str, seconds: float, said: list[str]
) -> None:
    @tool
    async def opening(seconds: float) -> str:
        """Say nothing meanwhile."""
        await asyncio.sleep(seconds)
        return "nine to five"

    call = simcall(agent(tools=(slow_hours, early_word, opening)))
    script = call.scene.engine
    script.replies.extend(
        [
            EngineReply("", silent=True, tools=[CallTool(name, {"seconds": seconds})]),
            EngineReply("Nine to five."),
        ]
    )
    async with call:
        await call.agent_says(GREETING)
        await call.caller_says("When are you open?")
        await call.agent_says("Nine to five.")
        await call.quiet(100)
    asked = [what for order, what in script.orders if order == "response"][1:]
    assert asked == [*said, ""]
    assert all(call.heard.count(one) == 1 for one in said)
    assert [event.detail for event in script.events if event.kind == "error"] == []


async def test_a_tool_whose_turn_was_given_up_tells_its_result_and_starts_nothing(simcall: Any) -> None:
    call = simcall(agent(tools=(slow_hours,)))
    script = call.scene.engine
    slow = CallTool("slow_hours", {"seconds": 3.0})
    script.replies.extend([EngineReply("I am looking that up for you now.", tools=[slow])])
    async with call:
        await call.agent_says(GREETING)
        await call.caller_says("When are you open?")
        await call.agent_says("looking")
        await call.caller_says("Never mind.")
        await call.agent_says("You said: Never mind.")
        await asyncio.sleep(3.0)
    results = [what for name, what in script.orders if name == "result"]
    assert results == [("call_2_0", "nine to five")]
    assert script.names().count("response") == 1


@pytest.mark.behaviour("CC-10")
@pytest.mark.parametrize("mode", ["pipeline", "realtime"])
async def test_the_model_transfers_and_hangs_up_within_the_limits(simcall: Any, mode: str) -> None:
    def talk(name: str, arguments: dict[str, Any], **limits: Any) -> Any:
        """A call in which the model calls one built-in tool, and then says "Done."."""
        called = CallTool(name, arguments)
        if mode == "realtime":
            call = simcall(Agent(engine="fake", **limits))
            call.scene.engine.replies.extend([EngineReply("Well.", tools=[called]), EngineReply("Done.")])
        else:
            options = {"stt": "fake", "llm": "fake", "tts": "fake", "vad": "fake", **limits}
            call = simcall(Agent(**options), replies=[Reply("Well.", tools=[called]), "Done."])
        return call

    def result(call: Any) -> str:
        return next(one.content for one in reversed(call.call.history) if one.role == "tool")

    offered = talk("end_call", {})
    async with offered as call:
        await call.caller_says("Bye.")
        summary = await call.ended()
        assert summary.outcome is CallStatus.COMPLETED
        assert "Well." in call.heard
    tools = call.scene.engine.sessions[0].tools if mode == "realtime" else call.scene.model.tools[0]
    assert [one.name for one in tools] == ["transfer_call", "end_call"]

    async with talk("end_call", {"reason": "all is said"}) as call:
        await call.caller_says("Bye.")
        assert (await call.ended()).reason == "all is said"

    for number, limits, moved in (
        ("+15550007777", {}, True),
        ("sip:desk@acme.example", {}, True),
        ("555 7777", {}, False),
        ("+15550007777", {"transfer_allowed_numbers": ()}, False),
        ("+15550007777", {"transfer_allowed_prefixes": ()}, False),
        ("+15550007777", {"transfer_allowed_numbers": ("+15550007777",)}, True),
        ("+15550007777", {"transfer_allowed_prefixes": ("+1555000",)}, True),
        ("+15550007777", {"transfer_allowed_prefixes": ("+49",)}, False),
    ):
        async with talk("transfer_call", {"number": number}, **limits) as call:
            await call.caller_says("A human, please.")
            if moved:
                assert (await call.ended()).reason == "transferred"
                assert [one[1] for one in call.carrier.transferred] == [number]
                call.carrier.transferred.clear()
            else:
                await call.agent_says("Done.")
                assert "error" in result(call)
                assert call.carrier.transferred == []
