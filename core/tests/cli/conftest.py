"""The command line in this process, with the plugins that a test installs and no other."""

from __future__ import annotations

import pytest

from patter.cli import main


class Shell:
    """Runs commands; `code`, `out` and `err` are those of the last one."""

    def __init__(self, installed, capsys, monkeypatch):
        self._installed, self._capsys, self._monkeypatch = installed, capsys, monkeypatch
        monkeypatch.setenv("PATTER_DISABLE_PLUGIN_AUTOLOAD", "1")

    def install(self, dist, source):
        """Install a distribution with one plugin, and load only what was installed here."""
        self._installed.install(dist, source)
        self._monkeypatch.delenv("PATTER_DISABLE_PLUGIN_AUTOLOAD", raising=False)
        self._monkeypatch.setenv("PATTER_PLUGINS", ",".join(self._installed.names))

    def __call__(self, *words):
        self.code = main(words)
        self.out, self.err = self._capsys.readouterr()
        return self

    def mine(self, rows):
        """The rows of a listing that are about what was installed here."""
        return [row for row in rows if row["dist"] in self._installed.names]


@pytest.fixture
def patter(installed, capsys, monkeypatch):
    return Shell(installed, capsys, monkeypatch)
