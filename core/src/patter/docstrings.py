"""What a tool's docstring says: a description, and a text for each argument.

Two ways of writing are read: Google's ("Args:" and indented names) and reST's (":param name: text").
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import Final

_ARGUMENTS: Final = re.compile(r"(args|arguments|parameters|params)\s*:\s*\Z", re.IGNORECASE)
_OTHER_SECTION: Final = re.compile(
    r"(returns?|raises|yields?|examples?|notes?|warnings?|see also|todo|attributes|references)\s*:\s*\Z",
    re.IGNORECASE,
)
_GOOGLE_ARGUMENT: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)\Z")
_REST_FIELD: Final = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)\Z")


@dataclass(slots=True)
class DocstringParts:
    """A docstring taken apart."""

    description: str = ""
    arguments: dict[str, str] = field(default_factory=dict)


def read_docstring(text: str | None) -> DocstringParts:
    """The description (everything before the first section) and the text of each argument, on one line each."""
    lines = inspect.cleandoc(text or "").splitlines()
    parts = DocstringParts()
    description: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if _ARGUMENTS.match(line):
            index = _read_google_arguments(lines, index + 1, parts.arguments)
        elif _REST_FIELD.match(line):
            index = _read_rest_field(lines, index, parts.arguments)
        elif _OTHER_SECTION.match(line):
            index = _block_end(lines, index + 1, 0)
        else:
            description.append(line)
            index += 1
    parts.description = "\n".join(description).strip()
    return parts


def _read_google_arguments(lines: list[str], index: int, arguments: dict[str, str]) -> int:
    end = _block_end(lines, index, 0)
    block = [line for line in lines[index:end] if line.strip()]
    if not block:
        return end
    margin = _indent(block[0])
    name = ""
    for line in block:
        match = _GOOGLE_ARGUMENT.match(line.strip()) if _indent(line) <= margin else None
        if match:
            name = match[1]
            arguments[name] = match[2].strip()
        elif name:
            arguments[name] = f"{arguments[name]} {line.strip()}".strip()
    return end


def _read_rest_field(lines: list[str], index: int, arguments: dict[str, str]) -> int:
    match = _REST_FIELD.match(lines[index])
    assert match is not None
    end = _block_end(lines, index + 1, 0)
    text = " ".join(line.strip() for line in [match[3], *lines[index + 1 : end]] if line.strip())
    words = (match[2] or "").split()
    if match[1] in ("param", "parameter", "arg", "argument") and words:
        # ":param int people:" names the type before the argument
        arguments[words[-1].lstrip("*")] = text
    return end


def _block_end(lines: list[str], index: int, margin: int) -> int:
    """Where the lines that are indented deeper than `margin` end."""
    while index < len(lines) and (not lines[index].strip() or _indent(lines[index]) > margin):
        index += 1
    return index


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
