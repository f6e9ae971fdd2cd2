"""How well a recogniser understood: word errors of a transcript against what was said.

Both sides are normalised alike, because a recogniser writes as it likes: "Half past 7, 10 people" and "half past
seven ten people" are the same words. Normalising belongs here, to the scorer, and never to a recogniser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_UNITS: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SCALES: Final = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_ORDINALS: Final = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_SIGNS: Final = {"%": " percent ", "&": " and ", "+": " plus ", "@": " at "}
_CURRENCIES: Final = {"$": "dollars", "€": "euros", "£": "pounds"}

_AMOUNT = re.compile(r"([$€£])\s*(\d[\d,]*(?:\.\d+)?)")
_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
# "7:00" is said "seven"; "7:05" is said "seven oh five", which no writing of digits can tell, so it is left as it is.
_FULL_HOUR = re.compile(r"\b(\d{1,2}):00\b")
_DIGIT_STRING = re.compile(r"\b\d+(?:-\d+)+\b")
_DECIMAL = re.compile(r"\b(\d+)\.(\d+)\b")
_ABBREVIATION = re.compile(r"\b(?:[a-z]\.){2,}")
_ORDINAL = re.compile(r"\b(\d+)(?:st|nd|rd|th)\b")
_WORD = re.compile(r"[^\W_]+")
_LONGEST_NUMBER: Final = 12


@dataclass(frozen=True, slots=True)
class WordErrors:
    """The least edits that turn what was said into what was understood. The errors of a whole call are a sum."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference_words: int = 0

    @property
    def errors(self) -> int:
        """All edits."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per word that was said; more than 1 if much was invented. Without a word said, the errors."""
        return self.errors / max(1, self.reference_words)

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference_words + other.reference_words,
        )


def normalise(text: str) -> list[str]:
    """The words of `text` in lower case, without punctuation, numbers as they are usually said.

    Up to three digits and anything with a thousands separator are a number ("120", "1,500"), four digits two pairs
    ("2026", "twenty twenty six"), and longer or hyphenated digits are read one by one ("555-1234"). A time is its
    two numbers ("7:30"). Apostrophes join ("o'clock" is "oclock"), hyphens separate.
    """
    text = text.lower().replace("’", "'").replace("'", "")
    text = _AMOUNT.sub(lambda found: f"{found[2]} {_CURRENCIES[found[1]]}", text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = _ABBREVIATION.sub(lambda found: found[0].replace(".", "") + " ", text)
    text = _FULL_HOUR.sub(r"\1", text)
    text = _GROUPED.sub("_", text)
    text = _ORDINAL.sub(lambda found: _ordinal(found[1]), text)
    text = _DIGIT_STRING.sub(lambda found: _one_by_one(found[0]), text)
    text = _DECIMAL.sub(lambda found: f"{_said(found[1])} point {_one_by_one(found[2])}", text)
    text = re.sub(r"\d[\d_]*", lambda found: f" {_said(found[0])} ", text)
    return _WORD.findall(text)


def count_word_errors(reference: str, hypothesis: str) -> WordErrors:
    """The errors of `hypothesis`, what was understood, against `reference`, what was said."""
    said, understood = normalise(reference), normalise(hypothesis)
    # row[n]: (edits, substitutions, deletions, insertions) from the words said so far to the first n understood
    row = [(n, 0, 0, n) for n in range(len(understood) + 1)]
    for count, word in enumerate(said, start=1):
        above, row = row, [(count, 0, count, 0)]
        for n, other in enumerate(understood):
            edits, changed, missing, added = above[n]
            if word == other:
                row.append((edits, changed, missing, added))
                continue
            substitution = (edits + 1, changed + 1, missing, added)
            edits, changed, missing, added = above[n + 1]
            deletion = (edits + 1, changed, missing + 1, added)
            edits, changed, missing, added = row[n]
            insertion = (edits + 1, changed, missing, added + 1)
            row.append(min(substitution, deletion, insertion, key=lambda path: path[0]))
    _, substitutions, deletions, insertions = row[-1]
    return WordErrors(substitutions, deletions, insertions, len(said))


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Errors per word of `reference`."""
    return count_word_errors(reference, hypothesis).rate


def _said(digits: str) -> str:
    """How a run of digits, with `_` for thousands separators, is usually said."""
    plain = digits.replace("_", "")
    if len(plain) > _LONGEST_NUMBER or (len(plain) > 1 and plain[0] == "0"):
        return _one_by_one(plain)
    if "_" in digits or len(plain) <= 3:
        return _cardinal(int(plain))
    if len(plain) == 4 and plain[2:] != "00":
        return f"{_cardinal(int(plain[:2]))} {_pair(plain[2:])}"
    return _cardinal(int(plain)) if plain[-2:] == "00" else _one_by_one(plain)


def _pair(digits: str) -> str:
    return _one_by_one(digits) if digits[0] == "0" else _cardinal(int(digits))


def _one_by_one(digits: str) -> str:
    return " ".join(_UNITS[int(digit)] if digit.isdecimal() else "" for digit in digits)


def _cardinal(number: int) -> str:
    if number < 20:
        return _UNITS[number]
    if number < 100:
        tens, unit = divmod(number, 10)
        return _TENS[tens] if unit == 0 else f"{_TENS[tens]} {_UNITS[unit]}"
    scale, name = next(one for one in _SCALES if number >= one[0])
    many, rest = divmod(number, scale)
    return f"{_cardinal(many)} {name}" if rest == 0 else f"{_cardinal(many)} {name} {_cardinal(rest)}"


def _ordinal(digits: str) -> str:
    if len(digits) > _LONGEST_NUMBER:
        return _one_by_one(digits)
    *before, last = _cardinal(int(digits)).split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"
    return " ".join([*before, last])
