"""Real distributions, written to disk and found through `sys.path` like any other."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

# What several test modules share, which importlib mode does not put on the path.
sys.path.insert(0, str(Path(__file__).parent / "support"))


class Distributions:
    """A folder on `sys.path` into which plugins are installed."""

    def __init__(self, folder):
        self.folder = folder
        self.names = []

    def install(self, dist, source="", *, plugin=None, version="1.0", module=None):
        """Write a distribution whose entry point `plugin` names a module with this source."""
        plugin = plugin or dist.removeprefix("patter-")
        module = module or dist.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(f"[patter]\n{plugin} = {module}\n", encoding="utf-8")
        self.names.append(dist)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Distributions(folder)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
