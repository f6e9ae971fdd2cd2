"""The command line in this process, with the plugins that a test installs and no other."""

from __future__ import annotations

import sys
import textwrap

import pytest

from patter.cli import main


class Shell:
    """Runs commands; `code`, `out` and `err` are those of the last one."""

    def __init__(self, folder, capsys, monkeypatch):
        self._folder, self._capsys, self._monkeypatch = folder, capsys, monkeypatch
        self._names = []
        monkeypatch.setenv("PATTER_DISABLE_PLUGIN_AUTOLOAD", "1")

    def install(self, dist, source):
        """Write a distribution with one plugin, and load only what was installed here."""
        module = dist.replace("-", "_")
        (self._folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        info = self._folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n", encoding="utf-8"
        )
        name = dist.removeprefix("patter-")
        (info / "entry_points.txt").write_text(f"[patter]\n{name} = {module}\n", encoding="utf-8")
        self._names.append(dist)
        self._monkeypatch.delenv("PATTER_DISABLE_PLUGIN_AUTOLOAD", raising=False)
        self._monkeypatch.setenv("PATTER_PLUGINS", ",".join(self._names))

    def __call__(self, *words):
        self.code = main(words)
        self.out, self.err = self._capsys.readouterr()
        return self

    def mine(self, rows):
        """The rows of a listing that are about what was installed here."""
        return [row for row in rows if row["dist"] in self._names]


@pytest.fixture
def patter(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield Shell(folder, capsys, monkeypatch)
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
