"""OpenTelemetry: which call the running code belongs to, and the spans of calls. Nothing of it is loaded while it is off.

It is on when ``PATTER_OTEL_ENABLED`` is 1, true or yes and `opentelemetry-sdk` is installed. Spans go to the exporters
that are attached, to the OTLP endpoint that is set, and nowhere else.
"""

from __future__ import annotations

from patter.telemetry.phone import attach_span_exporter
from patter.telemetry.scope import patter_call_scope, record_patter_attrs

__all__ = ["attach_span_exporter", "patter_call_scope", "record_patter_attrs"]
