"""Set single keys in a TOML file and leave every other character as it is."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence

Value = str | Sequence[str] | Sequence[Mapping[str, str]]


def set_key(text: str, table: str, key: str, value: Value) -> str:
    """`text` with `key` of `[table]` set to `value`; table and key are appended where they are missing."""
    lines = text.splitlines()
    start = _table_line(lines, table)
    if start is None:
        lines += ["", f"[{table}]"] if lines else [f"[{table}]"]
        start = len(lines) - 1
    end = next((n for n in range(start + 1, len(lines)) if lines[n].startswith("[")), len(lines))
    span = _key_span(lines, start + 1, end, key)
    if span is None:
        while end > start + 1 and not lines[end - 1].strip():
            end -= 1
        span = (end, end)
    lines[span[0] : span[1]] = _assignment(key, value)
    return "\n".join(lines) + "\n"


def _table_line(lines: list[str], table: str) -> int | None:
    return next((n for n, line in enumerate(lines) if line.strip() == f"[{table}]"), None)


def _key_span(lines: list[str], start: int, end: int, key: str) -> tuple[int, int] | None:
    """First line of the assignment and the line after its last one."""
    for first in range(start, end):
        name, equals, _ = lines[first].partition("=")
        if not equals or name.strip().strip('"') != key:
            continue
        for last in range(first + 1, end + 1):
            try:
                tomllib.loads("\n".join(lines[first:last]))
            except tomllib.TOMLDecodeError:
                continue
            return first, last
    return None


def _assignment(key: str, value: Value) -> list[str]:
    if isinstance(value, str):
        return [f"{key} = {_render(value)}"]
    items = [_render(item) for item in value]
    one_line = f"{key} = [{', '.join(items)}]"
    if len(one_line) <= 110 and len(items) <= 3:
        return [one_line]
    return [f"{key} = [", *(f"    {item}," for item in items), "]"]


def _render(item: str | Mapping[str, str]) -> str:
    if isinstance(item, str):
        # A JSON string is a TOML basic string for the characters that names and summaries have.
        return json.dumps(item, ensure_ascii=False)
    pairs = (f"{key} = {json.dumps(text, ensure_ascii=False)}" for key, text in item.items())
    return "{ " + ", ".join(pairs) + " }"
