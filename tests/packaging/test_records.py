"""What plugins register agrees with core's table of known providers and with their own READMEs."""

from __future__ import annotations

import importlib

import catalogue
import pytest

from patter.plugins import import_attribute
from patter.plugins.known import KNOWN
from patter.records import PROVIDER_KINDS

_, *PLUGINS = catalogue.load().packages


def records(package):
    module = importlib.import_module(package.module)
    hooks = (getattr(module, f"patter_register_{kind}", None) for kind in PROVIDER_KINDS)
    return [record for hook in hooks if hook is not None for record in hook()]


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_core_knows_which_distribution_has_a_provider(package):
    for record in records(package):
        assert KNOWN[record.kind, record.name] == package.dist


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_simulator_is_where_the_record_says(package):
    for record in records(package):
        if getattr(record, "simulator", None) is not None:
            assert callable(import_attribute(record.simulator))


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_the_readme_names_providers_and_environment_variables(package):
    readme = (package.path / "README.md").read_text(encoding="utf-8")
    found = records(package)
    assert bool(found) == (package.name not in ("demo", "prometheus"))
    missing = {record.name for record in found if f'"{record.name}' not in readme}
    missing |= {variable for record in found for variable in record.env.values() if variable not in readme}
    assert missing == set()
