"""A phone's side of traces: nothing while they are off."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from patter.telemetry.switch import ENABLED, is_on, is_wanted

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from patter.client import Patter
    from patter.environment import Clock
    from patter.server.line import Line
    from patter.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

#: how long a phone that disconnects waits for exporters, in s
FLUSH_S = 2.0


class Telemetry:
    """The traces of one phone's calls. Raises `ConfigError` when an endpoint is set that cannot be exported to."""

    def __init__(self, environ: Mapping[str, str], clock: Clock, *, personal_data: bool) -> None:
        self._tracing: Tracing | None = None
        if not is_on(environ):
            if is_wanted(environ):
                logger.info(
                    "%s is set, but opentelemetry-sdk is not installed: there are no traces", ENABLED.name
                )
            return
        # Here and not in a call, in which nothing is imported.
        from patter.telemetry.tracing import Tracing

        self._tracing = Tracing(environ, clock, personal_data=personal_data)

    @property
    def is_on(self) -> bool:
        """Whether traces are made."""
        return self._tracing is not None

    def call_scope(self, line: Line) -> AbstractContextManager[None]:
        """The scope and the spans of one call, to be entered while its media connection is carried."""
        return nullcontext() if self._tracing is None else self._tracing.call_scope(line)

    def attach(self, exporter: SpanExporter, side: str) -> None:
        """See `attach_span_exporter`."""
        if self._tracing is not None:
            self._tracing.attach(exporter, side)

    async def close(self) -> None:
        """Hand what waits to the exporters, for at most 2 s. They are used again when the phone serves again."""
        if self._tracing is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._tracing.close, FLUSH_S)
        except Exception:
            logger.debug("what waits for exporters was given up", exc_info=True)


def attach_span_exporter(patter: Patter, exporter: SpanExporter, side: str = "uut") -> None:
    """Export the spans of a phone's calls, each with `side` as its ``patter.side`` (OB-04).

    Attaching an exporter a second time changes nothing. It is used in a thread of its own, so it may block; what it raises is
    logged at DEBUG. Whoever attached it shuts it down. Does nothing while OpenTelemetry is off.
    """
    try:
        patter.telemetry.attach(exporter, side)
    except Exception:
        logger.debug("an exporter could not be attached", exc_info=True)
