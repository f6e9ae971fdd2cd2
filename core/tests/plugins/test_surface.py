from __future__ import annotations

import subprocess
import sys

import pytest

import patter.plugins

HEAVY = (
    "asyncio",
    "importlib.metadata",
    "importlib_metadata",
    "aiohttp",
    "numpy",
    "pydantic",
    "websockets",
    "opentelemetry",
)


def loaded_by(statement):
    """Which of the heavy modules a fresh interpreter has after a statement."""
    code = f"import sys; {statement}; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import patter.plugins", []),
        ("from patter.plugins import PluginManager; PluginManager(autoload=False)", []),
        ("from patter.plugins import Scope; Scope().register(object())", []),
        ("from patter.plugins import resolve, parse_reference, build", []),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(statement, expected):
    assert loaded_by(statement) == expected


@pytest.mark.behaviour("CF-11")
def test_importing_patter_loads_nothing_heavy():
    assert loaded_by("import patter") == []
    assert (
        loaded_by("import patter; patter.hookimpl, patter.STTRecord, patter.BargeInStrategy, patter.Verdict")
        == []
    )


def test_resolving_a_reference_loads_nothing_heavy():
    source = (
        "from patter.plugins import PluginManager, resolve; from patter import hookimpl, STTRecord\n"
        "class P:\n"
        "    @hookimpl\n"
        "    def patter_register_stt(self): return [STTRecord('x', 'nowhere:X', config='nowhere:C')]\n"
        "assert resolve(PluginManager([P()], autoload=False), 'stt', 'x/m?a=b').record.name == 'x'"
    )
    assert loaded_by(f"exec({source!r})") == []


def test_every_public_name_can_be_imported():
    assert patter.plugins.__all__ == sorted(patter.plugins.__all__)
    for name in patter.plugins.__all__:
        assert getattr(patter.plugins, name).__module__.startswith("patter.plugins")
    assert dir(patter.plugins) == patter.plugins.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        patter.plugins.Nothing  # noqa: B018
