"""What is installed: the only module that reads the metadata of distributions, and only when asked."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

CORE_DISTRIBUTION = "patter-core"
GROUP = "patter"


@dataclass(frozen=True, slots=True)
class FoundPlugin:
    """One entry point of the group `patter`. `load` imports it and returns the plugin."""

    name: str
    dist: str
    version: str
    load: Callable[[], object]


def own_version() -> str:
    """The version of the installed core; "0+source" when it runs from a source tree that is not installed."""
    import importlib_metadata

    try:
        return importlib_metadata.version(CORE_DISTRIBUTION)
    except importlib_metadata.PackageNotFoundError:
        return "0+source"


def entry_points() -> tuple[FoundPlugin, ...]:
    """The installed plugins, sorted by distribution and name; importing none of them.

    The scan (3 to 9 ms) is made once per process for a given `sys.path`.
    """
    return _scan(tuple(sys.path))


@lru_cache(maxsize=8)
def _scan(path: tuple[str, ...]) -> tuple[FoundPlugin, ...]:
    # `path` is the key of the cache alone: importlib_metadata reads sys.path itself.
    import importlib_metadata

    found = []
    for entry in importlib_metadata.entry_points(group=GROUP):
        dist = entry.dist
        try:
            name, version = (dist.name, dist.version) if dist is not None else ("unknown", "")
        except Exception:  # a half-removed distribution has entry points but no metadata
            name, version = "unknown", ""
        found.append(FoundPlugin(entry.name, name or "unknown", version or "", entry.load))
    return tuple(sorted(found, key=lambda plugin: (normalized(plugin.dist), plugin.name)))


def normalized(dist: str) -> str:
    """A distribution's name as indexes compare it, so that `Patter_X` is `patter-x`."""
    return re.sub(r"[-_.]+", "-", dist).lower()
