"""Every Python example in the documentation runs; the tests among them pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pages import PAGES, ROOT, Block, blocks, name

from patter.agent import Agent
from patter.phone_settings import PhoneSettings, read_settings

WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]
WITH_TESTS = [page for page in WITH_PYTHON if any("test_" in block.file for block in blocks(page, "python"))]


def write_files(page: Path, folder: Path) -> list[Block]:
    """Write the blocks that name a file; returns the others."""
    others = []
    for block in blocks(page, "python"):
        if not block.file:
            others.append(block)
            continue
        file = folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.source, encoding="utf-8")
    return others


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name)
def test_the_examples_of_a_page_run_one_after_the_other(page, tmp_path):
    others = write_files(page, tmp_path)
    modules = [
        block.file[:-3]
        for block in blocks(page, "python")
        if block.file and "/" not in block.file and not block.file.startswith("test_")
    ]
    lines = [f"import {module}" for module in modules]
    for block in others:
        # Kept on their lines, so that an error says where on the page it is.
        padded = "\n" * block.line + block.source
        lines.append(f"exec(compile({padded!r}, {name(page)!r}, 'exec'), globals())")
    program = tmp_path / "all_examples.py"
    program.write_text("\n".join(lines), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program.name],
        cwd=tmp_path,
        env={**os.environ, "PATTER_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", WITH_TESTS, ids=name)
def test_the_tests_on_a_page_pass(page, tmp_path):
    write_files(page, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "--import-mode=importlib",
        ],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout
    passed = int(re.search(r"(\d+) passed", done.stdout)[1])
    written = sum(block.source.count("\nasync def test_") for block in blocks(page, "python"))
    # A suite that a class on the page derives from has many of its own.
    has_suite = any("Conformance):" in block.source for block in blocks(page, "python") if block.file)
    assert passed > written if has_suite else passed == written


def test_the_strategy_of_the_page_is_the_one_of_the_repository():
    page = ROOT / "docs/plugin-authors/barge-in-strategy.md"
    shown = next(block for block in blocks(page, "python") if block.file == "stop_words.py")
    source = ROOT / "contrib/stop-words/src/patter_stop_words/__init__.py"
    assert shown.source.partition("\n")[2] == source.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page, "toml")], ids=lambda block: block.place
)
def test_the_settings_files_shown_hold_what_exists(block, tmp_path):
    data = tomllib.loads(block.source)
    if "project" in data:
        return
    file = tmp_path / "patter.toml"
    file.write_text(block.source, encoding="utf-8")
    settings = read_settings(file, {})
    PhoneSettings(**{key: value for key, value in settings.phone.items() if key != "carrier"})
    Agent(**settings.agent)
    assert set(settings.providers) <= {"stt", "tts", "llm", "vad", "carrier", "noise_filter", "barge_in"}
