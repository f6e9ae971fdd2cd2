"""The ledger of behaviours against the tests: ``python tests/packaging/behaviours.py check|open``.

- ``check``: every row has a test or stands in tests/behaviours-open.txt, and no id is unknown; exit 1 and a list if not;
- ``open``: take the rows that have a test by now out of tests/behaviours-open.txt. It never adds one.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from catalogue import ROOT

LEDGER = Path("docs/reference/behaviours.md")
OPEN = Path("tests/behaviours-open.txt")
# The conformance kit ships in core; its checks run in every plugin that subclasses them.
TESTS = ("core/tests", "core/src/patter/testing", "plugins/*/tests", "contrib/*/tests", "tests")
HEADER = """\
# Rows of docs/reference/behaviours.md that no test proves yet, one id a line.
# This list may only shrink: `python tests/packaging/behaviours.py open` takes out what has a test by now.
"""


@dataclass(frozen=True)
class Mark:
    """One id that a test carries, and where; a test that is expected to fail, or never runs, proves nothing."""

    id: str
    place: str
    proves: bool


def ledger_ids(root: Path = ROOT) -> list[str]:
    """The ids of the rows that hold, in the order of the ledger; a row struck through whole is not among them."""
    rows = (root / LEDGER).read_text(encoding="utf-8")
    return re.findall(r"^\| ([A-Z]{2}-\d+) \|", rows, re.MULTILINE)


def open_ids(root: Path = ROOT) -> list[str]:
    """The ids in tests/behaviours-open.txt; empty without the file."""
    path = root / OPEN
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def marks(root: Path = ROOT) -> Iterator[Mark]:
    """Every `@pytest.mark.behaviour(...)` in the tests of the repository.

    Raises:
        ValueError: an argument is no literal string.
    """
    folders = (folder for pattern in TESTS for folder in sorted(root.glob(pattern)))
    for file in (file for folder in folders for file in sorted(folder.rglob("*.py"))):
        tree = ast.parse(file.read_text(encoding="utf-8"), file.name)
        idle = _idle_decorators(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.behaviour"):
                yield from _marks_of(node, file.relative_to(root), proves=id(node) not in idle)


def _idle_decorators(tree: ast.AST) -> set[int]:
    """The identities of all decorators beside an ``xfail`` or an unconditional ``skip``."""
    idle = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = {
                ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in node.decorator_list
            }
            if names & {"pytest.mark.xfail", "pytest.mark.skip"}:
                idle |= {id(one) for one in node.decorator_list}
    return idle


def _marks_of(call: ast.Call, file: Path, *, proves: bool) -> Iterator[Mark]:
    place = f"{file}:{call.lineno}"
    for argument in call.args:
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
            raise ValueError(f"{place}: {ast.unparse(argument)} is no literal string")
        yield Mark(argument.value, place, proves)


def check(root: Path = ROOT) -> list[str]:
    """Everything that is wrong, one line each."""
    known, carried, still_open = ledger_ids(root), list(marks(root)), open_ids(root)
    tested = {mark.id for mark in carried if mark.proves}
    problems = [f"{mark.place}: {mark.id} is not in the ledger" for mark in carried if mark.id not in known]
    for id_ in still_open:
        if id_ not in known:
            problems.append(f"{OPEN}: {id_} is not in the ledger")
        elif id_ in tested:
            problems.append(f"{OPEN}: {id_} has a test; run `python tests/packaging/behaviours.py open`")
    problems += [
        f"{OPEN}: {id_} stands twice" for id_ in sorted(set(still_open)) if still_open.count(id_) > 1
    ]
    problems += [
        f"{LEDGER}: {id_} has no test" for id_ in known if id_ not in tested and id_ not in still_open
    ]
    shared = root.parent / "shared" / "behaviours.md"
    if shared.is_file() and shared.read_bytes() != (root / LEDGER).read_bytes():
        problems.append(f"{LEDGER}: differs from {shared.relative_to(root.parent)} beside the repository")
    return problems


def shrink(root: Path = ROOT) -> int:
    """Rewrite tests/behaviours-open.txt without what has a test; return how many ids are left."""
    tested = {mark.id for mark in marks(root) if mark.proves}
    before = open_ids(root)
    left = [id_ for id_ in ledger_ids(root) if id_ in before and id_ not in tested]
    (root / OPEN).write_text(HEADER + "".join(f"{id_}\n" for id_ in left), encoding="utf-8")
    return len(left)


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code."""
    if arguments == ["open"]:
        print(f"{shrink()} of {len(ledger_ids())} rows are open")
        return 0
    if arguments != ["check"]:
        print(__doc__, file=sys.stderr)
        return 2
    problems = check()
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
