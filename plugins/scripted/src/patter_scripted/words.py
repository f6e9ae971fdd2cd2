"""From an utterance to words that can be compared: one spelling, and tolerance to slips of speech recognition."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

#: what is said after so many words is not looked at
LONGEST_UTTERANCE: Final = 80
_LONGEST_WORD: Final = 24

_CONTRACTIONS: Final = {
    "i'd": "i would", "i'm": "i am", "i'll": "i will", "i've": "i have", "it's": "it is", "that's": "that is",
    "what's": "what is", "where's": "where is", "when's": "when is", "there's": "there is", "there'll": "there will",
    "let's": "let us", "we'd": "we would", "we're": "we are", "we'll": "we will", "we've": "we have",
    "you're": "you are", "you'd": "you would", "name's": "name is", "don't": "do not", "doesn't": "does not",
    "didn't": "did not", "can't": "can not", "cannot": "can not", "won't": "will not", "isn't": "is not",
    "aren't": "are not", "wasn't": "was not", "wouldn't": "would not", "o'clock": "oclock", "wanna": "want to",
    "gonna": "going to", "goodbye": "good bye", "yep": "yes", "yup": "yes", "yeah": "yes", "nope": "no",
    "okay": "ok",
}  # fmt: skip
_MERIDIEM: Final = re.compile(r"\b([ap])\s?\.?\s?m\b\.?")
_TOKEN: Final = re.compile(
    r"\d{1,2}[:.]\d{2}(?!\d)|\d{1,6}(?:st|nd|rd|th)\b|\d{1,6}|[^\W\d_]+(?:'[^\W\d_]+)*"
)
_ENDINGS: Final = ("s", "es", "ed", "ing", "ings")


def words_of(text: str) -> list[str]:
    """The words of an utterance: lower case, without punctuation, contractions written out, "7:30" kept whole."""
    line = _MERIDIEM.sub(r"\1m", text[: LONGEST_UTTERANCE * _LONGEST_WORD].lower().replace("’", "'"))
    found: list[str] = []
    for token in _TOKEN.findall(line):
        token = token.removesuffix("'s") if token not in _CONTRACTIONS else token
        found.extend(_CONTRACTIONS.get(token, token).replace("'", "").split())
    return found[:LONGEST_UTTERANCE]


def likeness(heard: str, meant: str) -> float:
    """1 for the same word, a little less for its forms and slips of recognition, 0 for another word.

    Words of up to 3 letters have too many neighbours to forgive anything.
    """
    if heard == meant:
        return 1.0
    if len(heard) < 3 or len(meant) < 4 or abs(len(heard) - len(meant)) > 4:
        return 0.0
    return _likeness(heard, meant)


@lru_cache(maxsize=8192)
def _likeness(heard: str, meant: str) -> float:
    if heard.startswith(meant) and heard[len(meant) :] in _ENDINGS:
        return 0.95
    allowed = 1 if len(meant) < 8 else 2
    if len(heard) < 4 or len(heard) > _LONGEST_WORD:
        return 0.0
    if len(meant) < 6 and heard[0] != meant[0]:
        return 0.0  # "there" is not "where"
    return 0.8 if _within_edits(heard, meant, allowed) else 0.0


def _within_edits(one: str, other: str, allowed: int) -> bool:
    """Whether so many letters inserted, left out or replaced make one word of the other."""
    if abs(len(one) - len(other)) > allowed:
        return False
    previous = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other, start=1):
            current.append(
                min(previous[column] + 1, current[-1] + 1, previous[column - 1] + (letter != wanted))
            )
        if min(current) > allowed:
            return False
        previous = current
    return previous[-1] <= allowed
