"""Where spans go: exporters that are attached, OTLP over HTTP, and exporters that raise or block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from traces import exported, named, short_call

from patter.telemetry import attach_span_exporter


def ids(spans: Sequence[ReadableSpan]) -> list[int]:
    return [span.context.span_id for span in spans if span.context is not None]


@pytest.mark.behaviour("OB-04")
async def test_what_is_exported_has_the_side_of_its_exporter(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone, other = make_phone(), InMemorySpanExporter()
    attach_span_exporter(phone, exporter)
    attach_span_exporter(phone, other, side="driver")
    await short_call(phone)
    spans, stamped = await exported(phone, exporter), await exported(phone, other)
    assert {(span.attributes or {})["patter.side"] for span in spans} == {"uut"}
    assert {(span.attributes or {})["patter.side"] for span in stamped} == {"driver"}
    assert [span.name for span in stamped] == [span.name for span in spans]
    assert ids(stamped) == ids(spans)


@pytest.mark.behaviour("OB-04")
async def test_an_exporter_that_is_attached_twice_gets_each_span_once(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone, once = make_phone(), InMemorySpanExporter()
    attach_span_exporter(phone, exporter, side="uut")
    attach_span_exporter(phone, exporter, side="uut")
    attach_span_exporter(phone, once)
    await short_call(phone)
    found = ids(await exported(phone, exporter))
    assert len(found) == len(set(found)) > 0
    assert found == ids(await exported(phone, once))


async def test_two_phones_may_share_an_exporter(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    one, two = make_phone(), make_phone()
    attach_span_exporter(one, exporter)
    attach_span_exporter(two, exporter, side="driver")
    await short_call(one)
    await short_call(two)
    await exported(one, exporter)
    calls = named(await exported(two, exporter), "patter.call")
    assert [(span.attributes or {})["patter.side"] for span in calls] == ["uut", "driver"]


async def test_a_phone_that_serves_again_exports_again(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter
) -> None:
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    for _ in range(2):
        await short_call(phone)
    assert len(named(list(exporter.get_finished_spans()), "patter.call")) == 2


# -- over OTLP


class Collector:
    """A collector on loopback that notes what it is sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        noted = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                noted.append((self.path, self.headers["Content-Type"], body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to say."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    collector = Collector()
    yield collector
    collector.close()


@pytest.mark.behaviour("OB-08")
@pytest.mark.parametrize("ending", ["", "/"])
async def test_the_target_is_the_endpoint_and_v1_traces(
    ending: str, collector: Collector, make_phone: Callable[..., Any]
) -> None:
    phone = make_phone(variables={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + ending})
    await short_call(phone)
    ((path, content_type, body),) = collector.requests
    assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
    assert b"patter.call" in body
    assert b"patter.stt" in body


# -- that fail


class Raising(SpanExporter):
    def __init__(self) -> None:
        self.asked = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += 1
        raise RuntimeError("the disk is full")


class Blocking(SpanExporter):
    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.reached.set()
        self.go_on.wait()
        return SpanExportResult.SUCCESS


def told(call: Any) -> tuple[object, ...]:
    """All that a caller and an application know of a call."""
    said = [(one.who, one.text, round(one.start - call.started_at, 6)) for one in call.timeline]
    written = [
        (one.role, one.text, round(one.heard_ms, 3), one.interrupted) for one in call.summary.transcript
    ]
    return (said, written, call.summary.outcome, call.summary.reason)


@pytest.mark.behaviour("OB-07")
async def test_an_exporter_that_raises_changes_nothing(
    make_phone: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    without = told(await short_call(make_phone("0")))
    log = [one.getMessage().split(" ", 2)[2] for one in caplog.records if one.levelname != "DEBUG"]
    caplog.clear()
    phone, exporter = make_phone(), Raising()
    attach_span_exporter(phone, exporter)
    call = await short_call(phone)
    assert exporter.asked > 0
    assert told(call) == without
    assert [one.getMessage().split(" ", 2)[2] for one in caplog.records if one.levelname != "DEBUG"] == log
    failures = [one for one in caplog.records if one.name.startswith("patter.telemetry")]
    assert {one.levelname for one in failures} == {"DEBUG"}


@pytest.mark.behaviour("OB-07")
async def test_an_exporter_that_blocks_changes_nothing(
    make_phone: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patter.telemetry.phone.FLUSH_S", 0.2)  # it blocks for as long as it is waited for
    without = told(await short_call(make_phone("0")))
    phone, exporter = make_phone(), Blocking()
    attach_span_exporter(phone, exporter)
    try:
        assert told(await short_call(phone)) == without
        assert exporter.reached.wait(60)
        assert told(await short_call(phone)) == without
    finally:
        exporter.go_on.set()


@pytest.mark.behaviour("OB-07")
async def test_a_tracer_that_raises_changes_nothing(
    make_phone: Callable[..., Any], exporter: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a tracer of another version")

    caplog.set_level("DEBUG")
    without = told(await short_call(make_phone("0")))
    phone = make_phone()
    attach_span_exporter(phone, exporter)
    phone.telemetry._tracing.tracer = Broken()
    assert told(await short_call(phone)) == without
    records = [one for one in caplog.records if one.name.startswith("patter.telemetry")]
    assert {one.levelname for one in records} == {"DEBUG"}
