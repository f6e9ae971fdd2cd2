"""Pages of the documentation, and the code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if page.name != "behaviours.md")]
)

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|toml))\n")


@dataclass(frozen=True)
class Block:
    """A piece of code on a page. `file` is the name in its first line, such as ``# tests/conftest.py``, or empty."""

    page: Path
    language: str
    source: str
    line: int

    @property
    def file(self) -> str:
        match = _FILE.match(self.source)
        return match[1] if match else ""

    @property
    def place(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    """The page as people name it."""
    return page.relative_to(ROOT).as_posix()


def text(page: str) -> str:
    """The text of a page of the repository."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[Block]:
    """The code blocks of a page in that language."""
    source = page.read_text(encoding="utf-8")
    return [
        Block(page, found[1], found[2], source.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(source)
        if found[1] == language
    ]
