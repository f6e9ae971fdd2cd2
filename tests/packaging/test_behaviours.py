from __future__ import annotations

import behaviours
import pytest

LEDGER = """\
| id | behaviour | level |
|---|---|---|
| AB-01 | One. | core |
| AB-02 | Two, ~~and a half~~. | core |
| ~~AB-03~~ | ~~Three~~: dropped. | core |
"""


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    (root / behaviours.LEDGER).parent.mkdir(parents=True)
    (root / behaviours.LEDGER).write_text(LEDGER, encoding="utf-8")
    (root / "core/tests").mkdir(parents=True)
    (root / "tests").mkdir()
    return root


def write_test(root, *ids):
    arguments = ", ".join(f'"{id_}"' for id_ in ids)
    text = f"import pytest\n\n@pytest.mark.behaviour({arguments})\ndef test_it():\n    pass\n"
    (root / "core/tests/test_it.py").write_text(text, encoding="utf-8")


def write_open(root, *ids):
    (root / behaviours.OPEN).write_text("".join(f"{id_}\n" for id_ in ids), encoding="utf-8")


def test_the_ledger_and_the_tests_of_this_repository_agree():
    assert behaviours.check() == []


def test_a_row_has_a_test_or_is_open(repository):
    write_test(repository, "AB-01")
    assert behaviours.check(repository) == ["docs/reference/behaviours.md: AB-02 has no test"]
    write_open(repository, "AB-02")
    assert behaviours.check(repository) == []


def test_an_open_row_with_a_test_is_an_error_until_it_is_taken_out(repository):
    write_test(repository, "AB-01", "AB-02")
    write_open(repository, "AB-02")
    (problem,) = behaviours.check(repository)
    assert problem.startswith("tests/behaviours-open.txt: AB-02 has a test")
    assert behaviours.shrink(repository) == 0
    assert behaviours.check(repository) == []


def test_shrinking_never_adds_a_row(repository):
    write_test(repository, "AB-01")
    write_open(repository)
    behaviours.shrink(repository)
    assert behaviours.open_ids(repository) == []


def test_an_unknown_id_is_an_error_wherever_it_stands(repository):
    write_test(repository, "AB-01", "AB-02", "AB-03")
    write_open(repository, "AB-09")
    assert behaviours.check(repository) == [
        "core/tests/test_it.py:3: AB-03 is not in the ledger",
        "tests/behaviours-open.txt: AB-09 is not in the ledger",
    ]


@pytest.mark.parametrize(
    "decorator", ["pytest.mark.xfail", 'pytest.mark.xfail(reason="later")', "pytest.mark.skip"]
)
def test_a_test_that_is_expected_to_fail_or_never_runs_proves_nothing(repository, decorator):
    write_test(repository, "AB-01", "AB-02")
    test = repository / "core/tests/test_it.py"
    test.write_text(test.read_text(encoding="utf-8").replace("def test_it", f"@{decorator}\ndef test_it"))
    write_open(repository, "AB-02")
    assert behaviours.check(repository) == ["docs/reference/behaviours.md: AB-01 has no test"]


def test_an_id_that_is_no_literal_is_an_error(repository):
    (repository / "tests/test_it.py").write_text("import pytest\npytestmark = pytest.mark.behaviour(ID)\n")
    with pytest.raises(ValueError, match=r"tests/test_it.py:2: ID is no literal"):
        behaviours.check(repository)


def test_the_copy_is_compared_with_the_shared_ledger_where_there_is_one(repository):
    write_test(repository, "AB-01", "AB-02")
    shared = repository.parent / "shared"
    shared.mkdir()
    (shared / "behaviours.md").write_text(LEDGER, encoding="utf-8")
    assert behaviours.check(repository) == []
    (shared / "behaviours.md").write_text(LEDGER + "| AB-04 | Four. | core |\n", encoding="utf-8")
    assert behaviours.check(repository) == [
        "docs/reference/behaviours.md: differs from shared/behaviours.md beside the repository"
    ]
