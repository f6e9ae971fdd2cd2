"""Reading a vendor's JSON, of which nothing is believed: each function gives what is there, or an empty value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

#: the longest text that is taken, in characters
LONGEST_TEXT: Final = 100_000


def json_object(raw: str | bytes) -> dict[str, Any] | None:
    """The object that a message is; None for anything else."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def typed_object(raw: str | bytes) -> dict[str, Any] | None:
    """A message that says of which type it is; None for anything else."""
    message = json_object(raw)
    return message if message is not None and isinstance(message.get("type"), str) else None


def part(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under that name; an empty one if there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else {}


def text(fields: Mapping[str, Any], name: str, longest: int = LONGEST_TEXT) -> str:
    """The text under that name; "" if there is none or it is longer than it may be, in characters.

    Half characters, which JSON can spell and nobody can send on, are replaced.
    """
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > longest:
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def as_arguments(parameters: object) -> str:
    """What a tool is called with, as JSON; without what is no JSON object, or cannot be written as one."""
    try:
        return json.dumps(parameters if isinstance(parameters, dict) else {}, allow_nan=False)
    except (ValueError, RecursionError):
        return "{}"
