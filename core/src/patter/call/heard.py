"""What the agent said is what the caller heard: the text up to a heard position (TN-08). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.playout import SpokenSentence

#: ms of audio per character, for a sentence whose synthesis was cut before its length was known; slower than any
#: usual voice, so that the estimate errs towards less text
MS_PER_CHARACTER = 75


def heard_text(sentences: Sequence[SpokenSentence], heard: int, rate: int) -> str:
    """The text of `sentences` up to position `heard` (samples), cut at a word.

    It holds no word that starts after the heard position and none whose audio was not sent, for `heard` never
    exceeds what was sent.
    """
    return " ".join([part for _, part in _heard_parts(sentences, heard, rate)])


def heard_by_round(sentences: Sequence[SpokenSentence], heard: int, rate: int) -> list[str]:
    """The same text, cut where the turn called tools: what was heard of before the first round, of after it, …"""
    rounds: list[str] = []
    for tool_rounds, part in _heard_parts(sentences, heard, rate):
        while len(rounds) <= tool_rounds:
            rounds.append("")
        rounds[tool_rounds] = f"{rounds[tool_rounds]} {part}" if rounds[tool_rounds] else part
    return rounds


def _heard_parts(sentences: Sequence[SpokenSentence], heard: int, rate: int) -> list[tuple[int, str]]:
    """What was heard of each sentence, with the rounds of tools before it."""
    parts = []
    for sentence in sentences:
        if heard <= sentence.start:
            break
        whole = sentence.complete and heard >= sentence.start + sentence.samples
        part = sentence.text.strip() if whole else _prefix(sentence, heard - sentence.start, rate)
        if part:
            parts.append((sentence.tool_rounds, part))
        if not whole:
            break
    return parts


def _prefix(sentence: SpokenSentence, heard: int, rate: int) -> str:
    words = sentence.text.split()
    if sentence.word_times:
        heard_ms = heard * 1000 / rate
        count = sum(1 for word in sentence.word_times if word.start_ms < heard_ms)
        return " ".join(words[:count])
    # a blank after each word
    length = sum(map(len, words)) + len(words)
    total = sentence.samples
    if not sentence.complete:
        total = max(total, int(length * sentence.ms_per_character * rate / 1000))
    share = heard / total if total else 0.0
    count, position = 0, 0
    for word in words:
        if position / length >= share:
            break
        count += 1
        position += len(word) + 1
    return " ".join(words[:count])


def synthesised_part(text: str, samples: int, rate: int, ms_per_character: float = MS_PER_CHARACTER) -> str:
    """The words of a sentence that are surely in its audio, when the voice failed in the middle of it."""
    return whole_words(text, samples * 1000 / rate / ms_per_character)


def whole_words(text: str, characters: float) -> str:
    """The words that are over, with the space behind each, within so many characters of a text."""
    words = text.split()
    count, end = 0, 0
    for word in words:
        end += len(word) + 1
        if end > characters:
            break
        count += 1
    return " ".join(words[:count])
