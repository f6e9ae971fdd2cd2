"""The scope of a call: which call the running code belongs to, and what it records there.

It is a context variable, so that every task started within a call belongs to it too. Without a scope nothing is
recorded, and nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patter.telemetry.attributes import CALL_ID, SIDE, allowed
from patter.telemetry.switch import is_on

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

#: the span that carries attributes recorded outside of any other
BILLABLE = "patter.billable"


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """One call as the code within it sees it.

    `tracer` makes its spans, the process's own when None; `owner` is the phone's side of tracing, None for a scope
    that an application opened by itself.
    """

    call_id: str
    side: str
    personal_data: bool = False
    tracer: Tracer | None = None
    owner: object = None

    @property
    def attributes(self) -> dict[str, str]:
        """What every span of the call carries."""
        return {CALL_ID: self.call_id, SIDE: self.side}


_current: ContextVar[Scope | None] = ContextVar("patter_call_scope", default=None)


def current_scope() -> Scope | None:
    """The scope of the running code; None outside of calls, and when OpenTelemetry is off."""
    return _current.get()


@contextmanager
def entered(scope: Scope) -> Iterator[None]:
    """Make `scope` the current one."""
    token = _current.set(scope)
    try:
        yield
    finally:
        # The body of a coroutine that nobody finished is closed in another context, which never had this scope.
        with suppress(ValueError):
            _current.reset(token)


@contextmanager
def patter_call_scope(call_id: str, side: str = "uut") -> Iterator[None]:
    """Have all that is recorded in the body, and in the tasks started there, carry this call's id and side (OB-03).

    A phone's calls have one already, for the whole of their media connection. Scopes nest; the one before is restored
    however the body ends. Does nothing while OpenTelemetry is off.

    Args:
        call_id: the value of ``patter.call_id``.
        side: the value of ``patter.side``; "uut" is the phone under observation, as against one that calls it in a
            test.
    """
    outer = _current.get()
    if outer is None and not is_on(os.environ):
        yield
        return
    with entered(Scope(call_id, side) if outer is None else replace(outer, call_id=call_id, side=side)):
        yield


def record_patter_attrs(attrs: Mapping[str, object]) -> None:
    """Set attributes on the active recording span; without one, a span ``patter.billable`` of no length has them (OB-02).

    Does nothing outside of a call scope, which is also the case while OpenTelemetry is off, and never raises. Values
    other than text, numbers and booleans are left out, and so are keys with a ``pii`` segment unless the phone's
    `trace_personal_data` is set.
    """
    scope = _current.get()
    if scope is None:
        return
    try:
        _record(scope, attrs)
    except Exception:
        logger.debug("attributes of call %s could not be recorded", scope.call_id, exc_info=True)


def _record(scope: Scope, attrs: Mapping[str, object]) -> None:
    from opentelemetry import trace

    values = {**scope.attributes, **allowed(attrs, personal_data=scope.personal_data)}
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(values)
        return
    tracer = scope.tracer or trace.get_tracer("patter")
    span = tracer.start_span(BILLABLE, attributes=values)
    # No length at all: it stands for a moment.
    span.end(end_time=getattr(span, "start_time", None))
