"""The tracer of one phone, and the exporters behind it. The one module, with `span_queue`, that loads the SDK."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from patter._version import __version__
from patter.errors import ConfigError
from patter.telemetry.call_spans import CallSpans
from patter.telemetry.model_metrics import ModelMetrics
from patter.telemetry.span_queue import SpanQueue
from patter.telemetry.switch import otlp_target

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from patter.environment import Clock
    from patter.server.line import Line

logger = logging.getLogger(__name__)


class Tracing:
    """Makes the spans of one phone's calls.

    An application that has set up a tracer provider for its process has the spans there too. Otherwise the phone has one
    of its own, which sends to the OTLP endpoint if one is set, and nowhere if not.
    """

    def __init__(self, environ: Mapping[str, str], clock: Clock, *, personal_data: bool) -> None:
        self._clock = clock
        self.personal_data = personal_data
        self._queues: list[SpanQueue] = []
        self._attached: dict[int, SpanExporter] = {}
        target = otlp_target(environ)
        made = None if target is None else otlp_exporter(target)
        common = trace.get_tracer_provider()
        self._is_own = not isinstance(common, TracerProvider)
        # No hook at the process's end: an exporter that blocks would hold it up for half a minute.
        self._provider = (
            common
            if isinstance(common, TracerProvider)
            else TracerProvider(resource=_resource(), shutdown_on_exit=False)
        )
        self.tracer = self._provider.get_tracer("patter", __version__)
        self.models = ModelMetrics()
        if made is not None and self._is_own:
            self._add(SpanQueue(self, "uut", made, owned=True))

    def _add(self, queue: SpanQueue) -> None:
        self._queues.append(queue)
        self._provider.add_span_processor(queue)

    def attach(self, exporter: SpanExporter, side: str) -> None:
        """Export to it as well; once, however often it is attached."""
        if id(exporter) not in self._attached:
            self._attached[id(exporter)] = exporter
            self._add(SpanQueue(self, side, lambda: exporter))

    def close(self, within_s: float) -> bool:
        """Export what waits and end the threads, for at most that long in all; False if that was not enough."""
        until = self._clock.monotonic() + within_s
        done = True
        for queue in self._queues:
            done = queue.close(max(0.0, until - self._clock.monotonic())) and done
        return done

    @contextmanager
    def call_scope(self, line: Line) -> Iterator[None]:
        """The spans of one call, which is the current one in the body."""
        try:
            spans = CallSpans(self, line, self._clock)
        except Exception:
            logger.debug("call %s has no spans", line.call.id, exc_info=True)
            yield
            return
        try:
            with spans.inside():
                yield
        finally:
            # A call whose connection is cut off has its last hooks in a task of their own.
            if line.done.done():
                spans.end()
            else:
                line.done.add_done_callback(lambda _: spans.end())


def _resource() -> Resource:
    resource = Resource.create()
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        return resource.merge(Resource({"service.name": "patter"}))
    return resource


def otlp_exporter(target: str) -> Callable[[], SpanExporter]:
    """Makes exporters to an OTLP/HTTP endpoint. Raises `ConfigError` when the exporter is not installed."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise ConfigError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but there is nothing to export with: "
            "pip install opentelemetry-exporter-otlp-proto-http"
        ) from error
    return lambda: OTLPSpanExporter(endpoint=target)
