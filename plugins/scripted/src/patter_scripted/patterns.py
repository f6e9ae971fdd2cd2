"""Patterns of words: ``(please) book|reserve (a|the) table ... tonight``.

A pattern is words in their order; ``a|b`` is either, ``(word)`` may be missing, ``...`` stands for up to three words.
It is found anywhere in an utterance. Matching walks once over the words with one number for each place in the pattern,
so its cost is their product, whatever the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from patter_scripted.words import likeness, words_of

_LONGEST_PATTERN: Final = 16
_LONGEST_GAP: Final = 3
_ELEMENT: Final = re.compile(r"(?:[^\W_]|')+(?:\|(?:[^\W_]|')+)*\Z")
#: words that say little about what is wanted
_FILLER_WORDS = "a an the i you we he she it is are am was do does did to of for on in at and or that this my me us your our"
_FILLERS: Final = frozenset(_FILLER_WORDS.split())
_IMPOSSIBLE: Final = -1.0


class PatternError(ValueError):
    """A pattern that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Element:
    """One place of a pattern; without words any word fits."""

    words: tuple[str, ...]
    optional: bool

    def score(self, heard: str) -> float:
        """How well a word fits here; negative when it does not."""
        if not self.words:
            return 0.0
        best = max(likeness(heard, word) for word in self.words)
        if best == 0:
            return _IMPOSSIBLE
        return best * (0.25 if heard in _FILLERS else 1.0) * (0.5 if self.optional else 1.0)


class Pattern:
    """A compiled pattern. Raises `PatternError`."""

    def __init__(self, text: str) -> None:
        self.text = text
        elements: list[_Element] = []
        for part in text.lower().replace("’", "'").split():
            elements.extend(_read(part, text))
        if not any(not element.optional for element in elements):
            raise PatternError(f"{text!r} needs at least one word that must be said")
        if len(elements) > _LONGEST_PATTERN:
            raise PatternError(f"{text!r} has more than {_LONGEST_PATTERN} places")
        self._elements = elements

    def match(self, heard: Sequence[str]) -> float:
        """How much of the pattern was said, in words; 0 when it was not."""
        size = len(self._elements)
        reached = self._skip_optional([0.0] + [_IMPOSSIBLE] * size)
        best = 0.0
        for word in heard:
            following = [0.0] + [_IMPOSSIBLE] * size
            for place, element in enumerate(self._elements):
                if reached[place] < 0:
                    continue
                score = element.score(word)
                if score >= 0:
                    following[place + 1] = max(following[place + 1], reached[place] + score)
            reached = self._skip_optional(following)
            best = max(best, reached[size])
        return best

    def _skip_optional(self, reached: list[float]) -> list[float]:
        for place, element in enumerate(self._elements):
            if element.optional:
                reached[place + 1] = max(reached[place + 1], reached[place])
        return reached


def _read(part: str, pattern: str) -> list[_Element]:
    if part == "...":
        return [_Element((), optional=True)] * _LONGEST_GAP
    optional = part.startswith("(") and part.endswith(")")
    inner = part[1:-1] if optional else part
    if not _ELEMENT.match(inner):
        raise PatternError(f"{pattern!r}: {part!r} is no word, (word), one|other or ...")
    alternatives = [words_of(word) for word in inner.split("|")]
    if len(alternatives) == 1:
        # "don't" is two words in the normalised utterance
        return [_Element((word,), optional) for word in alternatives[0]]
    if any(len(words) != 1 for words in alternatives):
        raise PatternError(f"{pattern!r}: {part!r} has an alternative of more than one word")
    return [_Element(tuple(words[0] for words in alternatives), optional)]
