"""``patter plugins``: what is installed, and what is wrong with what."""

from __future__ import annotations

import argparse
from difflib import get_close_matches

from patter.cli.frame import manager_of
from patter.cli.output import print_json, print_table
from patter.errors import ConfigError
from patter.plugins import PluginManager, PluginRow

HELP = "List the installed plugins, and what is wrong with which."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--all", action="store_true", help="core's own as well")
    parser.add_argument("--hook", metavar="HOOK", help="only plugins that implement this hook")
    parser.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Print the list; 0 even when a plugin has failed, for ``patter doctor`` is who judges."""
    manager = manager_of(arguments)
    rows = [row for row in manager.plugins() if arguments.all or not row.builtin]
    if arguments.hook is not None:
        _check_hook(manager, arguments.hook)
        rows = [row for row in rows if arguments.hook in row.hooks]
    if arguments.json:
        print_json([_as_json(row) for row in rows])
    elif not rows:
        print("No plugins" + (f" implement {arguments.hook}." if arguments.hook else " are installed."))
    else:
        _print(rows)
    return 0


def _check_hook(manager: PluginManager, hook: str) -> None:
    known = sorted(vars(manager.hook))
    if hook not in known:
        near = get_close_matches(hook, known, n=3)
        raise ConfigError(
            f"there is no hook {hook!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")
        )


def _as_json(row: PluginRow) -> dict[str, object]:
    return {
        "name": row.name,
        "dist": row.dist,
        "version": row.version,
        "status": row.status,
        "hooks": list(row.hooks),
        "env": list(row.env),
        "problem": row.problem or None,
    }


def _print(rows: list[PluginRow]) -> None:
    print_table(
        ("plugin", "distribution", "version", "status", "environment", "hooks"),
        [
            (
                row.name,
                row.dist,
                row.version,
                row.status,
                " ".join(row.env),
                " ".join(row.hooks).replace("patter_", ""),
            )
            for row in rows
        ],
    )
    for row in rows:
        if row.problem:
            print(f"\n{row.name} ({row.dist}): {row.problem}")
