"""English numbers, read from words and written as words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_UNITS: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS: Final = "twenty thirty forty fifty"
_VALUES: Final = {word: value for value, word in enumerate(_UNITS.split())} | {
    word: value * 10 for value, word in enumerate(_TENS.split(), start=2)
}
_WORDS: Final = {value: word for word, value in _VALUES.items()}
#: what recognisers write for a number, believed only where a number must stand
HOMOPHONES: Final = {
    "for": 4,
    "to": 2,
    "too": 2,
    "won": 1,
    "ate": 8,
    "fore": 4,
    "tree": 3,
    "sex": 6,
    "fife": 5,
}


def read_number(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """The number from 0 to 99 that begins at a word, and how many words it takes."""
    if at >= len(words):
        return None
    word = words[at]
    if word.isascii() and word.isdecimal() and len(word) <= 2:
        return int(word), 1
    value = _VALUES.get(word)
    if value is None:
        return None
    unit = _VALUES.get(words[at + 1], 0) if at + 1 < len(words) else 0
    if value >= 20 and 1 <= unit <= 9:
        return value + unit, 2
    return value, 1


def number_in_words(value: int) -> str:
    """ "twenty-five"; digits from 60 on."""
    if value in _WORDS:
        return _WORDS[value]
    if not 0 <= value < 60:
        return str(value)
    return f"{_WORDS[value // 10 * 10]}-{_WORDS[value % 10]}"


def time_in_words(hour: int, minute: int) -> str:
    """A time of the 24 hours as it is said: "seven thirty", "nine o'clock in the morning", "noon"."""
    if (hour, minute) == (12, 0):
        return "noon"
    if (hour, minute) == (0, 0):
        return "midnight"
    name = number_in_words(hour % 12 or 12)
    minutes = (
        "o'clock"
        if minute == 0
        else number_in_words(minute)
        if minute > 9
        else f"oh {number_in_words(minute)}"
    )
    return f"{name} {minutes}{' in the morning' if hour < 12 else ''}"
