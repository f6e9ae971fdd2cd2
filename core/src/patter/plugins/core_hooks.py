"""Core's own implementations of the phone's hooks; they come last, so that any plugin may answer first."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from patter.markers import hookimpl

if TYPE_CHECKING:
    from patter.plugins.manager import PluginManager
    from patter.providers.context import ProviderContext
    from patter.records import ProviderKind, Record

#: the surroundings of the provider that is being built; `patter_build` cannot carry them, for a hook's arguments are
#: what plugins see
build_context: ContextVar[ProviderContext] = ContextVar("build_context")


class CoreHooks:
    """Registered by each manager under a name of its own."""

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager

    @hookimpl(trylast=True)
    def patter_resolve(self, kind: ProviderKind, ref: object) -> Record:
        """The registered record of that name, or a record for the object given."""
        from patter.plugins.resolving import find_record

        return find_record(self._manager, kind, ref)

    @hookimpl(trylast=True)
    def patter_build(self, record: Record, config: object) -> object:
        """Call the record's factory."""
        from patter.plugins.building import call_factory

        return call_factory(record, config, build_context.get())
