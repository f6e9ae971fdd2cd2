"""The span of one call: its scope, its children and what it says once the call is over (OB-05, OB-06, OB-08)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry.trace import StatusCode, set_span_in_context

from patter.providers.carrier import CallStatus
from patter.telemetry import attributes as names
from patter.telemetry.scope import Scope, current_scope, entered, record_patter_attrs
from patter.telemetry.turn_spans import TurnSpans
from patter.telemetry.usage import usage_attributes

if TYPE_CHECKING:
    from patter.call.plan import Part
    from patter.call.types import CallFailure, CallSummary
    from patter.environment import Clock
    from patter.metrics.cost import BilledKind
    from patter.records import ProviderKind
    from patter.server.line import Line
    from patter.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

DataT = TypeVar("DataT")


class CallSpans:
    """Opens the call's span and follows the call to its end."""

    def __init__(self, tracing: Tracing, line: Line, clock: Clock) -> None:
        self._line = line
        self._call = call = line.call
        self._offset_s = clock.wall() - clock.monotonic()
        self._tracer = tracing.tracer
        self.models = tracing.models
        self.now = clock.monotonic
        self._scope = Scope(call.id, "uut", tracing.personal_data, tracing.tracer, tracing)
        first = {
            names.DIRECTION: call.direction,
            names.TELEPHONY_PROVIDER: call.telephony_provider,
            "patter.pii.caller": call.caller,
            "patter.pii.callee": call.callee,
        }
        with entered(self._scope):
            self._span = self._tracer.start_span(
                "patter.call", start_time=self._ns(self.now()), attributes=self._values(first)
            )
        self._context = set_span_in_context(self._span)
        turns = TurnSpans(self)
        for event, callback in turns.subscriptions().items():
            call.on(event, swallowing(callback))
        call.register(turns)
        call.on("failed", swallowing(self._failed))
        call.on("call_ended", swallowing(self._ended))
        call.events.inside = self.inside

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Make this call the current one, whoever's step it is in which something happens to it (OB-06)."""
        if current_scope() is self._scope:
            yield
            return
        with entered(self._scope), self._current_span():
            yield

    @contextmanager
    def _current_span(self) -> Iterator[None]:
        """Make the call's span the parent of spans that are begun in the body; without it if that cannot be done."""
        try:
            token = otel_context.attach(set_span_in_context(self._span))
        except Exception:
            logger.debug("call %s: its span cannot be made the current one", self._call.id, exc_info=True)
            yield
            return
        try:
            yield
        finally:
            otel_context.detach(token)

    # -- for the parts of the call

    def child(
        self,
        part: str,
        start: float,
        end: float,
        attributes: Mapping[str, object],
        *,
        error: bool = False,
    ) -> None:
        """A span ``patter.<part>`` that lasted from `start` to `end`, in s of the phone's clock."""
        span = self._tracer.start_span(
            f"patter.{part}",
            context=self._context,
            start_time=self._ns(start),
            attributes=self._values(attributes),
        )
        if error:
            span.set_status(StatusCode.ERROR)
        span.end(end_time=self._ns(max(start, end)))

    def provider(self, kind: ProviderKind) -> str:
        """The name of the provider of a kind in this call; "" for none."""
        part = self._part(kind)
        return "" if part is None else part.resolved.record.name

    def model(self, kind: ProviderKind) -> str:
        """The model it was asked for; "" where none was named."""
        part = self._part(kind)
        if part is None:
            return ""
        given = getattr(part.resolved.given, "model", "")
        return str(part.resolved.config_values.get("model") or given or "")

    @property
    def call_id(self) -> str:
        """Patter's id of the call."""
        return self._call.id

    def _part(self, kind: ProviderKind) -> Part | None:
        plan = self._line.plan
        return None if plan is None else plan.parts.get(kind)

    def _values(self, attributes: Mapping[str, object]) -> dict[str, names.Value]:
        scope = self._scope
        return {**scope.attributes, **names.allowed(attributes, personal_data=scope.personal_data)}

    def _ns(self, t: float) -> int:
        return int((t + self._offset_s) * 1e9)

    # -- the call as a whole

    def _failed(self, failure: CallFailure) -> None:
        # Not what it says: that may quote a caller or a vendor.
        what = {"kind": failure.kind, "error.type": type(failure.error).__name__}
        self._span.add_event("failed", what, timestamp=self._ns(self.now()))

    def _ended(self, summary: CallSummary) -> None:
        if summary.outcome is CallStatus.FAILED:
            self._span.set_status(StatusCode.ERROR)
        record_patter_attrs({names.OUTCOME: summary.outcome.value})
        told: set[str] = set()
        for used in usage_attributes(summary.cost.lines, self._providers(), summary.duration_s):
            if told.isdisjoint(used):
                record_patter_attrs(used)
            else:  # a second provider of a kind: its amounts stand beside its own name
                self.child("billable", self.now(), self.now(), used)
            told.update(used)

    def _providers(self) -> dict[BilledKind, str]:
        """Who took part in the call."""
        kinds: tuple[ProviderKind, ...] = ("stt", "tts", "llm", "realtime")
        found = {cast("BilledKind", kind): self.provider(kind) for kind in kinds}
        return {"carrier": self._call.telephony_provider, **found}

    def end(self) -> None:
        """The call is over, its hooks and its hang-up included."""
        try:
            self._span.end(end_time=self._ns(self.now()))
        except Exception:
            logger.debug("the span of call %s could not be ended", self._call.id, exc_info=True)


def swallowing(callback: Callable[[DataT], Any]) -> Callable[[DataT], None]:
    """The callback without its exceptions, which are told at DEBUG (OB-07)."""

    @functools.wraps(callback)
    def guarded(data: DataT) -> None:
        try:
            callback(data)
        except Exception:
            logger.debug("a span could not be made", exc_info=True)

    return guarded
