"""An engine's audio that comes faster than it plays, passed on a little ahead of its time. Pure.

Until audio would have been played its vendor may still call its response interrupted. What is kept until then need not
be taken back, and a response does not look silent before it is over. Times are seconds of one clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat

#: the longest piece of audio that is passed on at once, in ms
SLICE_MS: Final = 500
#: audio is passed on so long before it is to be played, in s
AHEAD_S: Final = 2.0
#: audio that is kept back; beyond this it is passed on early, in s
MOST_KEPT_S: Final = 120.0


class PacedAudio:
    """The audio of one response after the other.

    Attributes:
        plays_until: until when all audio so far plays.
    """

    def __init__(self, audio_format: AudioFormat, now: float) -> None:
        self.plays_until = now
        self._format = audio_format
        self._half = b""
        #: with the time from which it plays
        self._kept: deque[tuple[float, bytes]] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether all of it was passed on."""
        return not self._kept

    @property
    def next_at(self) -> float | None:
        """When the next piece is due; None without one."""
        return self._kept[0][0] - AHEAD_S if self._kept else None

    def whole(self, audio: bytes) -> bytes:
        """Whole samples; half a sample waits for the other half."""
        audio = self._half + audio
        unit = self._format.bytes_per_sample
        whole = len(audio) // unit * unit
        self._half = audio[whole:]
        return audio[:whole]

    def add(self, audio: bytes, now: float) -> None:
        """Whole samples have come."""
        step = self._format.bytes_for_ms(SLICE_MS)
        for start in range(0, len(audio), step):
            piece = audio[start : start + step]
            begins = max(self.plays_until, now)
            self._kept.append((begins, piece))
            self.plays_until = begins + self._format.duration_ms(len(piece)) / 1000

    def due(self, now: float) -> Iterator[bytes]:
        """The pieces whose time has come."""
        limit = max(now + AHEAD_S, self.plays_until - MOST_KEPT_S)
        while self._kept and self._kept[0][0] <= limit:
            yield self._kept.popleft()[1]

    def rest(self) -> Iterator[bytes]:
        """All that is left."""
        while self._kept:
            yield self._kept.popleft()[1]

    def drop(self, now: float) -> None:
        """Nothing of what is left is played."""
        self._kept.clear()
        self.plays_until = now

    def response_over(self) -> None:
        """What follows belongs to another response."""
        self._half = b""
