"""What the distributions say about themselves agrees with the table in the root pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import toml_edit
import tox_file
from catalogue import Catalogue, Package

GPL_3 = "GPL-3.0-or-later"


def check(catalogue: Catalogue) -> list[str]:
    """Everything that differs, one line each; empty when all agree."""
    problems = [
        f"{folder}: is not in [tool.patter.packages] of pyproject.toml" for folder in catalogue.unlisted()
    ]
    for package in catalogue.packages:
        missing = [*package.missing(), *_missing_extras(package)]
        problems += [f"{file}: is missing" for file in missing]
        if package.project_file.is_file():
            problems += _project_problems(catalogue, package)
        problems += _text_problems(package)
    problems += tox_file.check(catalogue)
    return problems


def fix(catalogue: Catalogue) -> list[str]:
    """Write the common parts; return the files that changed, relative to the root."""
    changed = []
    for package in catalogue.packages:
        if not package.project_file.is_file():
            continue
        before = package.project_file.read_text(encoding="utf-8")
        after = before
        for table, key, value in expected(catalogue, package):
            if _look_up(tomllib.loads(after), table, key) != value:
                after = toml_edit.set_key(after, table, key, value)
        if after != before:
            package.project_file.write_text(after, encoding="utf-8")
            changed.append(str(package.project_file.relative_to(catalogue.root)))
    return changed + tox_file.fix(catalogue)


def expected(catalogue: Catalogue, package: Package) -> Iterator[tuple[str, str, toml_edit.Value]]:
    """(table, key, value) of everything in the package's pyproject.toml that follows from the table."""
    common = catalogue.common
    yield "build-system", "requires", list(common.build_requires)
    yield "build-system", "build-backend", "hatchling.build"
    yield "project", "name", package.dist
    yield "project", "version", common.version
    yield "project", "description", package.summary
    yield "project", "readme", "README.md"
    yield "project", "requires-python", common.requires_python
    yield "project", "license", package.license
    yield "project", "authors", [{"name": author} for author in common.authors]
    yield "project", "classifiers", list(common.classifiers)
    yield "project", "dependencies", _dependencies(catalogue, package)
    if not package.is_core:
        yield "project.entry-points.patter", package.name, package.module
    yield "tool.hatch.build.targets.wheel", "packages", [f"src/{package.module}"]


def _dependencies(catalogue: Catalogue, package: Package) -> list[str]:
    """The declared dependencies, with the pin of this version train on each of our own."""
    declared: list[str] = package.project().get("project", {}).get("dependencies", [])
    own = {candidate.dist for candidate in catalogue.packages}
    pinned = []
    for requirement in declared:
        match = re.match(r"([A-Za-z0-9_.-]+)(\[[^]]*\])?", requirement)
        name = match.group(1) if match else ""
        pinned.append(
            f"{match.group(0)}{catalogue.common.core_pin}" if match and name in own else requirement
        )
    core = f"patter-core{catalogue.common.core_pin}"
    if not package.is_core and core not in pinned:
        pinned.insert(0, core)
    return pinned


def _look_up(document: dict[str, Any], table: str, key: str) -> Any:
    for part in table.split("."):
        document = document.get(part, {})
    return document.get(key)


def _project_problems(catalogue: Catalogue, package: Package) -> list[str]:
    file = package.project_file.relative_to(catalogue.root)
    try:
        document = package.project()
    except tomllib.TOMLDecodeError as error:
        return [f"{file}: {error}"]
    problems = []
    for table, key, value in expected(catalogue, package):
        found = _look_up(document, table, key)
        if found != value:
            problems.append(f"{file}: [{table}] {key} is {found!r}, expected {value!r}")
    entry_points = document.get("project", {}).get("entry-points", {})
    own_group = {} if package.is_core else {package.name: package.module}
    if entry_points.get("patter", {}) != own_group:
        problems.append(
            f"{file}: the group patter has {entry_points.get('patter')!r}, expected {own_group!r}"
        )
    if "LICENSE" not in document.get("project", {}).get("license-files", []):
        problems.append(f"{file}: license-files does not name LICENSE")
    own = {candidate.dist for candidate in catalogue.packages}
    problems += [
        f"{file}: {name} is none of our distributions"
        for name in package.own_requirements()
        if name not in own
    ]
    return problems


def _missing_extras(package: Package) -> list[str]:
    missing = [] if (package.source / "py.typed").is_file() else [package.source / "py.typed"]
    if not any((package.path / "tests").rglob("test_*.py")):
        missing.append(package.path / "tests" / "test_*.py")
    return [str(file.relative_to(package.root)) for file in missing]


def _text_problems(package: Package) -> Iterator[str]:
    readme, licence = package.path / "README.md", package.path / "LICENSE"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        if not text.startswith(f"# {package.dist}\n"):
            yield f"{package.folder}/README.md: does not begin with '# {package.dist}'"
        if f"pip install {package.dist}" not in text:
            yield f"{package.folder}/README.md: does not say 'pip install {package.dist}'"
    if licence.is_file():
        text = licence.read_text(encoding="utf-8")
        if package.license == GPL_3:
            agrees = "GNU GENERAL PUBLIC LICENSE" in text and "Version 3, 29 June 2007" in text
        else:
            agrees = text == (package.root / "LICENSE").read_text(encoding="utf-8")
        if not agrees:
            yield f"{package.folder}/LICENSE: is not the text of {package.license}"
