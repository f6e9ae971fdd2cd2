"""The wheel of core in an environment of its own, as a user installs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import catalogue
import pytest
import wheels

LOADED = "import sys, patter; print(*sorted(sys.modules))"
TOO_HEAVY = {
    "aiohttp",
    "asyncio",
    "importlib.metadata",
    "importlib_metadata",
    "numpy",
    "opentelemetry",
    "pydantic",
}
TOO_HEAVY |= {"websockets"}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a new environment with the wheel of core and what it requires."""
    packages = catalogue.load()
    wheels.build(packages)
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    interpreter = folder / "bin" / "python"
    constraints = packages.root / "dist" / "constraints.txt"
    run(interpreter, "-m", "pip", "install", "--quiet", "-c", str(constraints), "patter-core")
    return interpreter


def run(interpreter: Path, *arguments: str, code: int = 0) -> str:
    variables = {
        name: text for name, text in os.environ.items() if not name.startswith(("PATTER_", "PYTHON", "TOX_"))
    }
    result = subprocess.run(
        [str(interpreter), *arguments], env=variables, capture_output=True, text=True, timeout=99, check=False
    )
    assert result.returncode == code, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_importing_patter_loads_nothing_heavy(python):
    loaded = set(run(python, "-c", LOADED).split())
    assert "patter" in loaded
    assert loaded & TOO_HEAVY == set()


def test_there_is_no_plugin(python):
    assert json.loads(run(python, "-m", "patter", "plugins", "--json")) == []


def test_the_doctor_names_the_package_to_install(python):
    assert "pip install patter-deepgram" in run(
        python, "-m", "patter", "doctor", "--stt", "deepgram/nova-3", code=1
    )


def test_every_module_but_the_testing_kit_imports_with_what_core_requires(python):
    """pytest and hypothesis come with `patter-core[testing]` alone."""
    source = catalogue.load().packages[0].path / "src"
    files = sorted(file.relative_to(source).with_suffix("") for file in source.rglob("*.py"))
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    names = [
        name for name in names if name != "patter.__main__" and not name.startswith("patter.testing.pytest_")
    ]
    kit = tuple(f"patter.testing.{name}" for name in ("conformance", "simulation"))
    # What is loaded once OpenTelemetry's SDK is there and traces are asked for.
    kit += ("patter.telemetry.span_queue", "patter.telemetry.tracing")
    run(
        python, "-W", "error", "-c", "\n".join(f"import {name}" for name in names if not name.startswith(kit))
    )
