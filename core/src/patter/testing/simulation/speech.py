"""What the simulated agent says: sentences whose every millisecond of audio can be told apart.

The audio of a call is cut from one long pattern, so that from the bytes alone that a carrier was sent one can tell
which word of which sentence they are, whatever the engine believes.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

from patter.providers.tts import WordTime

#: samples a ms of the simulated carrier's format, µ-law at 8 kHz
PER_MS = 8
#: the longest that the agents of one call can speak, in ms; a multiple of 128
LONGEST_MS = 240_000
_MARK = 0xFF


@lru_cache(maxsize=1)
def pattern() -> bytes:
    """One 8-byte block a ms: a mark that occurs nowhere else, and the number of the ms in base 128."""
    blocks = bytearray(bytes((_MARK, 0, 0, 0, 0, 1, 2, 3)) * LONGEST_MS)
    groups = range(LONGEST_MS // 128)  # of ms that differ in their lowest digit only
    blocks[1::8] = bytes(range(128)) * len(groups)
    blocks[2::8] = b"".join(bytes((group & 127,)) * 128 for group in groups)
    blocks[3::8] = b"".join(bytes((group >> 7,)) * 128 for group in groups)
    return bytes(blocks)


def position_of(payload: bytes, expected: int) -> int:
    """The sample of the pattern at which a payload begins; -1 when it is no piece of it.

    `expected` is where the payload before it ended; a payload too short to hold a whole block can only go on there.
    """
    whole = pattern()
    if whole.startswith(payload, expected):
        return expected
    mark = payload.find(_MARK)
    if mark < 0 or len(payload) < mark + 4:
        return -1
    ms = payload[mark + 1] | payload[mark + 2] << 7 | payload[mark + 3] << 14
    position = ms * PER_MS - mark
    return position if position >= 0 and whole.startswith(payload, position) else -1


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence to be spoken: its audio in samples, and the sample at which each word begins.

    `timed`: the voice tells the word times, which then are not in proportion to the characters.
    """

    text: str
    samples: int
    starts: tuple[int, ...]
    timed: bool = False
    words: tuple[str, ...] = field(init=False)
    #: what the voice tells
    word_times: tuple[WordTime, ...] = field(init=False)
    #: how many words have begun at its end
    all_begun: int = field(init=False)

    def __post_init__(self) -> None:
        words = tuple(self.text.split())
        # a voice that fails tells no times of the words that it did not begin
        times = zip(words, self.starts, strict=False) if self.timed else ()
        object.__setattr__(self, "words", words)
        object.__setattr__(self, "all_begun", self.words_begun(self.samples))
        object.__setattr__(self, "word_times", tuple(WordTime(word, start / PER_MS) for word, start in times))

    def words_begun(self, samples: int) -> int:
        """How many words have begun once so much of the sentence was played."""
        return bisect_right(self.starts, samples - 1) if samples > 0 else 0


@lru_cache(maxsize=4096)
def spoken(text: str, ms_per_character: int, *, timed: bool = False) -> Line:
    """A sentence in a voice of that speed, or a little faster: its length is a multiple of 20 ms."""
    words = text.split()
    length = sum(len(word) + 1 for word in words)
    ms = length * ms_per_character // 20 * 20
    samples = ms * PER_MS
    if timed:
        return Line(text, samples, tuple(samples * index // len(words) for index in range(len(words))), True)
    starts, position = [], 0
    for word in words:
        starts.append(-(-position * samples // length))
        position += len(word) + 1
    return Line(text, samples, tuple(starts))
