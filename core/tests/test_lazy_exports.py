from __future__ import annotations

import ast
import importlib
import subprocess
import sys

import pytest

from patter.lazy_exports import lazy_exports

PACKAGES = ["patter", "patter.plugins", "patter.testing", "patter.testing.conformance"]
packages = pytest.mark.parametrize(
    "package", [importlib.import_module(name) for name in PACKAGES], ids=PACKAGES
)


def names_for_type_checkers(package):
    """What a package imports under `if TYPE_CHECKING`: name and home."""
    with open(package.__file__, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    blocks = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    return {
        alias.asname: statement.module
        for block in blocks
        for statement in block.body
        for alias in statement.names
    }


@packages
def test_type_checkers_see_the_same_names_as_a_program(package):
    assert names_for_type_checkers(package) == package._HOMES


@packages
def test_every_name_is_the_one_of_its_home(package):
    for name, home in package._HOMES.items():
        assert getattr(package, name) is getattr(importlib.import_module(home), name)


@packages
def test_dir_and_star_give_all_public_names(package):
    assert dir(package) == package.__all__ == sorted(package._HOMES)
    names = {}
    exec(f"from {package.__name__} import *", names)
    assert set(names) - {"__builtins__"} == set(package.__all__)


@packages
def test_a_name_that_does_not_exist_is_named_in_the_error(package):
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute 'Nothing'"):
        package.Nothing  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec(f"from {package.__name__} import Nothing")


@packages
def test_importing_a_package_imports_no_home(package):
    homes = sorted(set(package._HOMES.values()))
    code = f"import sys, {package.__name__}; print(*(home for home in {homes!r} if home in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_is_looked_up_once(monkeypatch):
    homes = {"sqrt": "math"}
    look_up, public_names = lazy_exports(__name__, homes)
    monkeypatch.setattr(sys.modules[__name__], "sqrt", None, raising=False)  # put back as it was at the end
    import math

    assert look_up("sqrt") is math.sqrt
    assert vars(sys.modules[__name__])["sqrt"] is math.sqrt
    assert public_names() == ["sqrt"]


def test_what_goes_wrong_while_a_home_is_imported_is_told():
    look_up, _ = lazy_exports(__name__, {"Gone": "patter.no_such_home"})
    with pytest.raises(ModuleNotFoundError, match=r"patter\.no_such_home"):
        look_up("Gone")
