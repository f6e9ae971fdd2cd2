"""The virtual carrier: it plays what really reached it, and so knows what the caller really heard.

Nothing here is taken from the engine's own bookkeeping: what a payload is, is read from its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patter.testing.simulation.speech import PER_MS, pattern, position_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from patter.testing.simulation.record import SpokenLine

PER_S = PER_MS * 1000
#: what a carrier may hold of an agent's audio (PL-02), in s
AHEAD_S = 0.2


@dataclass(slots=True)
class Played:
    """A piece of audio on its way to the caller's ear: where it is from, and when it begins to sound."""

    start: int
    end: int
    plays_at: float

    @property
    def plays_until(self) -> float:
        """When its last sample has sounded, in s."""
        return self.plays_at + (self.end - self.start) / PER_S


class Carrier:
    """The far end of the media stream, `delay_s` away, which knows of which sentences the pattern consists.

    Attributes:
        pieces: what sounds, in the order of sounding; pieces of the source that follow each other at once are one.
        most_ahead: the most that was ever held back to be played, in s.
        accepted: the furthest sample that was accepted, of all turns.
        foreign: payloads that are no audio of the agent's.
    """

    def __init__(self, delay_s: float, sentences: Sequence[SpokenLine] = ()) -> None:
        self.delay_s = delay_s
        self._sentences = sentences
        self._whole = pattern()
        self.pieces: list[Played] = []
        self.most_ahead = 0.0
        self.most_ahead_at = 0.0
        self.accepted = 0
        self.foreign = 0
        self._empty_at = 0.0
        self._expected = 0
        self.marks: list[tuple[str, float]] = []

    def media(self, payload: bytes, t: float) -> int:
        """Accept audio that was sent at t; returns the sample of its source at which it begins."""
        start, size = self._expected, len(payload)
        end = start + size
        if self._whole[start:end] != payload:
            start = position_of(payload, start)
            if start < 0:
                start = self._end_of_sentence(payload)
            if start < 0:
                self.foreign += 1
                return start
            end = start + size
        self._expected = end
        if end > self.accepted:
            self.accepted = end
        # in place, for this is done for every message
        arrival, plays_at = t + self.delay_s, self._empty_at
        if plays_at < arrival:
            plays_at = arrival
        self._empty_at = empty_at = plays_at + size / PER_S
        if empty_at - arrival > self.most_ahead:
            self.most_ahead, self.most_ahead_at = empty_at - arrival, t
        pieces = self.pieces
        if pieces:
            last = pieces[-1]
            if last.end == start and plays_at - last.plays_at - (start - last.start) / PER_S < 1e-6:
                last.end = end
                return start
        pieces.append(Played(start, end, plays_at))
        return start

    def _end_of_sentence(self, payload: bytes) -> int:
        """Where a piece too short to tell by itself ends a sentence, from which a paused agent goes on; -1 for none."""
        if len(payload) < PER_MS:
            for line in reversed(self._sentences):
                start = line.end - len(payload)
                if start < self.accepted and self._whole.startswith(payload, start):
                    return start
        return -1

    def tones(self, size: int, t: float) -> None:
        """Accept so many samples that are no speech."""
        arrival = t + self.delay_s
        self._empty_at = max(self._empty_at, arrival) + size / PER_S
        if self._empty_at - arrival > self.most_ahead:
            self.most_ahead, self.most_ahead_at = self._empty_at - arrival, t

    def mark(self, name: str) -> float:
        """Accept a mark; returns when the audio before it has been played, in s."""
        self.marks.append((name, self._empty_at))
        return self._empty_at

    def clear(self, t: float) -> list[str]:
        """Empty the buffer; returns the marks that come back because of it."""
        arrival = t + self.delay_s
        while self.pieces and self.pieces[-1].plays_at >= arrival:
            self.pieces.pop()
        if self.pieces and self.pieces[-1].plays_until > arrival:
            last = self.pieces[-1]
            last.end = last.start + int((arrival - last.plays_at) * PER_S)
        back = [name for name, at in self.marks if at > arrival]
        self.marks.clear()
        self._empty_at = min(self._empty_at, arrival)
        return back

    def sounded_until(self, start: int, end: int) -> float:
        """When the last of source [start, end) sounds, in s; 0 when nothing of it does."""
        return max(
            (
                piece.plays_at + (min(piece.end, end) - piece.start) / PER_S
                for piece in self.pieces
                if piece.start < end and piece.end > start
            ),
            default=0.0,
        )


def played(pieces: Iterable[Played], start: int, end: int, until: float) -> int:
    """The furthest sample of source [start, end) that has sounded by a time, counted from start; 0 for none."""
    furthest = start
    for piece in pieces:
        if piece.end <= furthest or piece.start >= end or piece.plays_at >= until:
            continue
        sounded = piece.start + int((until - piece.plays_at) * PER_S + 1e-3)
        if sounded > furthest:
            furthest = min(piece.end, sounded, end)
    return furthest - start
