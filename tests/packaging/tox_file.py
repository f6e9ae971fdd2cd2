"""The lines of tox.ini that follow from the table of packages."""

from __future__ import annotations

from collections.abc import Sequence

from catalogue import Catalogue, Package

BEGIN = "    # begin: written by packages.py fix"
END = "    # end"


def check(catalogue: Catalogue) -> list[str]:
    """One line for each block of tox.ini that is not what `fix` would write."""
    path = catalogue.root / "tox.ini"
    if not path.is_file():
        return ["tox.ini: is missing"]
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != len(_blocks(catalogue)):
        return [f"tox.ini: expected {len(_blocks(catalogue))} blocks that begin with {BEGIN.strip()!r}"]
    if _rewritten(text, catalogue) != text:
        return ["tox.ini: differs from the table of packages; run packages.py fix"]
    return []


def fix(catalogue: Catalogue) -> list[str]:
    """Rewrite the blocks; return the files that changed."""
    path = catalogue.root / "tox.ini"
    if not path.is_file():
        return []
    before = path.read_text(encoding="utf-8")
    after = _rewritten(before, catalogue)
    if after == before:
        return []
    path.write_text(after, encoding="utf-8")
    return ["tox.ini"]


def _blocks(catalogue: Catalogue) -> list[list[str]]:
    return [_environments(catalogue), _settings(catalogue), _demo(catalogue)]


def _environments(catalogue: Catalogue) -> list[str]:
    lines = []
    for kind in ("plugin", "contrib"):
        found = (package.environment for package in catalogue.packages if not package.is_core)
        names = [name.removeprefix(f"{kind}-") for name in found if name.startswith(f"{kind}-")]
        lines.append(f"    {kind}-{{{','.join(names)}}}")
    return lines


def _settings(catalogue: Catalogue) -> list[str]:
    lines = []
    for package in catalogue.packages:
        own = _requirements(catalogue.closure(package))
        lines.append(f"    {package.environment}: OWN = {own}")
        lines.append(f"    {package.environment}: TESTS = {package.folder}/tests")
    lines.append(f"    all,bench: OWN = {_requirements(catalogue.packages)}")
    return lines


def _demo(catalogue: Catalogue) -> list[str]:
    """The demo with the voice that it does not require: espeak-ng is GPL, so nothing of ours depends on it."""
    by_dist = catalogue.by_dist()
    wanted = [package for name in ("patter-demo", "patter-espeak") if (package := by_dist.get(name))]
    needed = {member.dist for package in wanted for member in catalogue.closure(package)}
    packages = [package for package in catalogue.packages if package.dist in needed]
    return [f"    OWN = {' '.join(package.dist for package in packages)}"]


def _requirements(packages: Sequence[Package]) -> str:
    names = (package.dist + ("[testing]" if package.is_core else "") for package in packages)
    return " ".join(names)


def _rewritten(text: str, catalogue: Catalogue) -> str:
    """`text` with the lines between each BEGIN and END replaced, in order."""
    blocks = iter(_blocks(catalogue))
    result: list[str] = []
    inside = False
    for line in text.splitlines():
        if line == END:
            inside = False
        if not inside:
            result.append(line)
        if line == BEGIN:
            inside = True
            result += next(blocks, [])
    return "\n".join(result) + "\n"
