"""The protocol trace of an engine's protected greeting: what was sent, and what came back (RT-14). Off by default."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

logger = logging.getLogger(__name__)

TraceStep = Literal[
    "protection_sent",
    "greeting_requested",
    "turn_detection",
    "speech_started_while_protected",
    "cancelled",
    "restore_sent",
]


@dataclass(frozen=True, slots=True)
class ProtocolTrace:
    """One step. `t_ms` is of the call's monotonic clock; `values` are the vendor's words, where it has any."""

    call_id: str
    t_ms: float
    step: TraceStep
    values: Mapping[str, Any] = field(default_factory=dict)


class Tracer:
    """Tells the steps of one call; does nothing where the trace is off."""

    def __init__(
        self, call_id: str, now: Callable[[], float], emit: Callable[[str, Any], None] | None
    ) -> None:
        self._call_id = call_id
        self._now = now
        self._emit = emit

    def __call__(self, step: TraceStep, values: Mapping[str, Any] | None = None) -> None:
        """A step was taken."""
        if self._emit is None:
            return
        trace = ProtocolTrace(self._call_id, self._now() * 1000, step, dict(values or {}))
        logger.info(
            "[REALTIME] %s %.0f ms %s %s",
            trace.call_id,
            trace.t_ms,
            step,
            json.dumps(trace.values, default=str),
        )
        self._emit("protocol_trace", trace)
