"""Every log record of Patter and its plugins is one line without secrets, whole numbers or control characters (SC-08).

It is done where records are made, so it holds whatever handlers, filters and formatters a program has. Only records of
loggers named `patter`, ``patter.…`` and ``patter_…`` are touched.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from patter.redaction import LONGEST_QUOTE, redact

#: a whole line is cut here, in characters: room for our own words around what is quoted
LONGEST_LINE: Final = 1000
#: lines of a traceback; those in the middle are left out
MOST_LINES: Final = 200

_INDENT: Final = "  "


class Lines(str):
    """A stack as the last argument of a log call: it is written below the line, as the stack of a record is."""

    __slots__ = ()


def guard_log_records() -> None:
    """Take part in the making of log records, once; a factory that is set already goes on making them."""
    before: Callable[..., logging.LogRecord] = logging.getLogRecordFactory()
    if getattr(before, "guards_patter", False):
        return

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        if is_guarded(record.name):
            make_fit(record)
        return record

    made.guards_patter = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(made)


def is_guarded(name: object) -> bool:
    """Whether a logger of that name is one of Patter or of a plugin in its name."""
    return isinstance(name, str) and (name == "patter" or name.startswith(("patter.", "patter_")))


def make_fit(record: logging.LogRecord) -> None:
    """Put what may be written in the place of a record's message and traceback."""
    if isinstance(record.args, tuple) and record.args and isinstance(record.args[-1], Lines):
        record.stack_info = "\n".join(_indented(record.args[-1].splitlines()))
        record.args = (*record.args[:-1], "")
    record.msg, record.args = _line(record), ()
    if record.exc_info and record.exc_info[1] is not None:
        # Formatters print this text, if it is there, instead of making their own.
        record.exc_text = "\n".join(_traceback(record.exc_info[1]))


def _line(record: logging.LogRecord) -> str:
    """The message, each quoted text cut and the line as a whole made fit."""
    args: Any = record.args
    if isinstance(args, Mapping):
        args = {name: _quoted(value) for name, value in args.items()}
    elif args:
        args = tuple(_quoted(value) for value in args)
    try:
        text = str(record.msg) % args if args else str(record.msg)
    except (TypeError, ValueError, KeyError):  # the message does not fit its arguments
        text = f"{record.msg} {args}"
    return redact(text, longest=LONGEST_LINE)


def _quoted(value: Any) -> Any:
    """An argument, cut where it is text that is too long; the line as a whole is made fit afterwards."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    if len(text) <= LONGEST_QUOTE:
        return value
    from patter.errors import ConfigError

    # What core says about a configuration is its own text, with what to install at its end.
    return redact(text, longest=LONGEST_LINE if isinstance(value, ConfigError) else LONGEST_QUOTE)


def _traceback(error: BaseException) -> Iterator[str]:
    """A traceback of which no line can be taken for a record of its own: each is made fit, and indented."""
    lines = [line for chunk in traceback.format_exception(error) for line in chunk.splitlines()]
    if len(lines) > MOST_LINES:
        half = MOST_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines left out ...", *lines[-half:]]
    return _indented(lines)


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        depth = min(len(line) - len(line.lstrip(" ")), 40)
        yield _INDENT + " " * depth + redact(line)
