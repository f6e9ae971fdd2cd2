"""Reading a dialogue file: YAML without its traps, and errors that name the line.

Plain words stay words (YAML 1.1 would make "no" a false), aliases are refused (a few lines of them can stand for
gigabytes), and a key that is written twice is an error.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from patter.errors import ConfigError
from patter_scripted.script import Script

#: in bytes; the reader of YAML takes some seconds for a megabyte
LARGEST_FILE: Final = 128 * 1024
BOOKING: Final = Path(__file__).with_name("booking.yaml")

_INTEGER = re.compile(r"-?[0-9]{1,9}\Z")
_DEEPEST: Final = 20

_Path = tuple[str | int, ...]


class _Problem(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")


@cache
def booking() -> Script:
    """The shipped dialogue."""
    return load(BOOKING)


def load(path: Path) -> Script:
    """A dialogue file. Raises `ConfigError` with the file, the line and the key of what is wrong."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"scripted: cannot read the dialogue {path.name}: {error.strerror}") from None
    if len(raw) > LARGEST_FILE:
        raise ConfigError(f"scripted: {path.name} is larger than {LARGEST_FILE} bytes")
    try:
        return parse(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"scripted: {path.name} is not UTF-8 text") from None
    except ConfigError as error:
        raise ConfigError(f"scripted: {path.name}: {error}") from None


def parse(text: str) -> Script:
    """A dialogue as text. Raises `ConfigError` with the line and the key of what is wrong."""
    lines: dict[_Path, int] = {}
    try:
        node = _compose(text)
        document = _plain(node, (), lines)
    except _Problem as problem:
        raise ConfigError(str(problem)) from None
    try:
        return Script.model_validate(document)
    except ValidationError as error:
        raise ConfigError("; ".join(_explained(document, lines, one) for one in error.errors()[:5])) from None


def _compose(text: str) -> Any:
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent):
                raise _Problem(event.start_mark.line + 1, "aliases (*name) are not supported")
            if depth > _DEEPEST:
                raise _Problem(event.start_mark.line + 1, "nested too deep")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _Problem(line, f"{error.problem or 'not YAML'}") from None
    except yaml.YAMLError:
        raise _Problem(1, "this is not YAML") from None


def _plain(node: Any, path: _Path, lines: dict[_Path, int]) -> Any:
    """The node as dict, list or scalar; `lines` remembers where each part stands."""
    if node is None:
        raise _Problem(1, "the file is empty")
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*path, index), lines) for index, child in enumerate(node.value)]
    found: dict[str, Any] = {}
    for key_node, child in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _Problem(key_node.start_mark.line + 1, "a key must be a word")
        key = key_node.value
        if key in found:
            raise _Problem(key_node.start_mark.line + 1, f"{key!r} is written twice")
        lines[(*path, key)] = key_node.start_mark.line + 1
        found[key] = _plain(child, (*path, key), lines)
    return found


def _scalar(node: Any) -> str | int | bool | None:
    text: str = node.value
    if node.style is not None:  # quoted
        return text
    if text in ("true", "false"):
        return text == "true"
    if text in ("", "~", "null"):
        return None
    return int(text) if _INTEGER.match(text) else text


def _explained(document: Any, lines: dict[_Path, int], error: Any) -> str:
    """One problem with its line; the path of a validation error also names types, which the file does not."""
    path: _Path = ()
    here = document
    for step in error["loc"]:
        if (isinstance(here, dict) and step in here) or (
            isinstance(here, list) and isinstance(step, int) and step < len(here)
        ):
            here = here[step]
        else:
            break
        path = (*path, step)
    missing = error["type"] == "missing"
    key = ".".join(map(str, (*path, error["loc"][-1]) if missing else path)) or "the dialogue"
    text = "is missing" if missing else error["msg"].removeprefix("Value error, ")
    return f"line {lines.get(path, 1)}: {key}: {text}"
