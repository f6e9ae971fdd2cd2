"""Which call running code belongs to, and where what it records goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from patter.telemetry import patter_call_scope, record_patter_attrs
from patter.telemetry.scope import Scope, current_scope, entered


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATTER_OTEL_ENABLED", "1")


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> Iterator[trace.Tracer]:
    """Of an application that exports to `exporter`."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("application")
    provider.shutdown()


def shown() -> tuple[str, str] | None:
    scope = current_scope()
    return None if scope is None else (scope.call_id, scope.side)


# -- recording


@pytest.mark.behaviour("OB-02")
def test_attributes_go_to_the_active_span(tracer: trace.Tracer, exporter: InMemorySpanExporter) -> None:
    with patter_call_scope("call_1"), tracer.start_as_current_span("mine"):
        record_patter_attrs({"patter.cost.tts_chars": 12, "patter.tts.provider": "fake"})
    (span,) = exporter.get_finished_spans()
    assert span.name == "mine"
    assert dict(span.attributes or {}) == {
        "patter.call_id": "call_1",
        "patter.side": "uut",
        "patter.cost.tts_chars": 12,
        "patter.tts.provider": "fake",
    }


@pytest.mark.behaviour("OB-02")
@pytest.mark.parametrize("over", [False, True])
def test_without_a_recording_span_one_of_no_length_has_them(
    over: bool, tracer: trace.Tracer, exporter: InMemorySpanExporter
) -> None:
    ended = tracer.start_span("over")
    ended.end()
    exporter.clear()
    active = ended if over else trace.INVALID_SPAN
    with entered(Scope("call_1", "driver", tracer=tracer)), trace.use_span(active):
        record_patter_attrs({"patter.cost.stt_seconds": 2.5})
    (span,) = exporter.get_finished_spans()
    assert span.name == "patter.billable"
    assert span.start_time == span.end_time
    assert dict(span.attributes or {}) == {
        "patter.call_id": "call_1",
        "patter.side": "driver",
        "patter.cost.stt_seconds": 2.5,
    }


@pytest.mark.behaviour("OB-02")
def test_outside_of_a_scope_nothing_is_recorded(tracer: trace.Tracer, exporter: InMemorySpanExporter) -> None:
    with tracer.start_as_current_span("mine"):
        record_patter_attrs({"patter.cost.tts_chars": 12})
    (span,) = exporter.get_finished_spans()
    assert dict(span.attributes or {}) == {}


@pytest.mark.behaviour("OB-07")
def test_what_cannot_be_recorded_is_told_at_debug(
    tracer: trace.Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(trace.NonRecordingSpan):
        def is_recording(self) -> bool:
            return True

        def set_attributes(self, attributes: Any) -> None:
            raise RuntimeError("no room")

    caplog.set_level("DEBUG")
    with patter_call_scope("call_1"), trace.use_span(Broken(trace.INVALID_SPAN_CONTEXT), end_on_exit=False):
        record_patter_attrs({"patter.cost.tts_chars": 12})
    assert {(one.levelname, one.name) for one in caplog.records} == {("DEBUG", "patter.telemetry.scope")}


def test_odd_values_and_personal_data_are_left_out(
    tracer: trace.Tracer, exporter: InMemorySpanExporter
) -> None:
    with patter_call_scope("call_1"), tracer.start_as_current_span("mine"):
        record_patter_attrs({"a": object(), "b": None, "patter.pii.caller": "+15550001111", "d.piison": "x"})
    (span,) = exporter.get_finished_spans()
    assert set(span.attributes or {}) == {"patter.call_id", "patter.side", "d.piison"}


# -- scopes


@pytest.mark.behaviour("OB-03")
def test_scopes_nest_and_are_left_also_when_the_body_raises() -> None:
    assert shown() is None
    with patter_call_scope("outer", "driver"):
        with suppress(RuntimeError), patter_call_scope("inner", "uut"):
            assert shown() == ("inner", "uut")
            raise RuntimeError
        assert shown() == ("outer", "driver")
        with patter_call_scope("second"):
            assert shown() == ("second", "uut")
        assert shown() == ("outer", "driver")
    assert shown() is None


@pytest.mark.behaviour("OB-03")
def test_tasks_started_in_a_scope_belong_to_it(patter_loop: Any) -> None:
    async def read() -> tuple[str, str] | None:
        await asyncio.sleep(1.0)
        return shown()

    async def both() -> list[tuple[str, str] | None]:
        tasks = []
        for name in ("one", "two"):
            with patter_call_scope(name, f"side of {name}"):
                tasks.append(asyncio.ensure_future(read()))
        outside = asyncio.ensure_future(read())
        return await asyncio.gather(*tasks, outside)

    assert patter_loop.run_until_complete(both()) == [
        ("one", "side of one"),
        ("two", "side of two"),
        None,
    ]


def test_a_scope_is_none_while_it_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "PATTER_OTEL_ENABLED", "0")
    with patter_call_scope("call_1"):
        assert shown() is None
