"""What a model is told of a tool call: always text, always bounded. Pure."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from collections.abc import Mapping
from typing import Any, Final

from patter.redaction import redact

#: longest text that goes to the model, in bytes of UTF-8
LONGEST_RESULT: Final = 64 * 1024
#: longest arguments that are read, in characters
LONGEST_ARGUMENTS: Final = 64 * 1024
_CUT: Final = " … [cut]"


def read_json_arguments(text: str) -> dict[str, Any]:
    """A model's arguments; raises `ValueError` with what is wrong, in words for the model."""
    if len(text) > LONGEST_ARGUMENTS:
        raise ValueError(f"the arguments are longer than {LONGEST_ARGUMENTS} characters")
    if not text.strip():
        return {}  # how some models call a tool without parameters
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("the arguments are not valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError("the arguments must be a JSON object")
    return value


def result_text(value: Any) -> str:
    """A tool's result as text: a string as it is, anything else as JSON. Raises `TypeError` or `ValueError`."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=_plain)
        except RecursionError:
            raise ValueError("the result is nested too deep") from None
    return _bounded(text)


def error_text(problem: object, *, fallback: bool = False, retry_after_ms: int | None = None) -> str:
    """What the model is told of a call that gave no result; `fallback` says that trying again will not help, but for
    after `retry_after_ms`.
    """
    told: dict[str, Any] = {"error": redact(problem)}
    if fallback:
        told["fallback"] = True
    if retry_after_ms is not None:
        told["retry_after_ms"] = retry_after_ms
    return json.dumps(told, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What `json` does not know by itself."""
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"a result of type {type(value).__name__} has no JSON form")


def _bounded(text: str) -> str:
    raw = text[: LONGEST_RESULT + 1].encode("utf-8", "replace")
    if len(raw) <= LONGEST_RESULT:
        return raw.decode()
    return raw[: LONGEST_RESULT - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT
