"""The carriers of a phone, made from what the application named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from patter.plugins import PluginManager, build
from patter.server.line import Trunk

if TYPE_CHECKING:
    from patter.call.plan import Planner
    from patter.providers.carrier import Carrier
    from patter.providers.context import ProviderContext
    from patter.records import CarrierRecord


def make_trunks(
    manager: PluginManager, planner: Planner, context: ProviderContext, named: Any
) -> Iterator[Trunk]:
    """The carriers behind a reference, record or object, or behind a sequence of them. Raises `ConfigError`."""
    single = isinstance(named, str) or not isinstance(named, Sequence)
    for reference in [named] if single else named:
        part = planner.part("carrier", reference)
        carrier = build(manager, part.resolved, context, sources=part.sources)
        yield Trunk(cast("CarrierRecord", part.resolved.record), cast("Carrier", carrier))
