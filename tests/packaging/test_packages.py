from __future__ import annotations

import os
import shutil
import tomllib

import agreement
import catalogue
import miniature
import pytest
import toml_edit
import wheels


@pytest.fixture
def repository(tmp_path):
    return miniature.create(tmp_path / "repository")


@pytest.fixture(scope="module")
def first_build(tmp_path_factory):
    """A miniature whose wheels are built, which takes its time; nobody changes it."""
    repository = miniature.create(tmp_path_factory.mktemp("first") / "repository")
    packages = catalogue.load(repository.root)
    assert wheels.build(packages) == list(packages.packages)
    return repository


@pytest.fixture
def built(first_build, tmp_path):
    """The test's own copy of it."""
    return miniature.Miniature(shutil.copytree(first_build.root, tmp_path / "repository"))


def problems(repository):
    return agreement.check(catalogue.load(repository.root))


def replace(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_this_repository_agrees_with_its_table():
    assert agreement.check(catalogue.load()) == []


def test_fixing_a_second_time_changes_nothing(repository):
    assert problems(repository) == []
    assert agreement.fix(catalogue.load(repository.root)) == []


def test_a_new_version_is_one_edit_and_a_fix(repository):
    table = repository.root / "pyproject.toml"
    replace(table, 'version = "0.1.0"', 'version = "0.2.0"')
    replace(table, 'core-pin = ">=0.1.0,<0.2"', 'core-pin = ">=0.2.0,<0.3"')
    assert len(problems(repository)) == len(miniature.FOLDERS) + len(miniature.FOLDERS) - 1
    assert repository.packages("check").code == 1
    assert repository.packages("fix").code == 0
    assert repository.packages("check").code == 0
    project = catalogue.load(repository.root).packages[1].project()["project"]
    assert project["version"] == "0.2.0"
    assert project["dependencies"] == ["patter-core>=0.2.0,<0.3"]


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        (
            "plugins/min-words/pyproject.toml",
            '"patter_min_words"',
            '"patter_words"',
            "entry-points.patter] min-words is",
        ),
        ("plugins/min-words/pyproject.toml", "core>=0.1.0", "core>=0.0.9", "[project] dependencies is"),
        (
            "plugins/min-words/pyproject.toml",
            '"MIT"',
            '"BSD-3-Clause"',
            "[project] license is 'BSD-3-Clause'",
        ),
        ("plugins/min-words/pyproject.toml", '["LICENSE"]', "[]", "license-files does not name LICENSE"),
        ("plugins/min-words/LICENSE", "Permission is", "No permission is", "LICENSE: is not the text of MIT"),
        ("plugins/min-words/README.md", "# patter-", "# ", "does not begin with '# patter-min-words'"),
        ("plugins/min-words/README.md", "pip install", "get", "does not say 'pip install patter-min-words'"),
        ("tox.ini", "plugin-min_words: TESTS", "plugin-min-words: TESTS", "tox.ini: differs from the table"),
        (
            "pyproject.toml",
            '"contrib/stop-words" =',
            '"contrib/stop" =',
            "contrib/stop-words: is not in [tool.patter",
        ),
    ],
)
def test_a_difference_is_found(repository, file, old, new, problem):
    replace(repository.root / file, old, new)
    assert any(problem in line for line in problems(repository)), problems(repository)


@pytest.mark.parametrize(
    "file",
    [
        "src/patter_min_words/py.typed",
        "src/patter_min_words/__init__.py",
        "README.md",
        "tests/test_patter_min_words.py",
    ],
)
def test_a_missing_file_is_found(repository, file):
    (repository.root / "plugins/min-words" / file).unlink()
    (problem,) = problems(repository)
    assert problem.endswith("is missing")


def test_the_closure_follows_own_requirements(repository):
    replace(
        repository.root / "contrib/stop-words/pyproject.toml",
        '["patter-core',
        '["patter-min-words", "patter-core',
    )
    packages = catalogue.load(repository.root)
    closure = packages.closure(packages.packages[-1])
    assert [package.dist for package in closure] == ["patter-core", "patter-min-words", "patter-stop-words"]
    agreement.fix(packages)
    tox = (repository.root / "tox.ini").read_text(encoding="utf-8")
    assert "contrib-stop_words: OWN = patter-core[testing] patter-min-words patter-stop-words\n" in tox


def test_only_what_changed_is_built_again(built):
    packages = catalogue.load(built.root)
    core, plugin, _ = packages.packages
    assert wheels.build(packages) == []
    (plugin.source / "more.py").write_text("MORE = 1\n", encoding="utf-8")
    assert wheels.build(packages) == [plugin]
    (core.path / "tests/test_more.py").write_text("# no part of a wheel\n", encoding="utf-8")
    assert wheels.build(packages) == []
    (wheel,) = (built.root / "dist").glob("patter_core-*.whl")
    wheel.unlink()
    assert wheels.build(packages) == [core]


def test_a_distribution_that_vanished_leaves_no_wheel_but_keeps_its_constraint(built):
    packages = catalogue.load(built.root)
    (packages.packages[1].source / "__init__.py").unlink()
    wheels.build(packages)
    dist = built.root / "dist"
    assert sorted(wheel.name.partition("-")[0] for wheel in dist.glob("*.whl")) == [
        "patter_core",
        "patter_stop_words",
    ]
    constraints = (dist / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition(" @ file://")[0] for line in constraints] == [
        package.dist for package in packages.packages
    ]


def test_constraints_follow_a_checkout_that_moved(built):
    moved = built.root.rename(built.root.with_name("moved"))
    assert wheels.build(catalogue.load(moved)) == []
    constraints = (moved / "dist/constraints.txt").read_text(encoding="utf-8")
    assert constraints.count(moved.as_uri()) == len(miniature.FOLDERS)


def test_a_failed_build_names_the_folder_and_the_reason_and_is_tried_again(built):
    file = built.root / "plugins/min-words/pyproject.toml"
    good = file.read_text(encoding="utf-8")
    replace(file, 'readme = "README.md"', 'readme = "MISSING.md"')
    for _ in range(2):
        result = built.packages("wheels")
        assert result.code == 1
        assert "plugins/min-words: patter-min-words does not build" in result.output
        assert "MISSING.md" in result.output
    file.write_text(good, encoding="utf-8")
    assert built.packages("wheels").code == 0


def test_a_new_plugin_agrees_with_the_table_and_passes_its_own_tests(repository):
    result = repository.packages("new", "loud-voice")
    assert result.code == 0, result.output
    assert repository.packages("check").output == ""
    assert "plugin-{loud_voice,min_words}" in (repository.root / "tox.ini").read_text(encoding="utf-8")
    folder = repository.root / "plugins/loud-voice"
    path = os.pathsep.join(filter(None, (str(folder / "src"), os.environ.get("PYTHONPATH"))))
    result = repository.run("-m", "pytest", "-q", str(folder / "tests"), PYTHONPATH=path)
    assert result.code == 0, result.output
    assert "passed" in result.output


@pytest.mark.parametrize("name", ["min-words", "core", "Min", "min_words", "-a", "a--b", "../a", ""])
def test_a_name_that_is_taken_or_none_is_refused(repository, name):
    before = (repository.root / "pyproject.toml").read_text(encoding="utf-8")
    result = repository.packages("new", "--", name)
    assert result.code == 1
    assert (repository.root / "pyproject.toml").read_text(encoding="utf-8") == before


def test_setting_a_key_leaves_the_rest_as_it_is():
    text = '# top\n[a]\nx = [\n    "1", # one\n]\n# kept\ny = "2"\n\n[b]\nx = "3"\n'
    changed = toml_edit.set_key(text, "a", "x", ["4"])
    assert changed == text.replace('[\n    "1", # one\n]', '["4"]')
    added = toml_edit.set_key(text, "a", "z", "5")
    assert added == text.replace('y = "2"\n', 'y = "2"\nz = "5"\n')
    assert tomllib.loads(toml_edit.set_key(text, "c.d", "x", [{"name": "n"}]))["c"] == {
        "d": {"x": [{"name": "n"}]}
    }
