"""The price lists that distributions ship, and the records that name them."""

from __future__ import annotations

import datetime
import importlib
import zipfile

import catalogue
import pytest
import wheels

from patter.metrics.cost import PARTS
from patter.metrics.cost_book import is_billed, shipped_prices
from patter.metrics.cost_prices import read_price_list
from patter.records import FREE, PROVIDER_KINDS

CATALOGUE = catalogue.load()
LISTS = sorted(
    file for package in CATALOGUE.packages for file in package.source.rglob("prices.json") if file.is_file()
)


def records(module):
    """What a plugin registers."""
    hooks = (getattr(module, f"patter_register_{kind}", None) for kind in PROVIDER_KINDS)
    return [record for hook in hooks if hook is not None for record in hook()]


PLUGINS = [
    *(importlib.import_module(package.module) for package in CATALOGUE.packages[1:]),
    importlib.import_module("patter.testing.fake_plugin"),
]
RECORDS = [record for plugin in PLUGINS for record in records(plugin)]


@pytest.mark.behaviour("CO-01")
@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.parent.name)
def test_a_list_is_dated_versioned_sourced_and_in_known_units(file):
    listed = read_price_list(file.read_text(encoding="utf-8"), file.name)
    assert listed.version >= 1
    assert datetime.date(2026, 1, 1) <= datetime.date.fromisoformat(listed.date)
    assert listed.source.strip()
    assert listed.providers
    for kind, name in listed.providers:
        assert kind in PARTS
        assert name in {record.name for record in RECORDS if record.kind == kind}, "a price of nobody"


def test_there_are_lists():
    assert {file.parent.name for file in LISTS} >= {"patter_twilio", "patter_openai", "testing"}


@pytest.mark.behaviour("CO-01")
@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record.kind} {record.name}")
def test_a_record_names_a_list_that_has_its_prices(record):
    if record.prices in (None, FREE):
        return
    assert is_billed(record)
    assert (record.kind, record.name) in shipped_prices(record.prices).providers


@pytest.mark.behaviour("CO-01")
def test_core_has_no_price_of_a_vendor():
    """Its one list is of the fakes, which are nobody's."""
    core = CATALOGUE.packages[0]
    assert [file.relative_to(core.source).as_posix() for file in core.source.rglob("prices*.json")] == [
        "testing/prices.json"
    ]
    fakes = {(kind, name) for kind, name in shipped_prices("patter.testing:prices.json").providers}
    assert all(name.startswith("fake") for _, name in fakes)


@pytest.mark.behaviour("CO-01")
def test_wheels_hold_the_lists():
    wheels.build(CATALOGUE)
    for package in CATALOGUE.packages:
        (path,) = (CATALOGUE.root / "dist").glob(f"{package.wheel_name}-*.whl")
        with zipfile.ZipFile(path) as archive:
            packed = {name for name in archive.namelist() if name.endswith("prices.json")}
            for name in packed:
                read_price_list(archive.read(name).decode(), name)
        sources = package.path / "src"
        assert packed == {
            file.relative_to(sources).as_posix() for file in LISTS if file.is_relative_to(sources)
        }
