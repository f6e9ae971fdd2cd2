"""The import rules of the architecture, over the source of every distribution."""

from __future__ import annotations

import re

import catalogue
import pytest
from imports import Import, imports_of

PACKAGES = catalogue.load().packages
CORE, *PLUGINS = PACKAGES
PROVIDERS = [package for package in PLUGINS if package.folder.startswith("plugins/")]
METADATA = "patter/plugins/_metadata.py"
# Rooms that know no other room, and the modules so small and general that knowing them is knowing nobody.
LEAF_ROOMS = ("audio", "providers", "records")
COMMON = ("errors", "environment")
# What `__init__` of a plugin may import besides patter: names for annotations.
FOR_ANNOTATIONS = ("__future__", "collections.abc", "typing")


def sources(package):
    return sorted(package.source.rglob("*.py"))


def all_imports(package):
    return [found for file in sources(package) for found in imports_of(file, package.path / "src")]


def room(place):
    """`patter/call/session.py:3` is in the room `call`, `patter/agent.py:1` in `agent`."""
    parts = place.partition(":")[0].split("/")
    return parts[1].removesuffix(".py")


def target_room(found):
    parts = found.module.split(".")
    return parts[1] if len(parts) > 1 else ""


def core_imports(of_rooms=None):
    found = [one for one in all_imports(CORE) if one.top == "patter"]
    return [one for one in found if of_rooms is None or room(one.place) in of_rooms]


def shown(found):
    return [f"{one.place} imports {one.module}" for one in found]


def parse(tmp_path, text, name="patter/call/x.py"):
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return imports_of(file, tmp_path)


def test_reads_every_form_of_import(tmp_path):
    text = (
        "import a.b\nfrom c import d\nfrom . import e\nfrom ..f import g\n"
        "if TYPE_CHECKING:\n    import h\ndef i():\n    import j\n"
    )
    found = parse(tmp_path, text)
    assert [one.module for one in found] == ["a.b", "c.d", "patter.call.e", "patter.f.g", "h", "j"]
    assert [one.module for one in found if one.for_types] == ["h"]
    assert [one.module for one in found if one.lazy] == ["j"]
    assert found[0] == Import("a.b", "patter/call/x.py:1", for_types=False, lazy=False)
    assert not found[0].is_within("a.bc")
    assert found[0].is_within("a")


def test_core_imports_no_plugin():
    plugins = {package.module for package in PLUGINS}
    assert (
        shown(one for one in all_imports(CORE) if one.top in plugins or one.top.startswith("patter_")) == []
    )


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_imports_only_own_distributions_that_it_declares(package):
    """Providers declare none but core, so that none imports another."""
    by_dist = {other.dist: other.module for other in PACKAGES}
    declared = set(package.own_requirements())
    if package.folder.startswith("plugins/"):
        assert declared == {"patter-core"}
    allowed = {package.module} | {by_dist[name] for name in declared}
    ours = {other.module for other in PACKAGES}
    assert shown(one for one in all_imports(package) if one.top in ours - allowed) == []


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_loading_a_plugin_imports_nothing_but_patter(package):
    file = package.source / "__init__.py"
    at_load = [one for one in imports_of(file, package.path / "src") if not (one.for_types or one.lazy)]
    foreign = [one for one in at_load if one.top != "patter" and not any(map(one.is_within, FOR_ANNOTATIONS))]
    assert shown(foreign) == []


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_simulator_is_imported_by_nothing_in_its_plugin(package):
    inside = (one for one in all_imports(package) if not one.place.startswith(f"{package.module}/simulator"))
    assert shown(one for one in inside if one.is_within(f"{package.module}.simulator")) == []


@pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.name)
def test_a_plugin_leaves_the_command_line_alone(package):
    """A command is a part of the command line, and loads it when it runs."""
    found = [one for one in all_imports(package) if one.is_within("patter.cli")]
    assert shown(one for one in found if not (one.lazy or one.for_types)) == []


@pytest.mark.parametrize("package", PROVIDERS, ids=lambda package: package.name)
def test_a_provider_leaves_the_testing_kit_alone(package):
    """Its simulator's far end is part of that kit; who makes calls with the provider never loads it."""
    far_end = f"{package.module}.far_end"
    own = [one for one in all_imports(package) if not one.place.startswith(f"{package.module}/far_end")]
    assert shown(one for one in own if one.is_within("patter.testing")) == []
    carrying = [one for one in own if not one.place.startswith(f"{package.module}/simulator")]
    assert shown(one for one in carrying if one.is_within(far_end)) == []


def test_nothing_of_ours_requires_the_gpl_distribution():
    users = [package.dist for package in PACKAGES if "patter-espeak" in package.own_requirements()]
    assert users == []


def test_audio_providers_and_records_know_no_other_room():
    known = {*LEAF_ROOMS, *COMMON}
    assert shown(one for one in core_imports(LEAF_ROOMS) if target_room(one) not in known) == []


def test_the_common_modules_know_nobody():
    assert shown(one for one in core_imports(COMMON) if not one.for_types) == []


def test_a_call_knows_neither_client_nor_server():
    outside = ("patter.client", "patter.server")
    assert shown(one for one in core_imports(("call",)) if any(map(one.is_within, outside))) == []


def test_nobody_imports_the_command_line():
    users = [
        one
        for one in core_imports()
        if one.is_within("patter.cli") and room(one.place) not in ("cli", "__main__")
    ]
    assert shown(users) == []


def test_only_the_command_line_loads_the_testing_kit_and_only_when_asked():
    users = [
        one for one in core_imports() if one.is_within("patter.testing") and room(one.place) != "testing"
    ]
    assert shown(one for one in users if room(one.place) != "cli" or not (one.lazy or one.for_types)) == []


def test_nothing_that_makes_calls_knows_what_simulators_are_built_of():
    outside = [one for one in core_imports() if room(one.place) not in ("simulators", "testing")]
    outside += [one for package in PLUGINS for one in all_imports(package) if "simulator" not in one.place]
    assert shown(one for one in outside if one.is_within("patter.simulators")) == []


def test_metadata_is_read_in_one_module():
    found = [one for package in PACKAGES for one in all_imports(package)]
    assert shown(one for one in found if one.is_within("importlib.metadata")) == []
    places = {one.place.partition(":")[0] for one in found if one.is_within("importlib_metadata")}
    assert places <= {METADATA}


def test_an_exception_from_the_ban_on_clocks_and_randomness_has_a_reason():
    """ruff holds the ban (TID251); what silences it says why, on the same line."""
    silent = [
        f"{file.relative_to(catalogue.ROOT)}:{number}"
        for package in PACKAGES
        for file in sources(package)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"noqa:[^#]*TID251(?![^#]*\s-\s\w)", line)
    ]
    assert silent == []
