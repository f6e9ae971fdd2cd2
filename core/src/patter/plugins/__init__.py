"""The plugin system: discovery with isolation, provider references and configurations, scopes and async hooks.

The names below are the public surface of this room; each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.lazy_exports import lazy_exports

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
    "ConfigSources": "patter.plugins.configuration",
    "HookDispatcher": "patter.plugins.dispatcher",
    "HookFailure": "patter.plugins.dispatcher",
    "Muted": "patter.plugins.muting",
    "Muting": "patter.plugins.muting",
    "PluginFailure": "patter.plugins.listing",
    "PluginManager": "patter.plugins.manager",
    "PluginRow": "patter.plugins.listing",
    "PluginSettings": "patter.plugins.settings",
    "ProviderConfig": "patter.plugins.configuration",
    "Reference": "patter.plugins.references",
    "ResolvedProvider": "patter.plugins.resolving",
    "Scope": "patter.plugins.scopes",
    "SharedObjectPool": "patter.plugins.building",
    "build": "patter.plugins.building",
    "configure": "patter.plugins.building",
    "import_attribute": "patter.plugins.building",
    "load_config": "patter.plugins.configuration",
    "parse_reference": "patter.plugins.references",
    "resolve": "patter.plugins.resolving",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - sorted from the table of lazy names

if not TYPE_CHECKING:  # so that a type checker still knows a wrong name
    __getattr__, __dir__ = lazy_exports(__name__, _HOMES)
