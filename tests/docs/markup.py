"""The little Markdown that the generated pages need."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; pipes in cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


def code(text: str) -> str:
    """Inline code, or nothing for an empty text."""
    return f"`{text}`" if text else ""


def prose(docstring: str | None) -> str:
    """A docstring as Markdown: single backquotes for double ones, lists for its sections, tables as they are."""
    text = re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(docstring or ""))
    text = re.sub(r"^(Args|Attributes|Raises):\n", r"\1:\n\n", text, flags=re.MULTILINE)
    text = re.sub(r"^    (\w+): ", r"- `\1`: ", text, flags=re.MULTILINE)
    text = re.sub(r"^        (?=\S)", "  ", text, flags=re.MULTILINE)
    return re.sub(
        r"^=+  =+\n(.*?)\n=+  =+$", r"```text\n\1\n```", text, flags=re.MULTILINE | re.DOTALL
    ).strip()


def first_paragraph(docstring: str | None) -> str:
    """The first paragraph, on one line."""
    return re.sub(r"\s+", " ", prose(docstring).split("\n\n")[0])


def type_name(text: str) -> str:
    """A type as people write it, without the modules it is from."""
    return re.sub(
        r"\b(?:typing|pathlib|pydantic\.types|collections\.abc|patter(?:\.\w+)+)\.", "", text
    ).replace("NoneType", "None")
