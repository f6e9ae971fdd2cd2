"""Look after the distributions of this repository: ``python tests/packaging/packages.py wheels|check|fix|new NAME``.

- ``wheels``: build what changed into ``dist/`` and write ``dist/constraints.txt``;
- ``check``: what should be the same everywhere is the same everywhere; exit 1 and a list if not;
- ``fix``: write the common parts, from the table in the root pyproject.toml, into the files that repeat them;
- ``new NAME``: the files of a new plugin (``new NAME --contrib`` for what is no provider).

Standard library alone: tox runs it in environments in which nothing is installed yet.
"""

from __future__ import annotations

import argparse
import sys
import time

import agreement
import catalogue
import new_plugin
import wheels


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="packages.py", description=__doc__.splitlines()[0] if __doc__ else None
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("wheels", help="build what changed into dist/")
    commands.add_parser("check", help="compare what is repeated with the table")
    commands.add_parser("fix", help="rewrite what is repeated from the table")
    new = commands.add_parser("new", help="make the files of a new plugin")
    new.add_argument("name", help="the plugin's name, such as min-words")
    new.add_argument("--contrib", action="store_true", help="put it into contrib/ instead of plugins/")
    options = parser.parse_args(arguments)
    if options.command == "wheels":
        return _wheels()
    if options.command == "check":
        return _check()
    if options.command == "fix":
        for file in agreement.fix(catalogue.load()):
            print(f"wrote {file}")
        return 0
    return _new(options.name, contrib=options.contrib)


def _wheels() -> int:
    packages = catalogue.load()
    for package in packages.packages:
        if package.missing():
            print(f"skipped {package.folder}, which lacks {', '.join(package.missing())}", file=sys.stderr)
    started = time.perf_counter()
    try:
        built = wheels.build(packages)
    except wheels.BuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"wheels: {len(built)} built in {time.perf_counter() - started:.1f} s")
    return 0


def _check() -> int:
    problems = agreement.check(catalogue.load())
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def _new(name: str, *, contrib: bool) -> int:
    try:
        files = new_plugin.create(catalogue.ROOT, name, contrib=contrib)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    agreement.fix(catalogue.load())
    for file in files:
        print(f"wrote {file}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
