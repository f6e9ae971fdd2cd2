"""Days and times in an English utterance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from patter_scripted.numbers import read_number, time_in_words
from patter_scripted.words import likeness

WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_OTHER_DAYS: Final = {"today": "today", "tonight": "today", "tomorrow": "tomorrow"}
_PARTS_OF_DAY: Final = {"morning": "am", "afternoon": "pm", "evening": "pm", "night": "pm", "tonight": "pm"}
_BEFORE_TIME: Final = frozenset(("at", "around", "about", "by", "after", "before", "until"))
_DIGITAL: Final = re.compile(r"(\d{1,2})[:.](\d{2})\Z")


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a slot: as a tool gets it, as it is said, and which words of the utterance it took."""

    value: str
    spoken: str
    begin: int = 0
    end: int = 0


def find_day(words: Sequence[str]) -> Value | None:
    """The last day that is named: who corrects himself says the right one last."""
    found = None
    for at, word in enumerate(words):
        if word in _OTHER_DAYS:
            found = Value(_OTHER_DAYS[word], word, at, at + 1)
            continue
        # "fry day" is two words for some recognisers
        joined = word + words[at + 1] if at + 1 < len(words) and words[at + 1] == "day" else word
        for day in WEEKDAYS:
            if likeness(joined, day) > 0:
                found = Value(day, f"on {day.capitalize()}", at, at + 1 + (joined != word))
                break
    return found


def find_time(words: Sequence[str], *, expected: bool, assume: str) -> Value | None:
    """The last time of day that is named.

    A bare number is a time only after a word such as "at", or where a time is `expected`. `assume` ("am" or "pm")
    decides where nothing else does.
    """
    part = next((_PARTS_OF_DAY[word] for word in words if word in _PARTS_OF_DAY), "")
    found = None
    at = 0
    while at < len(words):
        read = _read_time(words, at, expected)
        if read is None:
            at += 1
            continue
        hour, minute, meridiem, end = read
        hour = _in_24_hours(hour, meridiem or part or assume)
        found = Value(f"{hour:02d}:{minute:02d}", time_in_words(hour, minute), at, end)
        at = end
    return found


def _in_24_hours(hour: int, meridiem: str) -> int:
    if hour > 12 or not meridiem:
        return hour % 24
    return hour % 12 + (12 if meridiem == "pm" else 0)


def _read_time(words: Sequence[str], at: int, expected: bool) -> tuple[int, int, str, int] | None:
    """Hour, minute, "am", "pm" or "", and the end of a time that begins at a word."""
    word = words[at]
    if word in ("noon", "midday"):
        return 12, 0, "pm", at + 1
    if word == "midnight":
        return 0, 0, "am", at + 1
    digital = _DIGITAL.match(word)
    if digital and int(digital[1]) < 25 and int(digital[2]) < 60:
        meridiem, end = _meridiem(words, at + 1)
        return int(digital[1]), int(digital[2]), meridiem, end
    return _read_relative(words, at) or _read_spoken(words, at, expected)


def _read_relative(words: Sequence[str], at: int) -> tuple[int, int, str, int] | None:
    """ "half past seven", "quarter to eight", "ten past nine"."""
    names = {"half": (30, 1), "quarter": (15, 1)}
    minutes = names.get(words[at]) or read_number(words, at)
    if minutes is None or at + minutes[1] >= len(words) or not 0 < minutes[0] < 60:
        return None
    middle = at + minutes[1]
    hour = read_number(words, middle + 1)
    if words[middle] not in ("past", "to", "before", "after") or hour is None or not 1 <= hour[0] <= 12:
        return None
    if words[at] not in names and minutes[0] % 5:
        return None  # "table 2 to 8" is no time
    meridiem, end = _meridiem(words, middle + 1 + hour[1])
    if words[middle] in ("past", "after"):
        return hour[0], minutes[0], meridiem, end
    return (hour[0] - 1 or 12), 60 - minutes[0], meridiem, end


def _read_spoken(words: Sequence[str], at: int, expected: bool) -> tuple[int, int, str, int] | None:
    """ "seven", "seven thirty p m", "seven oh five", "seven o'clock"."""
    hour = read_number(words, at)
    if hour is None or not 1 <= hour[0] <= 24:
        return None
    end = at + hour[1]
    minute, sure = 0, False
    if end < len(words) and words[end] == "oclock":
        end, sure = end + 1, True
    elif end < len(words):
        oh = words[end] in ("oh", "o")
        read = read_number(words, end + oh)
        if read is not None and (read[0] < 10 if oh else 10 <= read[0] < 60):
            minute, end, sure = read[0], end + oh + read[1], True
    meridiem, after = _meridiem(words, end)
    sure = sure or bool(meridiem) or (at > 0 and words[at - 1] in _BEFORE_TIME)
    return (hour[0], minute, meridiem, after) if sure or expected else None


def _meridiem(words: Sequence[str], at: int) -> tuple[str, int]:
    """ "am" or "pm" at a word, and where it ends."""
    if at < len(words) and words[at] in ("am", "pm"):
        return words[at], at + 1
    return "", at
