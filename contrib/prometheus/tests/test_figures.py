"""What is counted of calls, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import generate_latest

import patter_prometheus
from patter import Reject, hookimpl
from patter.errors import ProviderError
from patter.testing import Reply, VoiceFault
from patter_prometheus.loop_lag import PERIOD_S, LoopLag
from patter_prometheus.observer import observer_of

SENTENCE = "A long sentence about all of our opening hours, which somebody is going to interrupt soon."


@pytest.fixture
def measured(phone: Any) -> Any:
    """The phone of the test, with the plugin, as an entry point would load it."""
    phone.register(patter_prometheus)
    return phone


def value(phone: Any, name: str, **labels: str) -> float:
    return observer_of(phone).registry.get_sample_value(name, labels) or 0.0


async def test_a_call_is_counted_by_direction_and_outcome(measured: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
    counted = {"direction": "inbound", "outcome": "completed", "connected": "true"}
    assert value(measured, "patter_calls_total", **counted) == 1
    assert value(measured, "patter_call_duration_seconds_count", direction="inbound") == 1
    assert value(measured, "patter_call_duration_seconds_sum", direction="inbound") == pytest.approx(
        call.summary.duration_s
    )


async def test_a_call_that_was_refused_is_counted_as_not_connected(measured: Any, simcall: Any) -> None:
    class Refusing:
        @hookimpl
        def patter_incoming_call(self) -> Reject:
            return Reject("unwanted")

    measured.register(Refusing())
    async with simcall() as call:
        assert call.refusal is not None
    counted = {"direction": "inbound", "outcome": "failed", "connected": "false"}
    assert value(measured, "patter_calls_total", **counted) == 1
    assert value(measured, "patter_call_duration_seconds_count", direction="inbound") == 0


async def test_calls_in_progress_are_shown_with_what_their_agents_do(measured: Any, simcall: Any) -> None:
    async with simcall(first_message=SENTENCE) as one, simcall(first_message="Hi.") as other:
        await one.agent_says("sentence")
        await other.agent_says("Hi.")
        await other.quiet(200)
        active = {"direction": "inbound", "status": "in-progress"}
        assert value(measured, "patter_active_calls", **active) == 2
        assert value(measured, "patter_agents", state="speaking") == 1
        assert value(measured, "patter_agents", state="listening") == 1
        assert value(measured, "patter_ready") == 1
    assert value(measured, "patter_active_calls", **active) == 0


async def test_turns_are_counted_with_their_latency(measured: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello.", replies=[Reply("Nine to five.", delay_s=0.4)]) as call:
        await call.agent_says("Hello.")
        await call.quiet(200)
        await call.caller_says("When do you open")
        await call.agent_says("five.", within_s=20)
        await call.quiet(200)
    (greeting, answer) = call.summary.latency.turns
    assert answer.latency_ms >= 400
    assert value(measured, "patter_turns_total", kind="greeting", interrupted="false") == 1
    assert value(measured, "patter_turns_total", kind="reply", interrupted="false") == 1
    assert value(measured, "patter_turn_latency_seconds_count") == 1
    assert value(measured, "patter_turn_latency_seconds_sum") == pytest.approx(answer.latency_ms / 1000)
    for part in answer.breakdown.parts:
        told = value(measured, "patter_turn_part_seconds_sum", part=part.name)
        assert told == pytest.approx(part.ms / 1000), part.name
    assert greeting.latency_ms is None


async def test_interruptions_are_counted_by_what_became_of_them(measured: Any, simcall: Any) -> None:
    async with simcall(first_message=SENTENCE) as call:
        await call.agent_says("long sentence")
        await call.caller_says("Stop that please")
        await call.agent_says("You said", within_s=20)
    assert value(measured, "patter_interruptions_total", outcome="confirmed") == 1


async def test_errors_are_counted_by_kind_and_provider(measured: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello.") as call:
        call.scene.voice.faults.extend([VoiceFault(error=ProviderError("no"))] * 4)
        await call.ended()
    labels = {"kind": "tts", "provider": "fake", "error": "ProviderError"}
    assert value(measured, "patter_provider_errors_total", **labels) == len(call.failures) > 0


async def test_two_phones_count_for_themselves(measured: Any, simcall: Any) -> None:
    from patter import Patter
    from patter.plugins import PluginManager

    other = Patter(manager=PluginManager([patter_prometheus], autoload=False, environ={}))
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
        await call.quiet(200)
    assert value(measured, "patter_turns_total", kind="greeting", interrupted="false") == 1
    assert value(other, "patter_turns_total", kind="greeting", interrupted="false") == 0


def test_a_loop_that_is_late_is_told_of_until_it_is_stopped(patter_loop: Any) -> None:
    lags: list[float] = []
    lag = LoopLag(lags.append)

    async def run() -> None:
        lag.start()
        lag.start()
        await asyncio.sleep(1.5 * PERIOD_S)
        patter_loop.stand_still(0.7 * PERIOD_S)
        await asyncio.sleep(1.5 * PERIOD_S)
        lag.stop()
        await asyncio.sleep(3 * PERIOD_S)

    patter_loop.run_until_complete(run())
    assert lags == pytest.approx([0.0, 0.2 * PERIOD_S, 0.0])


async def test_the_worst_lag_is_that_since_it_was_last_read(measured: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello.") as call:
        await call.agent_says("Hello.")
        observer_of(measured)._lagged(0.25)
        observer_of(measured)._lagged(0.05)
        assert value(measured, "patter_event_loop_lag_max_seconds") == 0.25
        assert value(measured, "patter_event_loop_lag_max_seconds") == 0.0
        assert value(measured, "patter_event_loop_lag_seconds_count") >= 2


async def test_cost_is_counted_by_kind_and_provider(measured: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello there.") as call:
        await call.agent_says("there.")
        await call.caller_says("When do you open")
        await call.agent_says("open", within_s=20)
    lines = call.summary.cost.lines
    assert {line.kind for line in lines} == {"carrier", "stt", "llm", "tts"}
    for line in lines:
        told = value(measured, "patter_cost_usd_total", kind=line.kind, provider=line.provider)
        assert told == pytest.approx(line.amount), line.kind
        assert told > 0, line.kind


async def test_no_label_tells_of_a_caller(measured: Any, simcall: Any) -> None:
    async with simcall(first_message="Hello there.") as call:
        await call.agent_says("there.")
        await call.caller_says("My name is Alice")
        await call.agent_says("Alice", within_s=20)
        text = generate_latest(observer_of(measured).registry).decode()
    secrets = ("+15550009876", "15550009876", "+15550001234", "Alice", call.call.id, call.carrier_call_id)
    assert [secret for secret in secrets if secret in text] == []
