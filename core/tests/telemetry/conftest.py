"""Phones whose calls are traced, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from patter import Patter
from patter.environment import Environment
from patter.plugins import PluginManager
from patter.testing import fake_plugin
from patter.testing.virtual_loop import VirtualClock

MakePhone = Callable[..., Patter]


@pytest.fixture
def make_phone(patter_loop: Any) -> Iterator[MakePhone]:
    """Makes phones with the fakes; `otel` is what PATTER_OTEL_ENABLED says, and further variables may be given."""
    phones: list[Patter] = []

    def make(otel: str = "1", variables: dict[str, str] | None = None, **options: Any) -> Patter:
        environ = {"PATTER_OTEL_ENABLED": otel, **(variables or {})}
        manager = PluginManager([fake_plugin], autoload=False, strict=True, environ=environ)
        environment = Environment.seeded(len(phones), VirtualClock(patter_loop))
        settings = {"carrier": "fake", "phone_number": "+15550001234", **options}
        phones.append(Patter(manager=manager, environment=environment, **settings))
        return phones[-1]

    yield make
    for phone in phones:
        patter_loop.run_until_complete(phone.disconnect())


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone that disconnects waits for its exporters however busy the machine is."""
    monkeypatch.setattr("patter.telemetry.phone.FLUSH_S", 60.0)


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    """What was exported."""
    return InMemorySpanExporter()
