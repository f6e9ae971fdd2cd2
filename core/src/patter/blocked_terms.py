"""Finding blocked terms in what an agent is about to say, whatever its spelling (TN-16). Pure.

Texts are compared twice: as they are, and as bare words without punctuation, so that "card number" is found in
"your card. Number please". A term with characters that are no part of a word ("c++", "$4.50") is only compared as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_NO_WORD: Final = re.compile(r"[\W_]+")
#: what may stand in a term without keeping it from being compared as bare words
_JOINERS: Final = frozenset(" -'’‐‑")


def as_compared(text: str) -> str:
    """The text without case, invisible characters and differences of width; each white space is one blank."""
    visible = "".join(one for one in text if unicodedata.category(one) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible).casefold().split())


def bare_words(compared: str) -> str:
    """The words of such a text, each pair with one blank between."""
    return _NO_WORD.sub(" ", compared).strip()


class BlockedTerms:
    """The terms of one guardrail, prepared once."""

    def __init__(self, terms: Sequence[str]) -> None:
        compared = [as_compared(term) for term in terms]
        self.exact = tuple(term for term in compared if term)
        self.words = tuple(
            bare_words(term)
            for term in self.exact
            if all(one.isalnum() or one in _JOINERS for one in term) and bare_words(term)
        )
        #: how much of the text before a sentence can be part of a term that ends in it, in characters
        self.reach = max((len(term) for term in self.exact), default=1) - 1


@lru_cache(maxsize=256)
def blocked_terms(terms: tuple[str, ...]) -> BlockedTerms:
    """The prepared form of these terms; equal ones are prepared once."""
    return BlockedTerms(terms)


class TermSearch:
    """Looks for the terms in the sentences of one reply, remembering just enough of those before."""

    def __init__(self, terms: BlockedTerms) -> None:
        self._terms = terms
        self._exact_tail = ""
        self._words_tail = ""

    def finds(self, sentence: str) -> bool:
        """Whether a term ends in this sentence. It is remembered until `forget`."""
        exact = as_compared(sentence)
        words = bare_words(exact)
        terms, reach = self._terms, self._terms.reach
        found = _ends_in(terms.exact, self._exact_tail, exact) or _ends_in(
            terms.words, self._words_tail, words
        )
        if reach > 0:
            self._exact_tail = _joined(self._exact_tail, exact)[-reach:]
            self._words_tail = _joined(self._words_tail, words)[-reach:]
        return found

    def forget(self) -> None:
        """Nothing of the sentences so far counts as said before the next one."""
        self._exact_tail = self._words_tail = ""


def _joined(tail: str, text: str) -> str:
    return f"{tail} {text}" if tail and text else tail or text


def _ends_in(terms: Sequence[str], tail: str, text: str) -> bool:
    """Whether one of the terms lies in `tail` and `text` and ends in `text`."""
    if not text:
        return False
    whole = _joined(tail, text)
    # the last occurrence ends behind all others
    return any((at := whole.rfind(term)) >= 0 and at + len(term) > len(tail) for term in terms)
