"""What is in the wheels: everything of the sources, the licence, and nothing else."""

from __future__ import annotations

import email
import zipfile

import catalogue
import pytest
import wheels

CATALOGUE = catalogue.load()


@pytest.fixture(scope="module", params=CATALOGUE.packages, ids=lambda package: package.name)
def wheel(request):
    """(package, names, text of a file of the metadata)"""
    wheels.build(CATALOGUE)
    package = request.param
    (path,) = (CATALOGUE.root / "dist").glob(f"{package.wheel_name}-*.whl")
    with zipfile.ZipFile(path) as archive:
        information = f"{package.wheel_name}-{CATALOGUE.common.version}.dist-info"
        names = set(archive.namelist())

        def text(name):
            return archive.read(f"{information}/{name}").decode() if f"{information}/{name}" in names else ""

        yield package, names, text


def test_a_wheel_holds_every_file_of_the_sources(wheel):
    package, names, _ = wheel
    sources = package.path / "src"
    files = {file.relative_to(sources).as_posix() for file in package.source.rglob("*") if file.is_file()}
    assert f"{package.module}/py.typed" in names
    assert {name for name in names if ".dist-info/" not in name} == {
        file for file in files if "__pycache__" not in file
    }


def test_a_wheel_carries_its_licence(wheel):
    package, _, text = wheel
    assert text("licenses/LICENSE") == (package.path / "LICENSE").read_text(encoding="utf-8")
    assert email.message_from_string(text("METADATA"))["License-Expression"] == package.license


@pytest.mark.behaviour("CF-11")
def test_a_wheel_asks_for_python_3_11(wheel):
    _, _, text = wheel
    assert email.message_from_string(text("METADATA"))["Requires-Python"] == ">=3.11"


def test_a_wheel_has_one_entry_point_in_the_group(wheel):
    package, _, text = wheel
    _, _, group = text("entry_points.txt").partition("[patter]\n")
    expected = "" if package.is_core else f"{package.name} = {package.module}"
    assert group.partition("\n\n")[0].strip() == expected
