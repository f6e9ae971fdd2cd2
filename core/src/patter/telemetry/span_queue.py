"""The way of spans to an exporter: a bounded queue, and a thread of its own that nobody waits for (OB-07)."""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from patter.telemetry.attributes import SIDE
from patter.telemetry.scope import current_scope

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

#: spans that wait for a slow exporter; further ones are dropped
MOST_WAITING: Final = 4096
#: spans given to an exporter at a time
BATCH: Final = 512
#: spans are collected for this long, in s
COLLECT_S: Final = 1.0


class SpanQueue(SpanProcessor):
    """Takes the spans of one phone's calls to one exporter.

    An exporter that raises loses that batch, one that blocks loses what does not fit in the queue; both are told at
    DEBUG and neither is noticed by who ends a span.

    Args:
        owner: whose calls; spans of other phones that share a tracer provider are left alone.
        side: the value of ``patter.side`` on what is exported.
        make: called in the thread, once it has something to export.
        owned: whether the exporter is shut down with the thread. One that the application gave is its own.
    """

    def __init__(
        self, owner: object, side: str, make: Callable[[], SpanExporter], *, owned: bool = False
    ) -> None:
        self._owner = owner
        self._side = side
        self._make = make
        self._owned = owned
        self._started: weakref.WeakValueDictionary[int, Span] = weakref.WeakValueDictionary()
        self._waiting: deque[ReadableSpan] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._hurry = False
        self._exporting = False

    # -- called by whoever traces; never waits

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note a span of this phone's calls and say on it which call that is."""
        scope = current_scope()
        if scope is None or scope.owner is not self._owner:
            return
        context = span.get_span_context()
        if context is not None:
            span.set_attributes(scope.attributes)
            self._started[context.span_id] = span

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span."""
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        if self._started.pop(context.span_id, None) is None:
            return
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                logger.debug("a span was dropped: the exporter does not keep up")
                return
            self._waiting.append(span)
            if self._thread is None:
                self._start_thread()
            if len(self._waiting) == 1 or len(self._waiting) >= BATCH:
                self._changed.notify_all()

    def _start_thread(self) -> None:
        self._hurry = False
        self._thread = threading.Thread(target=self._run, name="patter spans", daemon=True)
        self._thread.start()

    # -- waiting, for those who may

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until all that is queued was given to the exporter; False if that took longer than the time-out."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            return self._changed.wait_for(self._is_idle, timeout_millis / 1000)

    def _is_idle(self) -> bool:
        return not self._waiting and not self._exporting

    def shutdown(self) -> None:
        """Export what is queued, for at most 2 s, and end the thread; it starts again with the next span."""
        self.close(2.0)

    def close(self, within_s: float) -> bool:
        """As `shutdown`, for at most that long; False if an exporter kept it from being done."""
        done = self.force_flush(int(within_s * 1000))
        with self._changed:
            self._thread = None
            self._changed.notify_all()
        return done

    # -- in the thread

    def _run(self) -> None:
        me = threading.current_thread()
        exporter: SpanExporter | None = None
        while (spans := self._next(me)) is not None:
            try:
                exporter = exporter or self._make()
                exporter.export([self._stamped(span) for span in spans])
            except Exception:
                logger.debug("an exporter failed; %d spans are lost", len(spans), exc_info=True)
            finally:
                with self._changed:
                    self._exporting = False
                    self._changed.notify_all()
        if exporter is not None and self._owned:
            try:
                exporter.shutdown()
            except Exception:
                logger.debug("an exporter could not be shut down", exc_info=True)

    def _next(self, me: threading.Thread) -> list[ReadableSpan] | None:
        """The next batch; None when the thread is not wanted any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._thread is not me)
            if self._thread is not me:
                return None
            self._changed.wait_for(self._is_due, COLLECT_S)
            if self._thread is not me:
                return None
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._hurry = self._hurry and bool(self._waiting)
            self._exporting = True
            return batch

    def _is_due(self) -> bool:
        return self._hurry or len(self._waiting) >= BATCH or self._thread is not threading.current_thread()

    def _stamped(self, span: ReadableSpan) -> ReadableSpan:
        """The span, with this exporter's side."""
        attributes = dict(span.attributes or {})
        if attributes.get(SIDE) == self._side:
            return span
        return ReadableSpan(
            name=span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes={**attributes, SIDE: self._side},
            events=span.events,
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
