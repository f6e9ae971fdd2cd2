"""A copy of this repository's tooling around sources of a few lines, so that tests of it take seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from catalogue import ROOT

FOLDERS = ("core", "plugins/min-words", "contrib/stop-words")
TOOLING = ("pyproject.toml", "tox.ini", "LICENSE")

CORE_INIT = 'GREETING = "hello"\n'
CORE_TEST = "import patter\n\n\ndef test_greets():\n    assert patter.GREETING\n"
PLUGIN_TEST = "import patter\nimport {module}\n\n\ndef test_greets():\n    assert {module}.GREETING == patter.GREETING\n"
# A third-party requirement, so that there is something that indexes are rightly asked for.
CORE_PROJECT = """\
[build-system]
[project]
license-files = ["LICENSE"]
dependencies = ["pluggy>=1.5"]
[project.optional-dependencies]
testing = ["iniconfig"]
"""
PLUGIN_PROJECT = """\
[build-system]
[project]
license-files = ["LICENSE"]
dependencies = ["patter-core"]
"""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    output: str


@dataclass(frozen=True)
class Miniature:
    """The copied repository, and a way to run commands in it."""

    root: Path

    def run(self, *arguments: str, timeout_s: float = 240, **variables: str) -> Result:
        """Run ``python *arguments`` in the repository, with `variables` added to the environment."""
        outer = {
            name: text for name, text in os.environ.items() if not name.startswith(("TOX_", "PYTEST_", "OWN"))
        }
        environment = {**outer, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Result(result.returncode, result.stdout)

    def packages(self, *arguments: str, **variables: str) -> Result:
        """Run ``packages.py *arguments``."""
        return self.run("tests/packaging/packages.py", *arguments, **variables)


def create(root: Path) -> Miniature:
    """Make the miniature in the new folder `root`.

    Raises:
        AssertionError: `packages.py fix` did not accept it.
    """
    root.mkdir()
    for name in TOOLING:
        shutil.copyfile(ROOT / name, root / name)
    _keep_rows(root / "pyproject.toml")
    scripts = root / "tests" / "packaging"
    scripts.mkdir(parents=True)
    for script in (ROOT / "tests" / "packaging").glob("*.py"):
        if not script.name.startswith("test_"):
            shutil.copyfile(script, scripts / script.name)
    for folder in FOLDERS:
        _write_package(root / folder)
    miniature = Miniature(root)
    result = miniature.packages("fix")
    assert result.code == 0, result.output
    return miniature


def _keep_rows(project_file: Path) -> None:
    """Leave only the rows of FOLDERS in the table of packages."""
    before, heading, rest = project_file.read_text(encoding="utf-8").partition("[tool.patter.packages]\n")
    rows, separator, after = rest.partition("\n\n")
    kept = [row for row in rows.splitlines() if row.split('"')[1] in FOLDERS]
    project_file.write_text(before + heading + "\n".join(kept) + separator + after, encoding="utf-8")


def _write_package(folder: Path) -> None:
    is_core = folder.name == "core"
    module = "patter" if is_core else f"patter_{folder.name.replace('-', '_')}"
    texts = {
        "pyproject.toml": CORE_PROJECT if is_core else PLUGIN_PROJECT,
        "README.md": f"# patter-{folder.name}\n\n    pip install patter-{folder.name}\n",
        "LICENSE": (ROOT / "LICENSE").read_text(encoding="utf-8"),
        f"src/{module}/__init__.py": CORE_INIT if is_core else "from patter import GREETING\n",
        f"src/{module}/py.typed": "",
        f"tests/test_{module}.py": CORE_TEST if is_core else PLUGIN_TEST.format(module=module),
    }
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
