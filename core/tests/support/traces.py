"""Reading what a test's calls exported."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from patter import Patter
from patter.testing.pytest_phone import CallFactory


async def exported(phone: Patter, exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    """Every span so far, once the phone has handed them over and does not serve any more."""
    await phone.disconnect()
    return list(exporter.get_finished_spans())


def named(spans: list[ReadableSpan], name: str) -> list[ReadableSpan]:
    """Those of a name."""
    return [span for span in spans if span.name == name]


async def short_call(phone: Patter, **options: Any) -> Any:
    """A call with one question and one answer; returns it when it is over and the phone does not serve any more."""
    async with CallFactory(phone)(first_message="Hello there.", **options) as call:
        await call.agent_says("there.")
        await call.caller_says("When do you open")
        await call.agent_says("open", within_s=20)
    await phone.disconnect()
    return call
