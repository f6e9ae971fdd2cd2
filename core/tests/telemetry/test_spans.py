"""The spans of a call: which there are, how long they are, what they say, and what they leave out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import StatusCode
from traces import exported, named

from patter import tool
from patter.errors import ProviderError
from patter.providers.carrier import CallStatus
from patter.telemetry import attach_span_exporter, attributes
from patter.testing import CallTool, Reply, VoiceFault
from patter.testing.pytest_phone import CallFactory

PARTS = ("call", "stt", "llm", "tts", "tool", "endpoint", "bargein")
SENTENCE = "A long sentence about all of our opening hours, which somebody is going to interrupt soon."


@tool
async def opening_hours(day: str) -> str:
    "Opening hours."
    await asyncio.sleep(0.3)
    return "nine to five"


def ms(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return round((span.end_time - span.start_time) / 1e6, 1)


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def conversation(phone: Any) -> Any:
    """A question, a tool, an answer and an interruption, each with its own time."""
    replies = [
        Reply(tools=[CallTool("opening_hours", {"day": "Sunday"})], delay_s=0.25),
        Reply(SENTENCE, delay_s=0.5),
        "Very well.",
    ]
    options = {"tools": [opening_hours], "llm": "fake", "first_message": "Hello.", "replies": replies}
    async with CallFactory(phone)(**options) as call:
        call.scene.recogniser.delay_s = 0.12
        call.scene.voice.faults.extend([None, VoiceFault(delay_s=0.2)])
        await call.agent_says("Hello.")
        await call.quiet(500)
        await call.caller_says("When are you open on Sunday")
        await call.agent_says("long sentence", within_s=20)
        await call.caller_says("Stop that please")
        await call.agent_says("Very well.", within_s=20)
        await call.quiet(500)
    return call


@pytest.mark.behaviour("OB-08")
async def test_each_part_has_spans_that_are_children_of_the_calls(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    call = await conversation(phone)
    spans = await exported(phone, exporter)
    assert {span.name for span in spans} == {f"patter.{part}" for part in (*PARTS, "turn")}
    (whole,) = named(spans, "patter.call")
    assert whole.parent is None
    assert ms(whole) >= call.summary.duration_s * 1000
    assert whole.start_time is not None
    assert whole.end_time is not None
    for span in spans:
        assert said(span)["patter.call_id"] == call.call.id
        assert said(span)["patter.side"] == "uut"
        if span is whole:
            continue
        assert span.parent is not None
        assert span.parent == whole.context
        assert span.start_time is not None
        assert span.end_time is not None
        assert whole.start_time <= span.start_time <= span.end_time <= whole.end_time


@pytest.mark.behaviour("OB-08")
async def test_the_spans_last_as_long_as_what_they_stand_for(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    call = await conversation(phone)
    spans = await exported(phone, exporter)
    with_tool, answering, _ = named(spans, "patter.llm")
    assert (ms(with_tool), ms(answering)) == (250.0, 500.0)
    assert said(answering)["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.5)
    (tool_span,) = named(spans, "patter.tool")
    assert ms(tool_span) == 300.0
    greeting, answer, _ = named(spans, "patter.tts")
    assert (ms(greeting), ms(answer)) == (0.0, 200.0)
    endpoints, finals = named(spans, "patter.endpoint"), named(spans, "patter.stt")
    assert [ms(span) for span in endpoints] == [120.0, 120.0]
    # the caller speaks 60 ms for each character, until the fake VAD is sure, and the final takes its time
    assert ms(finals[0]) == pytest.approx(27 * 60 + 400 + 120, abs=60)
    confirmed = [one for one in named(spans, "patter.bargein") if "confirmed" in said(one).values()]
    assert len(confirmed) == call.summary.metrics["interruptions"] == 1


@pytest.mark.behaviour("OB-05")
async def test_each_turn_has_the_latency_of_its_metrics(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    call = await conversation(phone)
    turns = named(await exported(phone, exporter), "patter.turn")
    metrics = call.summary.latency.turns
    assert len(turns) == len(metrics) == 3
    for span, figures in zip(turns, metrics, strict=True):
        heard = figures.total_ms if figures.latency_ms is None else figures.latency_ms
        assert said(span)["patter.turn.number"] == figures.turn
        assert said(span)["patter.latency.ttfb_ms"] == heard
        assert said(span)["patter.latency.turn_ms"] == figures.total_ms
        parts = {f"patter.latency.part.{part.name}_ms": part.ms for part in figures.breakdown.parts}
        assert parts
        assert {key: said(span)[key] for key in parts} == parts
    # 120 ms to the final, a request of 250 ms, a tool of 300 ms, an answer of 500 ms, a voice of 200 ms
    assert said(turns[1])["patter.latency.ttfb_ms"] >= 120 + 250 + 300 + 500 + 200


async def test_a_call_that_fails_says_so(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    async with CallFactory(phone)(first_message="Hello.") as call:
        call.scene.voice.faults.extend([VoiceFault(error=ProviderError("no more +15550001111"))] * 4)
        assert (await call.ended()).outcome is CallStatus.FAILED
    (span,) = named(await exported(phone, exporter), "patter.call")
    assert span.status.status_code is StatusCode.ERROR
    assert said(span)["patter.outcome"] == "failed"
    (event, *_) = span.events
    assert event.name == "failed"
    assert dict(event.attributes or {}) == {"kind": "tts", "error.type": "ProviderError"}


# -- conventions


def test_the_names_are_those_of_the_conventions() -> None:
    theirs = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    ours = {value for value in vars(attributes).values() if str(value).startswith("gen_ai.")}
    assert len(ours) > 10
    assert ours <= theirs


async def test_requests_and_tools_are_told_in_their_words(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GenAiOperationNameValues

    phone = make_phone()
    attach_span_exporter(phone, exporter)
    call = await conversation(phone)
    spans = await exported(phone, exporter)
    request, tool_span = named(spans, "patter.llm")[1], named(spans, "patter.tool")[0]
    told = said(request)
    assert told["gen_ai.operation.name"] == GenAiOperationNameValues.CHAT.value
    assert told["gen_ai.provider.name"] == told["patter.llm.provider"] == "fake"
    assert told["gen_ai.conversation.id"] == call.call.id
    assert told["gen_ai.usage.output_tokens"] > 0
    assert said(tool_span)["gen_ai.operation.name"] == GenAiOperationNameValues.EXECUTE_TOOL.value
    assert said(tool_span)["gen_ai.tool.name"] == "opening_hours"


METERED = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

from patter.telemetry.model_metrics import ModelMetrics

reader = InMemoryMetricReader()
provider = MeterProvider([reader], shutdown_on_exit=False)
metrics.set_meter_provider(provider)
models = ModelMetrics()
models.request("fake", "large", 1.5, 0.5)
models.request("fake", "", 2.5, None)
models.tokens("fake", "large", 100, 20)
found = {}
for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
    points = metric.data.data_points
    found[metric.name] = (metric.unit, sorted(point.sum for point in points))
assert found == {
    gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION: ("s", [1.5, 2.5]),
    gen_ai_metrics.GEN_AI_CLIENT_OPERATION_TIME_TO_FIRST_CHUNK: ("s", [0.5]),
    gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE: ("{token}", [20, 100]),
}, found
provider.shutdown()
"""

COMMON = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import patter.telemetry.phone
from patter import Patter
from patter.environment import Environment
from patter.plugins import PluginManager
from patter.telemetry import attach_span_exporter
from patter.testing import fake_plugin
from patter.testing.pytest_phone import CallFactory
from patter.testing.virtual_loop import VirtualClock, VirtualTimeLoop, run_virtual

everything, attached = InMemorySpanExporter(), InMemorySpanExporter()
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(everything))
trace.set_tracer_provider(provider)

patter.telemetry.phone.FLUSH_S = 60.0
loop = VirtualTimeLoop()
phone = Patter(
    carrier="fake",
    phone_number="+15550001234",
    manager=PluginManager([fake_plugin], autoload=False, environ={"PATTER_OTEL_ENABLED": "1"}),
    environment=Environment.seeded(1, VirtualClock(loop)),
)
attach_span_exporter(phone, attached)

async def main():
    with trace.get_tracer("application").start_as_current_span("of the application"):
        async with CallFactory(phone)(first_message="Hello there.") as call:
            await call.agent_says("there.")
    await phone.disconnect()

run_virtual(main(), loop=loop)
loop.close()
names = sorted(span.name for span in everything.get_finished_spans())
assert sorted([*(span.name for span in attached.get_finished_spans()), "of the application"]) == names
assert names.count("patter.call") == 1
"""


@pytest.mark.parametrize("script", [METERED, COMMON], ids=["meter", "tracer"])
def test_what_an_application_has_set_up_for_its_process_is_used(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- personal data


def personal(spans: list[ReadableSpan]) -> set[str]:
    keys = {key for span in spans for key in said(span)}
    return {key for key in keys if "pii" in key.split(".")}


SECRETS = ("+15550001234", "+15550009876", "Sunday", "nine to five", "Stop that")


async def test_personal_data_is_left_out(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    await conversation(phone)
    spans = await exported(phone, exporter)
    assert personal(spans) == set()
    everything = " ".join(span.to_json() for span in spans)
    assert [secret for secret in SECRETS if secret in everything] == []


async def test_personal_data_where_it_is_wanted_stands_under_its_own_keys(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone(variables={"PATTER_OTEL_PII": "1"})
    attach_span_exporter(phone, exporter)
    await conversation(phone)
    spans = await exported(phone, exporter)
    assert {"patter.pii.caller", "patter.pii.transcript", "patter.pii.tool_arguments"} <= personal(spans)
    rest = [value for span in spans for key, value in said(span).items() if "pii" not in key.split(".")]
    assert [secret for secret in SECRETS if any(secret in str(value) for value in rest)] == []
