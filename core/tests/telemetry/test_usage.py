"""What a call used, on its span: every amount beside the name of its provider."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from traces import exported, named, short_call

from patter.errors import ProviderAuthError
from patter.metrics.cost import CostLine
from patter.telemetry import attach_span_exporter
from patter.telemetry.usage import usage_attributes
from patter.testing import Reply
from patter.testing.pytest_phone import CallFactory


def units(call: Any, kind: str) -> dict[str, float]:
    (line,) = [line for line in call.summary.cost.lines if line.kind == kind]
    return dict(line.units)


@pytest.mark.behaviour("OB-05", "OB-06")
async def test_a_calls_span_has_what_it_used_beside_its_providers(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    call = await short_call(phone)
    (span,) = named(await exported(phone, exporter), "patter.call")
    told = dict(span.attributes or {})
    assert told["patter.direction"] == "inbound"
    assert told["patter.call_id"] == call.call.id
    for kind in ("telephony", "stt", "tts", "llm"):
        assert told[f"patter.{kind}.provider"] == "fake", kind
    assert told["patter.cost.telephony_minutes"] == pytest.approx(units(call, "carrier")["call"] / 60)
    assert told["patter.cost.telephony_minutes"] > 0
    assert told["patter.cost.stt_seconds"] == pytest.approx(units(call, "stt")["audio"])
    assert told["patter.cost.stt_seconds"] > 1
    said = len("Hello there.") + len("You said: When do you open")
    assert told["patter.cost.tts_chars"] == units(call, "tts")["characters"] == said
    llm = units(call, "llm")
    assert told["patter.cost.llm_input_tokens"] == llm["input"] + llm["cache_read"] + llm["cache_write"] > 0
    assert told["patter.cost.llm_output_tokens"] == llm["output"] > 0
    assert "patter.realtime.provider" not in told


@pytest.mark.behaviour("OB-05")
async def test_an_outbound_call_says_so(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    from outgoing import Outgoing

    phone = make_phone()
    attach_span_exporter(phone, exporter)
    outgoing = Outgoing(phone)
    calling, dialled = await outgoing.place()
    async with CallFactory(phone)(dialled=dialled) as call:
        await call.agent_says("Acme")
        await call.caller_hangs_up()
    await calling
    (span,) = named(await exported(phone, exporter), "patter.call")
    told = dict(span.attributes or {})
    assert told["patter.direction"] == "outbound"
    assert told["patter.telephony.provider"] == "fake"
    assert told["patter.cost.telephony_minutes"] > 0


@pytest.mark.behaviour("OB-06")
async def test_telephony_minutes_are_those_of_their_own_call(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    await phone.start(None, port=0)

    async def lasting(seconds: float) -> tuple[str, float]:
        async with CallFactory(phone)(first_message="Hello there.") as call:
            await call.agent_says("there.")
            await asyncio.sleep(seconds)
        return call.call.id, units(call, "carrier")["call"] / 60

    minutes = dict(await asyncio.gather(*(lasting(seconds) for seconds in (70.0, 130.0, 10.0))))
    spans = named(await exported(phone, exporter), "patter.call")
    found = {dict(one.attributes or {})["patter.call_id"]: one for one in spans}
    assert found.keys() == minutes.keys()
    assert len({round(one, 3) for one in minutes.values()}) == 3
    for call_id, span in found.items():
        told = dict(span.attributes or {})["patter.cost.telephony_minutes"]
        assert told == pytest.approx(minutes[call_id])


def line(kind: Any, provider: str, model: str = "", **used: float) -> CostLine:
    return CostLine(kind, provider, model, used, {})


@pytest.mark.behaviour("OB-05")
def test_every_kind_has_its_amounts_and_its_name() -> None:
    lines = [
        line("carrier", "acme", call=90.0, media_stream=88.0),
        line("stt", "ears", audio=30.5),
        line("tts", "mouth", characters=120.0),
        line("llm", "mind", "large", input=100.0, cache_read=50.0, output=10.0),
        line("realtime", "both", session=60.0, input_text=5.0),
    ]
    assert usage_attributes(lines, {}, 75.0) == [
        {"patter.telephony.provider": "acme", "patter.cost.telephony_minutes": 1.5},
        {"patter.stt.provider": "ears", "patter.cost.stt_seconds": 30.5},
        {"patter.tts.provider": "mouth", "patter.cost.tts_chars": 120},
        {
            "patter.llm.provider": "mind",
            "patter.cost.llm_input_tokens": 150,
            "patter.cost.llm_output_tokens": 10,
        },
        {"patter.realtime.provider": "both", "patter.cost.realtime_minutes": 1.0},
    ]


def test_an_engine_whose_vendor_counts_tokens_alone_has_the_time_of_the_media() -> None:
    (told,) = usage_attributes([line("realtime", "both", input_text=5.0)], {"realtime": "both"}, 90.0)
    assert told == {"patter.realtime.provider": "both", "patter.cost.realtime_minutes": 1.5}


def test_models_of_one_provider_are_added_up_and_other_providers_are_not() -> None:
    lines = [
        line("llm", "mind", "large", input=1.0),
        line("llm", "mind", "small", input=2.0),
        line("llm", "other"),
    ]
    told = usage_attributes(lines, {"llm": "mind"}, 0.0)
    assert [(one["patter.llm.provider"], one["patter.cost.llm_input_tokens"]) for one in told] == [
        ("mind", 3),
        ("other", 0),
    ]


async def test_a_second_model_has_a_span_of_its_own(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    from patter import LLMRecord, hookimpl

    class Another:
        @hookimpl
        def patter_register_llm(self) -> list[LLMRecord]:
            return [LLMRecord("other", "patter.testing.fake_llm:FakeLLM")]

    phone = make_phone()
    attach_span_exporter(phone, exporter)
    phone.register(Another())
    replies = ["Nine.", Reply(error=ProviderAuthError("away")), "Five."]
    options = {"llm": "fake", "llm_fallbacks": ["other"], "first_message": "Hello.", "replies": replies}
    async with CallFactory(phone)(**options) as call:
        await call.agent_says("Hello.")
        await call.caller_says("When do you open")
        await call.agent_says("Nine.", within_s=20)
        await call.caller_says("And when do you close")
        await call.agent_says("Five.", within_s=20)
        await call.quiet(300)
    spans = await exported(phone, exporter)
    (whole,), (second,) = named(spans, "patter.call"), named(spans, "patter.billable")
    tokens = {one.provider: one.units["output"] for one in call.summary.cost.lines if one.kind == "llm"}
    assert set(tokens) == {"fake", "other"}
    for span, provider in ((whole, "fake"), (second, "other")):
        told = dict(span.attributes or {})
        assert told["patter.llm.provider"] == provider
        assert told["patter.cost.llm_output_tokens"] == tokens[provider]
    assert second.start_time == second.end_time


@pytest.mark.behaviour("OB-05")
async def test_a_call_with_an_engine_has_its_minutes_and_its_turns(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    from realtime_calls import agent

    phone = make_phone()
    attach_span_exporter(phone, exporter)
    async with CallFactory(phone)(agent()) as call:
        await call.caller_says("When do you open?")
        await call.agent_says("You said", within_s=20)
        await call.quiet(500)
    spans = await exported(phone, exporter)
    (span,) = named(spans, "patter.call")
    told = dict(span.attributes or {})
    assert told["patter.realtime.provider"] == "fake"
    seconds = units(call, "realtime").get("session") or call.summary.duration_s
    assert told["patter.cost.realtime_minutes"] == pytest.approx(seconds / 60)
    assert told["patter.cost.realtime_minutes"] > 0
    assert told["patter.cost.telephony_minutes"] > 0
    assert not {"patter.llm.provider", "patter.stt.provider"} & set(told)
    answers = [dict(one.attributes or {}) for one in named(spans, "patter.turn")]
    metrics = {one.turn: one for one in call.summary.latency.turns}
    assert {one["patter.turn.number"] for one in answers} == set(metrics)
    for one in answers:
        figures = metrics[one["patter.turn.number"]]
        heard = figures.total_ms if figures.latency_ms is None else figures.latency_ms
        assert one["patter.latency.ttfb_ms"] == heard
        assert one["patter.latency.turn_ms"] == figures.total_ms
