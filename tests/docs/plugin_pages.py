"""The pages that need the plugins of this repository: commands, environment variables, providers."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from markup import code, first_paragraph, table, type_name
from pydantic_core import PydanticUndefined

from patter.agent import Agent
from patter.cli.frame import build_parser
from patter.options import rows
from patter.phone_settings import CONFIG_VARIABLE, PhoneSettings
from patter.plugins import PluginManager, import_attribute
from patter.plugins.known import TITLES
from patter.plugins.settings import VARIABLES
from patter.records import PROVIDER_KINDS, Record
from patter.telemetry import switch

sys.path.append(str(Path(__file__).resolve().parents[1] / "packaging"))

import catalogue

#: width of the help texts, in characters
COLUMNS = "100"


@lru_cache(maxsize=1)
def manager() -> PluginManager:
    """A plugin manager with every plugin of this repository and no other, installed or not."""
    made = PluginManager(autoload=False, environ={})
    for package in catalogue.load().packages:
        if not package.is_core and (package.source / "__init__.py").is_file():
            sys.path.append(str(package.source.parent))
            made.register(importlib.import_module(package.module), package.name)
    return made


def records() -> Iterator[tuple[Record, catalogue.Package]]:
    """The records of our plugins, by kind and name, each with its distribution."""
    by_module = {package.module: package for package in catalogue.load().packages}
    for kind in PROVIDER_KINDS:
        for name, record in sorted(manager().records(kind).items()):
            factory = record.factory
            module = factory.partition(":")[0] if isinstance(factory, str) else factory.__module__
            package = by_module[module.partition(".")[0]]
            if name == record.name:
                yield record, package


# -- commands


def cli() -> str:
    """docs/reference/cli.md."""
    parts = [
        "# Commands",
        (
            "`python -m patter` is the same as `patter`. A command exits with 0 when it did what it was asked for, 2 when it "
            "could not start, 130 after Ctrl-C; what else a code means, the command says."
        ),
        "## patter\n\n" + _help([]),
    ]
    parts += [f"## patter {name}\n\n{_help([name])}" for name in commands()]
    return "\n\n".join(parts)


def commands() -> list[str]:
    """Every command, those of plugins included."""
    _, _, listed = _help([]).partition("commands:")
    return re.findall(r"^    ([a-z][\w-]*)(?:\s|$)", listed.partition("\nexamples")[0], re.MULTILINE)


def _help(words: list[str]) -> str:
    with mock.patch.dict(os.environ, {"COLUMNS": COLUMNS, "NO_COLOR": "1"}):
        parser = build_parser(manager())
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            parser.parse_args([*words, "--help"], argparse.Namespace())
    return f"```text\n{said.getvalue().strip()}\n```"


# -- environment


def environment() -> str:
    """docs/reference/environment.md."""
    core = [(code(one.name), one.default, one.help) for one in VARIABLES]
    core.append((code(CONFIG_VARIABLE), "", "The settings file."))
    options = [
        (code(row.variable), code(row.key), row.help)
        for row in (*rows(Agent, "agent"), *rows(PhoneSettings, "phone"))
        if row.variable
    ]
    options.insert(0, (code("PATTER_CARRIER"), code("phone.carrier"), "The carrier, such as twilio."))
    providers = [
        (code(variable), f"{TITLES[record.kind]} `{record.name}`", code(field), package.dist)
        for record, package in records()
        for field, variable in record.env.items()
    ]
    others = [
        (code(one.name), one.default, one.help, package.dist)
        for package in catalogue.load().packages
        if not package.is_core
        for one in getattr(importlib.import_module(package.module), "VARIABLES", ())
    ]
    return "\n\n".join(
        [
            "# Environment variables",
            "A variable is read when neither code nor `patter.toml` says otherwise.",
            "## Options",
            table(("variable", "same as", "what"), sorted(options)),
            "## Plugins and files",
            table(("variable", "default", "what"), sorted(core)),
            "## Traces",
            table(
                ("variable", "default", "what"),
                [(code(one.name), one.default, one.help) for one in switch.VARIABLES],
            ),
            "## Providers",
            (
                "A provider that needs one that is not set says so when it is resolved; `patter doctor` shows which are set, "
                "never their values."
            ),
            table(("variable", "read by", "setting", "distribution"), sorted(providers)),
            "## Other plugins",
            table(("variable", "default", "what", "distribution"), sorted(others)),
        ]
    )


# -- providers


def providers() -> str:
    """docs/reference/providers.md."""
    parts = [
        "# Providers",
        (
            "What the distributions of this repository offer. A provider is named by a reference, "
            '`provider[/model][?setting=value&...]`, in the option of its kind: `Agent(stt="moonshine")`. Its settings may '
            "also stand in `patter.toml`, in a table such as `[stt.moonshine]`; keys and tokens come from the environment or "
            "the file and are refused in a reference. `patter providers` lists what is installed where you are."
        ),
    ]
    kind = ""
    for record, package in records():
        if record.kind != kind:
            kind = record.kind
            parts.append(f"## {TITLES[record.kind]}")
        parts += list(_provider(record, package))
    return "\n\n".join(parts)


def _provider(record: Record, package: catalogue.Package) -> Iterator[str]:
    yield f"### `{record.name}`"
    yield f"{record.description or first_paragraph(_factory(record).__doc__)}. In `{package.dist}` ({package.license})."
    flags = _flags(record)
    if flags:
        yield "Says of itself: " + ", ".join(flags) + "."
    settings = list(_settings(record))
    if settings:
        yield table(("setting", "type", "default", "variable", "what"), settings)


def _factory(record: Record) -> Any:
    return import_attribute(record.factory) if isinstance(record.factory, str) else record.factory


def _flags(record: Record) -> list[str]:
    common = {
        "name",
        "factory",
        "config",
        "env",
        "aliases",
        "description",
        "phone_preset",
        "simulator",
        "kind",
    }
    names = [name for name in record.__dataclass_fields__ if name not in common]
    names = [name for name in names if getattr(record, name) not in (False, (), None)]
    return [
        f"`{name}`" if getattr(record, name) is True else f"`{name}={getattr(record, name)!r}`"
        for name in names
    ]


def _settings(record: Record) -> Iterator[tuple[str, str, str, str, str]]:
    if record.config is not None:
        model = import_attribute(record.config) if isinstance(record.config, str) else record.config
        for name, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            shown = "required" if default is PydanticUndefined else code(repr(default))
            hint = inspect.formatannotation(field.annotation)
            yield (
                code(name),
                code(type_name(hint)),
                shown,
                code(record.env.get(name, "")),
                field.description or "",
            )
        return
    for one in inspect.signature(_factory(record)).parameters.values():
        if one.default is not one.empty:
            yield code(one.name), code(type_name(str(one.annotation))), code(repr(one.default)), "", ""
