"""Text from outside, made fit for a log line."""

from __future__ import annotations


def log_text(text: object, most: int = 200) -> str:
    """`text` on one line, without control characters and cut at `most` characters (SC-08)."""
    line = "".join(character if character.isprintable() else "?" for character in str(text)[: most + 1])
    return line if len(line) <= most else line[:most] + "…"
