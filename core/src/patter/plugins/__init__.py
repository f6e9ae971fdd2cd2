"""The plugin system: discovery with isolation, provider references and configurations, scopes and async hooks.

The names below are the public surface of this room; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patter.plugins.building import SharedObjectPool as SharedObjectPool
    from patter.plugins.building import build as build
    from patter.plugins.building import configure as configure
    from patter.plugins.building import import_attribute as import_attribute
    from patter.plugins.configuration import ConfigSources as ConfigSources
    from patter.plugins.configuration import ProviderConfig as ProviderConfig
    from patter.plugins.configuration import load_config as load_config
    from patter.plugins.dispatcher import HookDispatcher as HookDispatcher
    from patter.plugins.dispatcher import HookFailure as HookFailure
    from patter.plugins.listing import PluginFailure as PluginFailure
    from patter.plugins.listing import PluginRow as PluginRow
    from patter.plugins.manager import PluginManager as PluginManager
    from patter.plugins.muting import Muted as Muted
    from patter.plugins.muting import Muting as Muting
    from patter.plugins.references import Reference as Reference
    from patter.plugins.references import parse_reference as parse_reference
    from patter.plugins.resolving import ResolvedProvider as ResolvedProvider
    from patter.plugins.resolving import resolve as resolve
    from patter.plugins.scopes import Scope as Scope
    from patter.plugins.settings import PluginSettings as PluginSettings

_HOMES = {
    "ConfigSources": "configuration",
    "HookDispatcher": "dispatcher",
    "HookFailure": "dispatcher",
    "Muted": "muting",
    "Muting": "muting",
    "PluginFailure": "listing",
    "PluginManager": "manager",
    "PluginRow": "listing",
    "PluginSettings": "settings",
    "ProviderConfig": "configuration",
    "Reference": "references",
    "ResolvedProvider": "resolving",
    "Scope": "scopes",
    "SharedObjectPool": "building",
    "build": "building",
    "configure": "building",
    "import_attribute": "building",
    "load_config": "configuration",
    "parse_reference": "references",
    "resolve": "resolving",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - sorted from the table of lazy names


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'patter.plugins' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"patter.plugins.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
