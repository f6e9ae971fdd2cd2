"""Finding the values of slots in an utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from patter_scripted.numbers import HOMOPHONES, number_in_words, read_number
from patter_scripted.script import Slot
from patter_scripted.times import Value, find_day, find_time
from patter_scripted.words import likeness

_TAKEN = ""
_BEFORE_NUMBER = frozenset(("for", "of", "it", "just", "only", "be", "are", "with", "is", "make"))
_NAME_LEADS = (
    ("under", "the", "name", "of"), ("in", "the", "name", "of"), ("the", "name", "is"), ("my", "name", "is"),
    ("last", "name", "is"), ("name", "of"), ("name", "is"), ("i", "am"), ("under",), ("this", "is"), ("it", "is"),
)  # fmt: skip
_NOT_NAME_WORDS = (
    "a an the it is that this my name for under of um uh er well yes no please thank thanks you ok sorry so and "
    "actually just would be mister mr mrs miss i am not sure here"
)
_NOT_NAMES = frozenset(_NOT_NAME_WORDS.split())
_LONGEST_NAME = 3


def find_values(
    slots: Mapping[str, Slot], heard: Sequence[str], expected: str | None, *, free_names: bool
) -> dict[str, Value]:
    """The values that an utterance names.

    `expected` is the slot that was asked for: there a bare number, and with `free_names` any other word, is taken
    for the answer. Each word counts once: who comes at seven thirty does not bring thirty guests.
    """
    words = list(heard)
    found: dict[str, Value] = {}
    # Numbers with a unit are the surest, bare ones the least sure; days and times lie between.
    for name, slot in slots.items():
        if slot.type == "number":
            _take(found, words, name, _find_number_with_unit(words, slot))
    for kind in ("day", "time", "number", "name"):
        for name, slot in slots.items():
            if slot.type == kind and name not in found:
                _take(found, words, name, _find(slot, words, expected == name, free_names))
    return found


def _take(found: dict[str, Value], words: list[str], name: str, value: Value | None) -> None:
    if value is not None:
        found[name] = value
        words[value.begin : value.end] = [_TAKEN] * (value.end - value.begin)


def _find(slot: Slot, words: list[str], expected: bool, free_names: bool) -> Value | None:
    if slot.type == "day":
        return find_day(words)
    if slot.type == "time":
        return find_time(words, expected=expected, assume=slot.assume)
    if slot.type == "number":
        return _find_bare_number(words, expected)
    return _find_name(words, expected and free_names)


def _number(value: int, begin: int, end: int) -> Value:
    return Value(str(value), number_in_words(value), begin, end)


def _find_number_with_unit(words: Sequence[str], slot: Slot) -> Value | None:
    """ "four people"; also "for people", which is how some recognisers write it."""
    found = None
    for at in range(len(words)):
        read = read_number(words, at) or ((HOMOPHONES[words[at]], 1) if words[at] in HOMOPHONES else None)
        if read is None:
            continue
        end = at + read[1]
        unit = words[end : end + 2]
        named = bool(unit) and any(likeness(unit[0], one) > 0 for one in slot.units)
        if named or unit == ["of", "us"]:
            found = _number(read[0], at, end + (1 if named else 2))
    return found


def _find_bare_number(words: Sequence[str], expected: bool) -> Value | None:
    found = None
    for at, word in enumerate(words):
        read = read_number(words, at)
        if read is not None and (expected or (at > 0 and words[at - 1] in _BEFORE_NUMBER)):
            found = _number(read[0], at, at + read[1])
        elif word == "couple" and at > 0 and words[at - 1] == "a":
            found = _number(2, at, at + 1)
        elif word == "me" and at > 0 and words[at - 1] == "just":
            found = _number(1, at, at + 1)
    if found is None and expected and len(words) <= 2 and words and words[-1] in HOMOPHONES:
        found = _number(HOMOPHONES[words[-1]], len(words) - 1, len(words))
    return found


def _find_name(words: Sequence[str], free: bool) -> Value | None:
    for lead in _NAME_LEADS:
        sure = "name" in lead or "under" in lead
        for at in range(len(words) - len(lead)):
            if tuple(words[at : at + len(lead)]) == lead and (sure or free):
                value = _name_at(words, at + len(lead))
                if value is not None:
                    return value
    return _name_at(words, 0) if free else None


def _name_at(words: Sequence[str], begin: int) -> Value | None:
    """The first words from there on that may be a name."""
    while begin < len(words) and words[begin] in _NOT_NAMES:
        begin += 1
    end = begin
    while end < len(words) and end - begin < _LONGEST_NAME and _may_be_name(words[end]):
        end += 1
    if begin == end:
        return None
    name = " ".join(word.capitalize() for word in words[begin:end])
    return replace(Value(name, name), begin=begin, end=end)


def _may_be_name(word: str) -> bool:
    return word not in _NOT_NAMES and word.isalpha() and read_number([word], 0) is None
