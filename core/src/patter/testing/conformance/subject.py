"""The provider under test, made as core makes it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from patter.audio.formats import MULAW_8K
from patter.environment import Environment
from patter.plugins import ConfigSources, PluginManager, SharedObjectPool, build, configure, resolve
from patter.plugins.core_hooks import build_context
from patter.plugins.resolving import is_config
from patter.providers.context import ProviderContext
from patter.records import ProviderKind, Record
from patter.testing.conformance.settings_read import recording

#: a server for a provider, as a function that makes a context manager of the settings that lead to it
Server = Callable[[], AbstractAsyncContextManager[Mapping[str, Any]]]


@asynccontextmanager
async def no_server() -> AsyncIterator[Mapping[str, Any]]:
    """For providers that need none: no settings."""
    yield {}


class Subject:
    """Makes fresh objects of one provider, which share what calls of one phone share."""

    def __init__(
        self,
        kind: ProviderKind,
        spec: str,
        plugins: Sequence[object] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.manager = PluginManager(plugins)
        self.resolved = resolve(self.manager, kind, spec)
        self.shared = SharedObjectPool()
        self._environment = Environment()
        self._sources = ConfigSources(explicit=dict(settings or {}))
        self._made = 0

    @property
    def record(self) -> Record:
        """Its record."""
        return self.resolved.record

    def make(self) -> Any:
        """A fresh object, as for a call of its own on a µ-law line."""
        self._made += 1
        context = ProviderContext(self._environment, self.shared, f"call_{self._made}", MULAW_8K)
        return build(self.manager, self.resolved, context, sources=self._sources)

    def make_recorded(self, read: set[str]) -> Any:
        """The same, with a configuration that notes in `read` which settings the provider takes."""
        build_context.set(ProviderContext(self._environment, self.shared, "call_recorded", MULAW_8K))
        config = configure(self.manager, self.resolved, self._sources)
        assert is_config(config)
        return self.manager.hook.patter_build(record=self.record, config=recording(config, read), call=None)

    async def close(self) -> None:
        """Close what the objects shared."""
        await self.shared.close()


async def closed(provider: Any) -> None:
    """Close a provider, plain or asynchronous. Raises `TimeoutError` after 1 s (LC-09)."""
    async with asyncio.timeout(1.0):
        closing = provider.close()
        if closing is not None:
            await closing


def open_sockets() -> frozenset[str]:
    """The sockets that this process has open, by their inodes; empty where the system does not tell.

    Compare what is there afterwards with what was there before: a socket that something else left may be collected in
    between.
    """
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return frozenset()
    links = []
    for name in names:
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the one that listed the folder
            continue
    return frozenset(link for link in links if link.startswith("socket:"))
