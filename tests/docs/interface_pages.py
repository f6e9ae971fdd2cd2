"""The page about what providers implement and use: the interfaces, and core's pieces for the plugins behind them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from code_pages import described, heading
from markup import first_paragraph, prose

import patter.providers
import patter.simulators
from patter import net
from patter.audio import formats
from patter.plugins import vendor_fields
from patter.plugins.configuration import ProviderConfig

#: what has no docstring of its own, being a type
FIELDS = {
    "BaseUrl": "An `http(s)://` address without user, password, query or fragment, to which a path is added.",
    "ApiKey": "A key that travels in a header: a `SecretStr` of printable ASCII, without spaces around it.",
}
#: the kinds of providers, in the order in which a call meets them
KINDS = ("carrier", "noise_filter", "vad", "stt", "llm", "tts", "realtime", "barge_in")


def interfaces() -> str:
    """docs/reference/interfaces.md."""
    parts = [
        "# Interfaces of providers",
        (
            "What the class behind a [record](api.md) implements, kind by kind, and what core has for those who write "
            "one. [Write a provider](../plugin-authors/write-a-voice.md) shows it in use."
        ),
    ]
    for module in [*kinds(), *shared()]:
        parts += [f"## {module.__name__}", first_paragraph(module.__doc__), *_names(module)]
    parts += [
        "## patter.plugins.configuration",
        f"### `{ProviderConfig.__name__}`",
        prose(ProviderConfig.__doc__),
    ]
    parts += [
        "## patter.plugins.vendor_fields",
        first_paragraph(vendor_fields.__doc__),
        *_names(vendor_fields),
    ]
    parts += [f"### `{name}`\n\n{what}" for name, what in FIELDS.items()]
    return "\n\n".join(parts)


def kinds() -> list[ModuleType]:
    """The modules of the eight interfaces."""
    return [importlib.import_module(f"patter.providers.{kind}") for kind in KINDS]


def shared() -> list[ModuleType]:
    """The modules that serve plugins of several kinds."""
    return [*_modules(patter.providers, *KINDS), formats, net, *_modules(patter.simulators)]


def _modules(package: ModuleType, *without: str) -> Iterator[ModuleType]:
    for found in pkgutil.iter_modules(package.__path__):
        if found.name not in without:
            yield importlib.import_module(f"{package.__name__}.{found.name}")


def public(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The classes and functions that a module defines for others, in their order."""
    for name, value in vars(module).items():
        own = getattr(value, "__module__", None) == module.__name__
        if own and not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value)):
            yield name, value


def _names(module: ModuleType) -> Iterator[str]:
    for name, value in public(module):
        title = name if inspect.isclass(value) else heading(name, value)
        yield f"### `{title}`\n\n{described(value)}"
