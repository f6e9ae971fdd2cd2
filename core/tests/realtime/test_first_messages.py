"""The first message of an engine in whole calls and virtual time: an early caller never costs the greeting."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from realtime_calls import GREETING, GREETING_MS, Told, agent, utterances_heard

from patter.call.first_message_actions import GreetingReport, ProtectionReport
from patter.errors import ProviderDisconnected
from patter.testing.engine_script import EngineReply

HALF = GREETING_MS // 2 // 100 * 100


def greeted_whole(call: Any) -> None:
    """Every byte of the greeting was heard, without a clear and without a word to the engine against it."""
    assert call.line.clears == []
    assert not {"truncate", "cancel"} & set(call.scene.engine.names())
    spoken = [one for one in call.timeline if one.who == "agent" and one.text == GREETING]
    assert len(spoken) == 1
    assert round((spoken[0].end - spoken[0].start) * 1000) == GREETING_MS


@pytest.mark.behaviour("RT-06")
@pytest.mark.parametrize("prewarm", [False, True])
@pytest.mark.parametrize("after_ms", [0, 100, 250, 450])
async def test_a_callee_who_speaks_early_hears_the_whole_greeting_and_is_answered(
    simcall: Any, prewarm: bool, after_ms: int
) -> None:
    async with simcall(agent(prewarm=prewarm), ring_s=1.0 if prewarm else 0.0) as call:
        await asyncio.sleep(after_ms / 1000)
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        greeted_whole(call)
        await call.agent_says("You said: Hello?")
        assert len(call.scene.engine.parked) == int(prewarm)
        assert call.scene.engine.connections == 1
    assert [(line.role, line.text) for line in call.transcript[:3]] == [
        ("assistant", GREETING),
        ("user", "Hello?"),
        ("assistant", "You said: Hello?"),
    ]


@pytest.mark.behaviour("RT-06", "RT-07")
@pytest.mark.parametrize("ignores", [False, True])
async def test_what_is_said_over_the_greeting_comes_after_it_in_order_and_once(
    simcall: Any, ignores: bool
) -> None:
    call = simcall(agent())
    script = call.scene.engine
    script.ignores_guard = ignores
    async with call:
        await call.caller_says("Hello?")
        await call.caller_says("Is that Acme?")
        assert script.heard == b""
        await call.agent_says(GREETING)
        greeted_whole(call)
        assert script.names() == ["guard", "response", "restore", "audio"]
        await call.agent_says("You said: Hello? Is that Acme?")
        await call.caller_says("I have a question.")
        await call.agent_says("You said: I have a question.")
        assert utterances_heard(script, 3) == [(0, 18), (1, 39), (2, 54)]
        assert script.problems == []


@pytest.mark.behaviour("RT-07")
async def test_no_more_than_half_a_minute_is_kept_back(
    simcall: Any, caplog: pytest.LogCaptureFixture
) -> None:
    long = "Welcome to Acme. " * 33  # 33.7 s
    async with simcall(agent(first_message=long), limit_s=60.0) as call:
        for _ in range(2):
            await call.caller_says("It is me again.", duration_ms=16_000)
        await call.agent_says("You said: It is me again. It is me again.")
        first, second = utterances_heard(call.scene.engine, 2)
        assert second == (1, 800)
        assert 30_000 - 16_000 - 2_500 <= first[1] * 20 <= 30_000 - 16_000
    warnings = [one for one in caplog.messages if "the oldest is dropped" in one]
    assert len(warnings) == 1


@pytest.mark.behaviour("RT-08", "RT-13")
async def test_a_greeting_is_delivered_once_it_was_heard_and_then_all_is_as_configured(
    simcall: Any, told: Told
) -> None:
    async with simcall(agent()) as call:
        await asyncio.sleep(GREETING_MS / 1000 - 0.1)
        done = [one for one in call.scene.engine.events if one.kind == "response_done"]
        assert done, "the engine is done long before the greeting was heard"
        assert told["greeting_delivered"] == []
        assert "restore" not in call.scene.engine.names()
        await call.agent_says(GREETING)
        await asyncio.sleep(0.3)
        assert told["greeting_delivered"] == [GreetingReport(1, GREETING_MS)]
        for question in ("First?", "Second?"):
            await call.caller_says(question)
            await call.agent_says(f"You said: {question}")
        await call.caller_says("What else?")
        await call.agent_says("You said")
        await call.caller_says("Stop that.")  # later speech interrupts
        assert call.silent_after_ms < 400
    orders = call.scene.engine.names()
    assert orders.count("guard") == orders.count("restore") == 1
    assert orders.count("truncate") == 1
    assert len(told["greeting_delivered"]) == 1
    assert told["greeting_failed"] == []


@pytest.mark.behaviour("RT-13")
async def test_without_a_first_message_nothing_is_protected(simcall: Any, told: Told) -> None:
    async with simcall(agent(first_message="")) as call:
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert call.scene.engine.names() == ["audio"]
    assert not any(name.startswith(("greeting", "protection")) for name in told.order)


@pytest.mark.behaviour("RT-08", "RT-09")
@pytest.mark.parametrize(
    "broken",
    [
        EngineReply(status="cancelled", after_ms=HALF),
        EngineReply(status="cancelled", after_ms=HALF, repeated_ends=2),
        EngineReply(status="failed", detail="server_error", after_ms=200),
        EngineReply(status="incomplete", after_ms=HALF),
        EngineReply(silent=True),
        EngineReply(status="cancelled", after_ms=HALF, piece_s=0.1),
    ],
    ids=["cancelled", "repeatedly", "failed", "incomplete", "silent", "in real time"],
)
async def test_a_greeting_that_breaks_off_is_said_again_and_heard_to_its_end_once(
    simcall: Any, told: Told, broken: EngineReply
) -> None:
    call = simcall(agent())
    script = call.scene.engine
    script.greetings.extend([broken, broken])
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        await call.agent_says("You said: Hello?")
        assert call.heard.count(GREETING) == 1
        assert script.problems == []
        assert len(call.line.clears) == (0 if broken.silent else 2)
    asked = [what for name, what in script.orders if name == "response"]
    assert asked == [GREETING] * 3
    assert told["greeting_delivered"] == [GreetingReport(3, GREETING_MS)]
    deleted = [what for name, what in script.orders if name == "truncate"]
    assert deleted == ([] if broken.silent else [("item_1", 0), ("item_2", 0)])
    assert script.names().count("restore") == 1
    assert [line.text for line in call.transcript if line.role == "assistant"][:1] == [GREETING]
    assert sum(GREETING in line.text for line in call.transcript) == 1


@pytest.mark.behaviour("RT-09")
async def test_what_was_heard_to_four_fifths_is_not_said_again(simcall: Any, told: Told) -> None:
    call = simcall(agent())
    most = 2400  # of 2970
    broken = EngineReply(status="cancelled", after_ms=most, piece_s=0.1, slowness=1.5)
    call.scene.engine.greetings.append(broken)
    async with call:
        await asyncio.sleep(3.5)
        assert call.line.clears == []
    (report,) = told["greeting_delivered"]
    assert (report.attempts, report.partial) == (1, True)
    assert report.played_ms == pytest.approx(most, abs=100)
    assert call.scene.engine.names().count("response") == 1


@pytest.mark.behaviour("RT-10")
async def test_when_all_attempts_failed_a_fallback_voice_greets(simcall: Any, told: Told) -> None:
    call = simcall(agent(tts="fake"))
    script = call.scene.engine
    script.greetings.extend([EngineReply(status="failed", detail="quota", silent=True)] * 3)
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        await call.agent_says("You said: Hello?")
    assert ("message", ("assistant", GREETING)) in script.orders
    assert script.names().count("response") == 3
    names = script.names()
    assert names.index("message") < names.index("restore") < names.index("audio")
    assert told["greeting_failed"] == told["greeting_delivered"] == []
    assert told["greeting_fallback"] == [GreetingReport(3, GREETING_MS)]
    assert sum(line.text == GREETING for line in call.transcript) == 1


@pytest.mark.behaviour("RT-10")
async def test_without_a_fallback_the_failure_is_told_once_and_the_call_goes_on(
    simcall: Any, told: Told
) -> None:
    call = simcall(agent(greeting_retries=1))
    script = call.scene.engine
    script.greetings.extend([EngineReply(status="failed", detail="quota", silent=True)] * 3)
    async with call:
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
        assert call.summary is None
    assert told["greeting_failed"] == [GreetingReport(2, 0.0, reason="quota")]
    assert told["greeting_delivered"] == []
    assert script.names().count("restore") == 1


@pytest.mark.behaviour("RT-11")
@pytest.mark.parametrize("after_ms", [0, 200, HALF])
async def test_a_session_lost_in_mid_greeting_is_made_anew_and_greets_again(
    simcall: Any, told: Told, after_ms: int
) -> None:
    call = simcall(agent())
    script = call.scene.engine
    script.greetings.append(EngineReply(after_ms=after_ms, piece_s=0.1, drops=True))
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        assert len(call.line.clears) == int(after_ms > 0)
        await call.agent_says("You said: Hello?")
        assert call.heard.count(GREETING) == 1
    assert script.connections == 2
    assert told["greeting_delivered"] == [GreetingReport(2, GREETING_MS)]
    orders = [name for name, _ in script.orders if name in ("guard", "response", "restore")]
    assert orders == ["guard", "response", "guard", "response", "restore"]
    assert script.sessions[1].history == ()


@pytest.mark.behaviour("RT-11")
async def test_a_session_lost_after_four_fifths_is_renewed_and_not_one_word_repeated(
    simcall: Any, told: Told
) -> None:
    call = simcall(agent())
    call.scene.engine.greetings.append(EngineReply(after_ms=2600, piece_s=0.1, drops=True, slowness=1.5))
    async with call:
        await asyncio.sleep(3.5)
        assert call.line.clears == []
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert call.scene.engine.connections == 2
    assert [report.partial for report in told["greeting_delivered"]] == [True]
    assert call.scene.engine.names().count("response") == 1
    assert call.scene.engine.names().count("restore") == 1


@pytest.mark.parametrize("engine", ["fake", "fake-greeter"])
async def test_a_session_that_is_made_while_the_greeting_is_heard_to_its_end_knows_of_it(
    simcall: Any, told: Told, engine: str
) -> None:
    call = simcall(agent(engine=engine))
    script = call.scene.engine
    script.greetings.append(EngineReply(after_ms=2600, piece_s=0.1, drops=True, slowness=1.5))
    async with call:
        await asyncio.sleep(6.0)
        assert call.line.clears == []
        assert call.heard.count(GREETING[-6:]) <= 1
    assert script.connections == 2
    assert [report.partial for report in told["greeting_delivered"]] == [True]
    assert script.sessions[1].first_message == "", "it greets nobody"
    assert [(one.role, one.content) for one in script.sessions[1].history] == [("assistant", GREETING)]
    assert "remember" not in script.names()


@pytest.mark.parametrize("engine", ["fake", "fake-greeter"])
@pytest.mark.parametrize("drops", [1, 2])
async def test_what_a_session_was_lost_with_before_it_heard_the_caller_goes_to_the_next(
    simcall: Any, engine: str, drops: int
) -> None:
    call = simcall(agent(engine=engine))
    script = call.scene.engine
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        for count in range(drops):
            while script.connections == count or script.names()[-1] != "audio":
                await asyncio.sleep(0.01)
            assert script.engine is not None
            script.engine.drop()
            script.sent("lost")
        await call.agent_says("You said: Hello?")
        await call.caller_says("Are you open?")
        await call.agent_says("You said: Are you open?")
        if engine == "fake":  # the other one cannot be connected again by now
            script.engine.drop()
            await asyncio.sleep(1.0)
            assert call.heard.endswith("You said: Are you open?"), "what was answered is not said again"
    assert script.connections == drops + 1 + (engine == "fake")
    entries = [(line.role, line.text) for line in call.transcript]
    assert [text for role, text in entries if role == "user"] == ["Hello?", "Are you open?"]


@pytest.mark.behaviour("RT-11")
@pytest.mark.parametrize("voice", [None, "fake"])
async def test_when_no_session_is_to_be_had_that_is_told_or_the_fallback_greets(
    simcall: Any, told: Told, voice: str | None
) -> None:
    call = simcall(agent(tts=voice, prewarm=False))
    script = call.scene.engine
    script.greetings.append(EngineReply(after_ms=500, piece_s=0.1, drops=True))
    script.connect_faults.extend([None, ProviderDisconnected("refused")])
    async with call:
        if voice is not None:
            await call.agent_says(GREETING)
        await asyncio.sleep(2.0)
        assert call.summary is None
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert len(told["greeting_failed"]) == (1 if voice is None else 0)
    assert len(told["greeting_fallback"]) == (0 if voice is None else 1)
    assert [one.reason for one in told["greeting_failed"]] == ["no connection"] * (voice is None)


@pytest.mark.parametrize("ack_s", [None, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("mode", ["proceed", "wait"])
async def test_a_late_or_missing_acknowledgement_costs_no_greeting(
    simcall: Any, told: Told, ack_s: float | None, mode: str
) -> None:
    call = simcall(agent(greeting_ack=mode))
    call.scene.engine.ack_s = ack_s
    async with call:
        await call.agent_says(GREETING)
        greeted_whole(call)
        began = next(one.start for one in call.timeline if one.who == "agent") - call.started_at
        await asyncio.sleep(2.0)
        assert call.heard == GREETING
    waited = min(1.5, 1.5 if ack_s is None else ack_s) if mode == "wait" else 0.0
    assert began == pytest.approx(waited + 0.15, abs=0.1)
    missed = ack_s is None or ack_s >= 1.5
    as_set_up = ProtectionReport({"create_response": True, "interrupt_response": True})
    assert told["protection_not_applied"] == ([as_set_up] if missed else [])
    assert len(told["greeting_delivered"]) == 1


@pytest.mark.parametrize("fault", ["ignored", "refused"])
async def test_an_engine_that_does_not_take_the_guard_is_told_of_and_greets(
    simcall: Any, told: Told, fault: str
) -> None:
    call = simcall(agent())
    script = call.scene.engine
    script.ignores_guard = fault == "ignored"
    script.guard_error = "unknown_parameter" if fault == "refused" else ""
    async with call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        greeted_whole(call)
        await call.agent_says("You said: Hello?")
    (report,) = told["protection_not_applied"]
    if fault == "ignored":
        assert report.values == {"create_response": True, "interrupt_response": True}
    else:
        assert (report.code, report.parameter) == ("unknown_parameter", "session.turn_detection")


@pytest.mark.behaviour("RT-14")
async def test_the_trace_tells_each_step_when_it_is_on(
    simcall: Any, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    orders = []
    for on in (False, True):
        call = simcall(agent(protocol_trace=on))
        script = call.scene.engine
        script.greetings.append(
            EngineReply(status="cancelled", detail="turn_detected", after_ms=500, piece_s=0.1)
        )
        with caplog.at_level(logging.INFO, logger="patter"):
            async with call:
                await asyncio.sleep(0.4)
                script.engine._caller_began()  # it says that it hears somebody, although nobody was let through
                await call.agent_says(GREETING)
                await asyncio.sleep(0.2)
        orders.append(script.orders)
        assert bool(told["protocol_trace"]) == on
        assert any("[REALTIME]" in one for one in caplog.messages) == on
    assert orders[0] == orders[1]
    traces = told["protocol_trace"]
    assert {one.call_id for one in traces} == {call.call.id}
    times = [one.t_ms for one in traces]
    assert times == sorted(times)
    both, none = ({"create_response": power, "interrupt_response": power} for power in (True, False))
    assert [(one.step, dict(one.values)) for one in traces] == [
        ("turn_detection", both),
        ("protection_sent", none),
        ("greeting_requested", {}),
        ("turn_detection", none),
        ("speech_started_while_protected", {}),
        ("cancelled", {"protected": True, "by": "turn_detected"}),
        ("greeting_requested", {}),
        ("restore_sent", both),
        ("turn_detection", both),
    ]


@pytest.mark.behaviour("RT-23")
async def test_an_engine_that_greets_by_itself_is_left_to_it_and_its_rates_are_converted(
    simcall: Any, told: Told
) -> None:
    async with simcall(agent(engine="fake-greeter")) as call:
        await call.caller_says("Hello?", wait=False)
        await call.agent_says(GREETING)
        await call.agent_says("You said: Hello?")
    script = call.scene.engine
    assert script.names() == ["audio"]
    (report,) = told["greeting_delivered"]
    assert (report.attempts, report.partial) == (1, False)
    assert report.played_ms == pytest.approx(GREETING_MS, abs=20)
    assert script.sessions[0].first_message == GREETING


@pytest.mark.behaviour("RT-23")
@pytest.mark.parametrize("voice", [None, "fake"])
async def test_one_that_does_not_greet_after_all_is_found_out(
    simcall: Any, told: Told, voice: str | None
) -> None:
    call = simcall(agent(engine="fake-greeter", tts=voice))
    call.scene.engine.greetings.append(EngineReply(never=True))
    async with call:
        await asyncio.sleep(3.5)
        if voice is not None:
            await call.agent_says(GREETING)
        await call.caller_says("Hello?")
        await call.agent_says("You said: Hello?")
    assert [one.reason for one in told["greeting_failed"]] == ["silence"] * (voice is None)
    assert len(told["greeting_fallback"]) == (voice is not None)
