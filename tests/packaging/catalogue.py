"""The distributions of this repository, as the table in the root pyproject.toml lists them.

Standard library alone: this runs in environments in which nothing is installed yet.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("plugins", "contrib")


@dataclass(frozen=True)
class Common:
    """What every distribution has in common."""

    version: str
    core_pin: str
    requires_python: str
    license: str
    authors: tuple[str, ...]
    build_requires: tuple[str, ...]
    classifiers: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """One distribution; every name follows from its folder."""

    root: Path
    folder: str
    summary: str
    license: str

    @property
    def path(self) -> Path:
        return self.root / self.folder

    @property
    def is_core(self) -> bool:
        return self.folder == "core"

    @property
    def name(self) -> str:
        """The entry point's name: the folder's."""
        return self.folder.rpartition("/")[2]

    @property
    def dist(self) -> str:
        return f"patter-{self.name}"

    @property
    def module(self) -> str:
        return "patter" if self.is_core else self.wheel_name

    @property
    def wheel_name(self) -> str:
        return self.dist.replace("-", "_")

    @property
    def environment(self) -> str:
        """The tox environment; a dash would split the factor, so the name is spelt with underscores."""
        if self.is_core:
            return "core"
        kind = "plugin" if self.folder.startswith("plugins/") else "contrib"
        return f"{kind}-{self.name.replace('-', '_')}"

    @property
    def source(self) -> Path:
        return self.path / "src" / self.module

    @property
    def project_file(self) -> Path:
        return self.path / "pyproject.toml"

    def missing(self) -> list[str]:
        """The files without which there is no wheel, those that are not there."""
        needed = (
            self.project_file,
            self.path / "README.md",
            self.path / "LICENSE",
            self.source / "__init__.py",
        )
        return [str(file.relative_to(self.root)) for file in needed if not file.is_file()]

    def project(self) -> dict[str, Any]:
        """The parsed pyproject.toml.

        Raises:
            tomllib.TOMLDecodeError: it is no TOML.
            FileNotFoundError: it does not exist.
        """
        return tomllib.loads(self.project_file.read_text(encoding="utf-8"))

    def own_requirements(self) -> list[str]:
        """The names of our own distributions that this one requires."""
        requirements = self.project().get("project", {}).get("dependencies", [])
        names = (re.split(r"[^a-z0-9-]", requirement.lower(), maxsplit=1)[0] for requirement in requirements)
        return [name for name in names if name.startswith("patter-")]


@dataclass(frozen=True)
class Catalogue:
    """All distributions, core first, then in the order of their folders."""

    root: Path
    common: Common
    packages: tuple[Package, ...]

    def by_dist(self) -> dict[str, Package]:
        return {package.dist: package for package in self.packages}

    def closure(self, package: Package) -> list[Package]:
        """The package and every own distribution that it needs, in the order of the catalogue."""
        known = self.by_dist()
        needed: set[str] = set()
        open_names = [package.dist, "patter-core"]
        while open_names:
            name = open_names.pop()
            if name in needed or name not in known:
                continue
            needed.add(name)
            if known[name].project_file.is_file():
                open_names += known[name].own_requirements()
        return [candidate for candidate in self.packages if candidate.dist in needed]

    def unlisted(self) -> list[str]:
        """Folders that look like a distribution and are not in the table."""
        listed = {package.folder for package in self.packages}
        found = (file.parent for kind in KINDS for file in (self.root / kind).glob("*/pyproject.toml"))
        folders = (folder.relative_to(self.root).as_posix() for folder in found)
        return sorted(folder for folder in folders if folder not in listed)


def load(root: Path = ROOT) -> Catalogue:
    """Read the table of the repository at `root`."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["patter"]
    common = Common(
        version=table["version"],
        core_pin=table["core-pin"],
        requires_python=table["requires-python"],
        license=table["license"],
        authors=tuple(table["authors"]),
        build_requires=tuple(table["build-requires"]),
        classifiers=tuple(table["classifiers"]),
    )
    folders = sorted(
        table["packages"], key=lambda folder: (folder != "core", not folder.startswith("plugins"), folder)
    )
    packages = tuple(
        Package(root, folder, row["summary"], row.get("license", common.license))
        for folder, row in ((folder, table["packages"][folder]) for folder in folders)
    )
    return Catalogue(root, common, packages)
