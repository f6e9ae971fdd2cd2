"""Hostile inputs from a seed: valid messages changed in letters or in structure, and nonsense of every size.

The same seed gives the same input on every machine, so a failure is repeated by its number.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any, Final

#: the longest input, in characters: what a peer without manners sends at once
LARGEST: Final = 4 * 1024 * 1024
#: one input in so many is of that size
_LARGE_ONE_IN: Final = 4000
_ALPHABET: Final = "abcXYZ0189 _-+*/=%&?#:;.,@!$'\"\\<>()[]{}|~^`\t\n\r\x00\x1b\x7f\x85\xa0é٣İſ\u200b\u2028\u202e\ufeff\ufffe\ud800\udfff😀"
_TOKENS: Final = (
    "\x00", "\ud800", "\udfff\ud800", "\\ud83d", "\\u0000", "\u2028", "\ufeff", "\r\n", "\n\n", "\x1b[31m", "&#0;", "]]>", "<!--",
    "<Dial>+1900</Dial>", '"/><Hangup/>', "%00", "%ff", "%", "%2f..%2f", "..", "//", "[", "]", "{", "}", "null", "true",
    "NaN", "-Infinity", "1e999", "-0", "9" * 30, "9" * 5000, "1" + "0" * 400, "0x1F", "1_000", "٣", "１", "data:", "event:",
    "=", "&", "?", "://", "@", "#", "__class__", "self", "$ref", "*" * 60, "_" * 60, "(" * 60, " " * 500, "a" * 300,
)  # fmt: skip
_DEPTHS: Final = (30, 200, 900, 960, 985, 1000, 5000, 100_000)
_SCALARS: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 10**30, 10**400, -(10**400), 0.5, -0.0, 1e308, math.nan, math.inf,
    -math.inf, "", "0", "\x00", "\ud800", "a" * 300, "é", "😀",
)  # fmt: skip


class Inputs:
    """Draws one input."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def pick(self, choices: Sequence[Any]) -> Any:
        """One of them."""
        return choices[int(self.random.random() * len(choices))]

    def text(self, seeds: Sequence[str], values: Sequence[Any] = ()) -> str:
        """A text: one of `seeds` with changes, one of the JSON `values` with changes, or nonsense."""
        draw = self.random.random()
        if self.random.random() * _LARGE_ONE_IN < 1:
            return self._large(self.pick(seeds))
        if values and draw < 0.45:
            return self._dumped(self.changed(self.pick(values)))
        if draw < 0.85:
            return self._edited(self.pick(seeds), seeds)
        if draw < 0.92:
            return self._deep()
        if draw < 0.96:
            return self._dumped(self.value())
        return self.letters(int(60 * self.random.random() ** 2))

    def octets(self, seeds: Sequence[bytes], values: Sequence[Any] = ()) -> bytes:
        """The same in bytes, some of which are no UTF-8."""
        raw = self.text([seed.decode("utf-8", "surrogateescape") for seed in seeds], values)
        octets = bytearray(_encoded(raw))
        if self.random.random() < 0.2:
            for _ in range(3):
                octets.insert(int(self.random.random() * (len(octets) + 1)), int(self.random.random() * 256))
        return bytes(octets)

    def letters(self, length: int) -> str:
        """Letters of which many are awkward."""
        return "".join(self.random.choices(_ALPHABET, k=length))

    def value(self, depth: int = 0) -> Any:
        """Any value that JSON has, and NaN."""
        draw = self.random.random()
        if draw < 0.6 or depth > 3:
            return self.pick(_SCALARS) if self.random.random() < 0.8 else self.letters(8)
        if draw < 0.62:
            return self._nested()
        size = int(4 * self.random.random())
        if draw < 0.8:
            return [self.value(depth + 1) for _ in range(size)]
        return {self.letters(3): self.value(depth + 1) for _ in range(size)}

    def changed(self, value: Any) -> Any:
        """A JSON value of which a part was replaced, dropped, repeated, renamed or wrapped."""
        if not isinstance(value, dict | list) or not value or self.random.random() < 0.1:
            draw = self.random.random()
            if draw < 0.3 and isinstance(value, str):
                return self._edited(value, (value,))
            if draw < 0.45:
                return [value] if draw < 0.4 else {"error": value}
            return value if draw < 0.5 else self.value()
        if isinstance(value, list):
            copy = list(value)
            place = int(self.random.random() * len(copy))
            copy[place] = self.changed(copy[place])
            return copy * 3 if self.random.random() < 0.05 else copy
        changed = dict(value)
        name = self.pick(tuple(changed))
        draw = self.random.random()
        if draw < 0.12:
            del changed[name]
        elif draw < 0.2:
            changed[self.pick(_TOKENS)[:40]] = changed.pop(name)
        elif draw < 0.25:
            changed[self.letters(4)] = self.value()
        else:
            changed[name] = self.changed(changed[name])
        return self.changed(changed) if self.random.random() < 0.2 else changed

    def _edited(self, text: str, others: Sequence[str]) -> str:
        for _ in range(1 + int(3 * self.random.random())):
            start = int(self.random.random() * (len(text) + 1))
            end = min(len(text), start + int(12 * self.random.random()))
            draw = self.random.random()
            if draw < 0.35:
                put = self.pick(_TOKENS)
            elif draw < 0.55:
                put = self.letters(1 + int(3 * self.random.random()))
            elif draw < 0.65:
                put = text[start:end] * int(2 + 60 * self.random.random() ** 3)
            elif draw < 0.8:
                other = self.pick(others)
                cut = int(self.random.random() * (len(other) + 1))
                put = other[cut : cut + 20]
            else:
                put = ""
            text = text[:start] + put + text[end if self.random.random() < 0.7 else start :]
        return text

    def _large(self, seed: str) -> str:
        core = self.pick((seed or "x", *_TOKENS, '{"a":', "[1,", "a=1&", "data: {}\n\n", "\n", "é"))
        head = seed[: int(self.random.random() * (len(seed) + 1))] if self.random.random() < 0.6 else ""
        tail = seed[len(head) :] if self.random.random() < 0.5 else ""
        return (head + core * (LARGEST // len(core) + 1))[: LARGEST - len(tail)] + tail

    def _deep(self) -> str:
        depth = self.pick(_DEPTHS)
        opening, closing = self.pick(
            (("[", "]"), ('{"a":', "}"), ("a = [", "]"), ('{"error":', "}"), ("a.", ""))
        )
        inner = self.pick(("", "1", '"x"', "{}"))
        return opening * depth + inner + (closing * depth if self.random.random() < 0.7 else "")

    def _nested(self) -> Any:
        nested: Any = self.pick(_SCALARS)
        name = self.pick((None, "error", "properties", "items", "a"))
        for _ in range(self.pick((20, 25, 300, 950))):
            nested = [nested] if name is None else {name: nested}
        return nested

    def _dumped(self, value: Any) -> str:
        try:
            return json.dumps(value, ensure_ascii=self.random.random() < 0.5)
        except (RecursionError, ValueError):  # too deep, or a number of too many digits
            return self._deep()


def _encoded(text: str) -> bytes:
    """Bytes that were no UTF-8 are themselves again, half characters are encoded like whole ones."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return b"".join(
            bytes((ord(one) - 0xDC00,))
            if "\udc80" <= one <= "\udcff"
            else one.encode("utf-8", "surrogatepass")
            for one in text
        )
