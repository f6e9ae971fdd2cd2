"""No name of ours is ever looked up on an index: whoever registers it there gets nothing of it."""

from __future__ import annotations

import os
import shutil

import miniature
import pytest
import trap_index

NAMES = ("core", "patter-core", "patter-min-words", "patter-stop-words")


@pytest.fixture
def repository(tmp_path):
    return miniature.create(tmp_path / "repository")


@pytest.fixture
def index():
    with trap_index.serving(NAMES) as running:
        yield running


def variables(index):
    """The trap stands beside the indexes that the machine uses."""
    extra = " ".join(filter(None, (os.environ.get("PIP_EXTRA_INDEX_URL"), index.url)))
    return {"PIP_EXTRA_INDEX_URL": extra, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def tox(repository, index, *arguments):
    result = repository.run("-m", "tox", *arguments, **variables(index))
    assert result.code == 0, result.output
    return result.output


def edit_core(repository):
    source = repository.root / "core/src/patter/__init__.py"
    source.write_text('GREETING = "good evening"\n', encoding="utf-8")
    test = repository.root / "plugins/min-words/tests/test_edit.py"
    test.write_text('import patter\n\n\ndef test_edit():\n    assert patter.GREETING == "good evening"\n')


def test_no_environment_asks_an_index_for_a_name_of_ours(repository, index):
    tox(repository, index, "run", "-e", "plugin-min_words")
    edit_core(repository)
    assert "2 passed" in tox(repository, index, "run", "-e", "plugin-min_words")
    shutil.rmtree(repository.root / "dist")
    tox(repository, index, "run-parallel", "-p", "2", "-e", "plugin-min_words,contrib-stop_words")
    assert index.trapped() == []
    # It was in the way of everything else, so it would have been asked.
    assert {"hatchling", "pluggy", "iniconfig", "pytest"} <= set(index.asked)


def test_the_trap_catches_a_folder_without_its_dot(repository, index):
    script = repository.root / "tests/packaging/wheels.py"
    text = script.read_text(encoding="utf-8")
    assert text.count('f"./{package.folder}"') == 1
    script.write_text(text.replace('f"./{package.folder}"', "package.folder"), encoding="utf-8")
    result = repository.packages("wheels", **variables(index))
    assert result.code == 1, result.output
    assert set(index.trapped()) == {"core"}


def test_the_trap_catches_a_requirement_without_a_constraint(repository, index):
    result = repository.packages("wheels", **variables(index))
    assert result.code == 0, result.output
    (wheel,) = (repository.root / "dist").glob("patter_min_words-*.whl")
    arguments = (
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--find-links",
        "dist",
        str(wheel),
    )
    result = repository.run(*arguments, **variables(index))
    assert "patter-core" in index.trapped(), result.output
