"""``patter providers``: the carriers, recognisers, voices, models and so on that can be used here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields

from patter.cli.frame import manager_of
from patter.cli.output import print_json, print_table
from patter.plugins import PluginManager
from patter.plugins.registry import Claim, NameConflict
from patter.records import PROVIDER_KINDS, ProviderKind, Record

HELP = "List the providers that plugins offer."

_COMMON = {field.name for field in fields(Record)}


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A provider name; `record` is None where two plugins claim it."""

    kind: ProviderKind
    name: str
    dists: tuple[str, ...]
    record: Record | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "kind", nargs="?", choices=PROVIDER_KINDS, metavar="KIND", help=", ".join(PROVIDER_KINDS)
    )
    parser.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    kinds: tuple[ProviderKind, ...] = (arguments.kind,) if arguments.kind else PROVIDER_KINDS
    rows = [row for kind in kinds for row in provider_rows(manager_of(arguments), kind)]
    if arguments.json:
        print_json([_as_json(row) for row in rows])
    elif not rows:
        print(
            f"No {arguments.kind or 'providers'} installed. `patter doctor --stt NAME` says what to install."
        )
    else:
        print_table(
            ("kind", "provider", "distribution", "environment", "description"),
            [
                (row.kind, row.name, " and ".join(row.dists), _variables(row), _description(row))
                for row in rows
            ],
        )
    return 0


def provider_rows(manager: PluginManager, kind: ProviderKind) -> Iterator[ProviderRow]:
    """The provider names of a kind, without aliases, conflicts included."""
    for name in manager.names(kind):
        found = manager.find(kind, name)
        if isinstance(found, NameConflict):
            yield ProviderRow(kind, name, tuple(owner.dist or owner.name for owner in found.owners), None)
        elif isinstance(found, Claim) and found.record.name == name:
            yield ProviderRow(kind, name, (found.owner.dist or found.owner.name,), found.record)


def _variables(row: ProviderRow) -> str:
    return " ".join(sorted(row.record.env.values())) if row.record else ""


def _description(row: ProviderRow) -> str:
    return row.record.description if row.record else "conflict: see patter doctor"


def _as_json(row: ProviderRow) -> dict[str, object]:
    shown: dict[str, object] = {
        "kind": row.kind,
        "name": row.name,
        "status": "ok" if row.record else "conflict",
        "dists": list(row.dists),
    }
    if row.record:
        shown["aliases"] = list(row.record.aliases)
        shown["description"] = row.record.description
        shown["env"] = dict(row.record.env)
        shown["capabilities"] = _capabilities(row.record)
    return shown


def _capabilities(record: Record) -> dict[str, object]:
    """The flags of a record: what its kind has beside the fields of every record."""
    values = {one.name: getattr(record, one.name) for one in fields(record) if one.name not in _COMMON}
    return {
        name: value for name, value in values.items() if isinstance(value, (bool, int, float, str, tuple))
    }
