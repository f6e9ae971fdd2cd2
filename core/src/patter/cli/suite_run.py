"""Runs a conformance suite: pytest in a process of its own, read back from its report."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from xml.etree import ElementTree

from patter.errors import ConfigError

if TYPE_CHECKING:
    from patter.testing.conformance import Conformance

Outcome = Literal["passed", "failed", "skipped"]

#: pytest's exit codes when it ran tests: all passed, some failed
_RAN: Final = (0, 1)
_TEST_FILE: Final = "test_conformance.py"
_SOURCE: Final = """from {module} import {name} as Suite

class TestProvider(Suite):
    {attributes}
"""
#: no plugin, setting or option of the surroundings changes what is checked
_INI: Final = "[pytest]\nmarkers =\n    behaviour(*ids): rows of the ledger\n"


@dataclass(frozen=True, slots=True)
class Check:
    """What came of one check. `reason` says why it failed or was skipped, `details` where it failed."""

    kind: str
    name: str
    outcome: Outcome
    seconds: float
    reason: str = ""
    details: str = ""


def run_suite(suite: type[Conformance], reference: str, claims: Mapping[str, bool]) -> list[Check]:
    """Run a suite on a provider. `claims` are attributes of the suite. Raises `ConfigError` when pytest could not."""
    attributes = "; ".join(f"{name} = {value!r}" for name, value in {"spec": reference, **claims}.items())
    with tempfile.TemporaryDirectory(prefix="patter-conformance-") as name:
        folder = Path(name)
        source = _SOURCE.format(module=suite.__module__, name=suite.__name__, attributes=attributes)
        (folder / _TEST_FILE).write_text(source, encoding="utf-8")
        (folder / "pytest.ini").write_text(_INI, encoding="utf-8")
        report = folder / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}"]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                *options,
                "-c",
                str(folder / "pytest.ini"),
                str(folder / _TEST_FILE),
            ],
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in _RAN or not report.exists():
            raise ConfigError(f"pytest could not run the suite: {(done.stderr or done.stdout).strip()}")
        return list(_checks(suite.kind, report))


def _environment() -> dict[str, str]:
    """The process's own, in which everything can be imported that can be imported here."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
    return environment


def _checks(kind: str, report: Path) -> Iterator[Check]:
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name, seconds = case.get("name", "").removeprefix("test_"), float(case.get("time", "0"))
        fault = next((case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None)
        skipped = case.find("skipped")
        if fault is not None:
            yield Check(kind, name, "failed", seconds, fault.get("message", ""), (fault.text or "").strip())
        elif skipped is not None:
            yield Check(kind, name, "skipped", seconds, skipped.get("message", ""))
        else:
            yield Check(kind, name, "passed", seconds)
