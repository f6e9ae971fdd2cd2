"""The reference says what the code says."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch

import catalogue
import generate
import interface_pages
import plugin_pages
import pytest
from pages import PAGES, ROOT, name, text

import patter
import patter.testing
from patter.call.events import EVENTS
from patter.options import rows
from patter.phone_settings import PhoneSettings
from patter.pipeline_hooks import PLAIN_HOOKS, TEXT_HOOKS
from patter.plugins import PluginManager
from patter.plugins.hook_rules import ASYNC_HOOKS
from patter.records import PROVIDER_KINDS

COMMAND = "python tests/docs/generate.py"


@pytest.mark.parametrize("page", generate.PAGES)
def test_a_generated_page_is_current(page):
    assert (generate.REFERENCE / page).read_text(encoding="utf-8") == generate.page(page), COMMAND


# -- hooks


def test_each_hook_has_a_heading_with_its_arguments_in_their_order():
    hooks = vars(PluginManager(autoload=False).hook)
    expected = {
        f"{hook}({', '.join(caller.spec.argnames)})"
        for hook, caller in hooks.items()
        if not hook.startswith("_")
    }
    headings = re.findall(r"^### (.+)$", text("docs/reference/hooks.md"), re.MULTILINE)
    assert sorted(headings) == sorted(expected)


def test_what_is_said_of_an_asynchronous_hook_is_its_rule():
    parts = re.split(r"^### ", text("docs/reference/hooks.md"), flags=re.MULTILINE)[1:]
    said = {part.partition("(")[0]: part for part in parts}
    for hook, rule in ASYNC_HOOKS.items():
        assert f"- budget: {rule.budget_s:g} s each, {rule.total_s:g} s for all" in said[hook]
        assert ("- failure: raised" in said[hook]) == (rule.policy == "raise")
    synchronous = set(said) - set(ASYNC_HOOKS)
    assert all("- called: synchronously" in said[hook] for hook in synchronous)


# -- events


def moments():
    for line in text("docs/reference/events.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and cells[0] not in ("moment", "---"):
            yield cells


def test_the_table_of_moments_has_every_event_with_its_data():
    shown = {event.strip("`"): data.replace("`", "") for _, event, data, _ in moments() if event}
    assert set(shown) == set(EVENTS)
    for event, data in EVENTS.items():
        assert shown[event].partition(":")[0] == data.partition(":")[0], event


def test_the_table_of_moments_has_every_hook_of_a_call():
    shown = {hook for *_, cell in moments() for hook in re.findall(r"patter_\w+", cell)}
    assert shown == set(ASYNC_HOOKS) - {"patter_startup", "patter_shutdown"}


def test_every_pipeline_hook_is_in_the_table_of_moments_and_on_its_page():
    in_table = {hook for *_, cell in moments() for hook in re.findall(r"`((?!patter_)\w+)`", cell)}
    on_page = set(re.findall(r"^\| `(\w+)` \|", text("docs/howto/change-what-is-said.md"), re.MULTILINE))
    assert in_table == on_page == {*PLAIN_HOOKS, *TEXT_HOOKS}


# -- names, options, commands, variables


@pytest.mark.parametrize("module", [patter, patter.testing], ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module):
    headings = re.findall(r"^### `(\w+)`$", text("docs/reference/api.md"), re.MULTILINE)
    assert set(module.__all__) <= set(headings)


@pytest.mark.parametrize("page", ["api", "interfaces"])
def test_every_public_name_is_explained(page):
    for part in re.split(r"^### ", text(f"docs/reference/{page}.md"), flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        assert len(body.strip()) > 10, heading


@pytest.mark.parametrize("module", interface_pages.kinds(), ids=lambda module: module.__name__)
def test_every_method_of_an_interface_is_documented(module):
    section = (
        text("docs/reference/interfaces.md").partition(f"## {module.__name__}\n")[2].partition("\n## ")[0]
    )
    for title, value in interface_pages.public(module):
        assert f"### `{title}`" in section
        for method in getattr(value, "__abstractmethods__", ()):
            assert re.search(rf"^- `(await )?{method}\(", section, re.MULTILINE), method


@pytest.mark.parametrize(("model", "section"), [(patter.Agent, "agent"), (PhoneSettings, "phone")])
def test_every_option_is_documented_with_its_unit_variable_and_key(model, section):
    page = text("docs/reference/options.md")
    for row in rows(model, section):
        line = next(
            line for line in page.splitlines() if line.startswith(f"| `{row.name}` |") and row.key in line
        )
        assert row.help.replace("|", "\\|") in line
        assert row.unit in line
        assert row.variable in line
        assert row.unit or not re.search(r"_(ms|s)$", row.name), f"{row.name} has no unit"


def test_every_command_and_option_is_documented():
    page = text("docs/reference/cli.md")
    commands = plugin_pages.commands()
    assert {"serve", "call", "plugins", "providers", "doctor"} <= set(commands)
    assert re.findall(r"^## patter (\S+)$", page, re.MULTILINE) == commands
    for command in commands:
        section = page.partition(f"## patter {command}\n")[2].partition("\n## ")[0]
        assert f"usage: patter {command}" in section
        for option in re.findall(r"\[(--[\w-]+)", section):
            assert re.search(rf"^  (-\w, )?{option}\b.*", section, re.MULTILINE), option


def source_files():
    for package in catalogue.load().packages:
        yield from sorted((package.path / "src").rglob("*.py"))


def test_every_variable_of_ours_in_the_code_is_documented():
    page = text("docs/reference/environment.md")
    # PATTER_API is a constant that a plugin may have, no variable of the environment.
    known = {"PATTER_API"}
    found = {
        node.value
        for file in source_files()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"PATTER_[A-Z_]+", node.value)
    }
    assert {variable for variable in found if f"| `{variable}` |" not in page} == known


def test_every_variable_of_a_provider_is_documented():
    page = text("docs/reference/environment.md")
    manager = plugin_pages.manager()
    variables = {
        variable
        for kind in PROVIDER_KINDS
        for record in manager.records(kind).values()
        for variable in record.env.values()
    }
    assert "TWILIO_AUTH_TOKEN" in variables
    assert all(f"| `{variable}` |" in page for variable in variables)


def test_every_provider_of_ours_is_documented():
    page = text("docs/reference/providers.md")
    for record, package in plugin_pages.records():
        section = page.partition(f"### `{record.name}`\n")[2].partition("\n### ")[0]
        assert package.dist in section


# -- data


def wheel_data():
    """What is no code in a wheel, by its path in the repository."""
    for package in catalogue.load().packages:
        yield (package.path / "LICENSE").relative_to(ROOT).as_posix()
        for file in sorted((package.path / "src").rglob("*")):
            if file.is_file() and file.suffix not in (".py", ".pyc"):
                yield file.relative_to(ROOT).as_posix()


def licence_rows():
    page = text("docs/reference/data-licences.md").partition("What is not in our wheels")[0]
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            yield cells


def test_every_piece_of_data_in_a_wheel_has_a_licence():
    patterns = {file.strip("`"): licence for file, _, _, licence in licence_rows()}
    data = list(wheel_data())
    assert all(patterns.values())
    assert [file for file in data if not any(fnmatch(file, pattern) for pattern in patterns)] == []
    assert [one for one in patterns if not any(fnmatch(file, one) for file in data)] == []


def test_the_licence_table_agrees_with_the_distributions():
    table = {file.strip("`"): licence for file, _, _, licence in licence_rows()}
    other = [package for package in catalogue.load().packages if package.license != "MIT"]
    assert [f"{package.folder}/LICENSE" for package in other] == [
        file for file in table if file.endswith("/LICENSE") and not file.startswith("*")
    ]


# -- links


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).resolve().exists(), target


def test_every_page_can_be_reached_from_the_readme():
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        waiting += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert [name(page) for page in PAGES if page not in seen] == []
