# SPDX-License-Identifier: GPL-3.0-or-later
"""Text made safe for the engine, in pieces that leave it soon."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

# About 15 s of speech at the default rate: the longest time that a piece may occupy the memory of a call.
BUDGET = 240

# How many letters of English a character takes to say, at most: "7" is "seven", an emoji or a Chinese
# character is spelt out.
_COST_OF_DIGIT = 4
_COST_OF_FOREIGN = 8
_LAST_LATIN = "\u024f"

_SENTENCE_ENDS = ".!?;:\u2026"


def clean(text: str) -> str:
    """`text` without what the engine would take for a command or choke on.

    Control characters become spaces: espeak-ng ends at a NUL and takes CTRL-A for the start of an embedded command,
    which would change the voice of later calls. Lone surrogates cannot be encoded and are dropped, as are the marks
    that only steer the direction of writing.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if category in ("Cc", "Zl", "Zp"):
            kept.append(" ")
        elif category not in ("Cs", "Cf", "Co", "Cn"):
            kept.append(character)
    return " ".join("".join(kept).split())


def pieces(text: str) -> Iterator[str]:
    """`text`, cleaned and cut so that each piece is about 15 s of speech at most; nothing if it is blank.

    Cuts fall behind the last sentence that fits, else behind the last comma, else at the last space, else anywhere.
    """
    rest = clean(text)
    while rest:
        end = _end_of_piece(rest)
        piece, rest = rest[:end].rstrip(), rest[end:].lstrip()
        yield piece


def _end_of_piece(text: str) -> int:
    fitting = _fitting(text)
    if fitting == len(text):
        return fitting
    spaces = [index for index in range(1, fitting + 1) if text[index] == " "]
    for stops in (_SENTENCE_ENDS, ","):
        behind = [index for index in spaces if text[index - 1] in stops]
        if behind:
            return behind[-1]
    return spaces[-1] if spaces else fitting


def _fitting(text: str) -> int:
    """How many characters of `text` the budget covers; at least one."""
    spent = 0
    for index, character in enumerate(text):
        spent += _cost(character)
        if spent > BUDGET:
            return max(index, 1)
    return len(text)


def _cost(character: str) -> int:
    if character.isdecimal():
        return _COST_OF_DIGIT
    return 1 if character <= _LAST_LATIN else _COST_OF_FOREIGN
