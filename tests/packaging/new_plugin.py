"""The files of a new plugin: a barge-in strategy that works, to be replaced by what the plugin is for."""

from __future__ import annotations

import re
from pathlib import Path

import agreement
import toml_edit
from catalogue import Package, load

MODULE = '''"""{summary}."""

from __future__ import annotations

from collections.abc import Iterable

from patter import BargeInRecord, hookimpl


@hookimpl
def patter_register_barge_in() -> Iterable[BargeInRecord]:
    """The strategy of this plugin; core imports its class when a call first uses it."""
    return [BargeInRecord("{name}", "{module}.strategy:Strategy")]
'''

STRATEGY = '''"""Interrupt the agent as soon as the caller has said a word."""

from __future__ import annotations

from patter import BargeInStrategy
from patter.providers.barge_in import BargeInEvent


class Strategy(BargeInStrategy):
    """Confirms at the first transcript that is not empty."""

    def evaluate(self, event: BargeInEvent) -> bool:
        """True once there is a word to interrupt for."""
        return bool(event.transcript.strip())
'''

TEST = """from __future__ import annotations

import {module}
import pytest
from {module}.strategy import Strategy
from patter.providers.barge_in import BargeInEvent


def event(transcript: str) -> BargeInEvent:
    return BargeInEvent(
        kind="interim",
        transcript=transcript,
        is_final=False,
        agent_speaking=True,
        speech_ms=200.0,
        agent_heard_ms=900.0,
    )


@pytest.mark.parametrize(("transcript", "interrupts"), [("", False), (" ", False), ("wait", True)])
def test_interrupts_at_the_first_word(transcript, interrupts):
    assert Strategy().evaluate(event(transcript)) is interrupts


def test_registers_under_its_name():
    (record,) = {module}.patter_register_barge_in()
    assert record.name == "{name}"
"""

README = """# {dist}

{summary}.

    pip install {dist}

It reads no environment variable.
"""


def create(root: Path, name: str, *, contrib: bool = False) -> list[str]:
    """Write a plugin called `name` and its row of the table; return the files, relative to `root`.

    Raises:
        ValueError: `name` is no name for a plugin, or there is one already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"{name!r} is no plugin name: lower-case words and digits, joined by single dashes")
    if name in {package.name for package in load(root).packages}:
        raise ValueError(f"there is a distribution patter-{name} already")
    package = Package(root, f"{'contrib' if contrib else 'plugins'}/{name}", f"{name} for Patter", "MIT")
    if package.path.exists():
        raise ValueError(f"{package.folder} exists already")
    _add_row(root / "pyproject.toml", package)
    module, source = package.module, package.source
    names = {"name": name, "dist": package.dist, "module": module, "summary": package.summary}
    files = {
        package.project_file: _project_text(root, package),
        package.path / "README.md": README.format(**names),
        package.path / "LICENSE": (root / "LICENSE").read_text(encoding="utf-8"),
        source / "__init__.py": MODULE.format(**names),
        source / "strategy.py": STRATEGY,
        source / "py.typed": "",
        package.path / "tests" / f"test_{module.removeprefix('patter_')}.py": TEST.format(**names),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [str(path.relative_to(root)) for path in files]


def _project_text(root: Path, package: Package) -> str:
    """The smallest pyproject.toml that `fix` completes."""
    catalogue = load(root)
    core = f"patter-core{catalogue.common.core_pin}"
    package.path.mkdir(parents=True)
    seed = f'[build-system]\n\n[project]\nlicense-files = ["LICENSE"]\ndependencies = ["{core}"]\n'
    package.project_file.write_text(seed, encoding="utf-8")
    text = seed
    for table, key, value in agreement.expected(catalogue, package):
        text = toml_edit.set_key(text, table, key, value)
    return text


def _add_row(path: Path, package: Package) -> None:
    """Add the package to the table, in the order of the folders."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = lines.index("[tool.patter.packages]") + 1
    end = next(n for n in range(start, len(lines)) if not lines[n].startswith('"'))
    row = f'"{package.folder}" = {{ summary = "{package.summary}" }}'
    before = (n for n in range(start + 1, end) if _sort_key(lines[n]) > _sort_key(row))
    lines.insert(next(before, end), row)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sort_key(row: str) -> tuple[bool, str]:
    folder = row.split('"')[1]
    return folder.startswith("contrib/"), folder
