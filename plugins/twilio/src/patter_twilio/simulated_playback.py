"""What a caller hears of the audio that Twilio was sent: a queue played at 8000 bytes a second. Pure.

Times are seconds on any one clock. µ-law at 8 kHz has one byte to a sample.
"""

from __future__ import annotations

from dataclasses import dataclass

BYTES_PER_SECOND = 8000


@dataclass(frozen=True, slots=True)
class Played:
    """Audio that starts sounding at `t`."""

    t: float
    audio: bytes


class Playback:
    """The playout buffer of one stream, and the record of what came out of it."""

    def __init__(self) -> None:
        self._segments: list[Played] = []
        self._ends_t = 0.0
        self._marks: list[tuple[str, float]] = []

    @property
    def ends_t(self) -> float:
        """When the audio queued so far will have been played."""
        return self._ends_t

    def queue(self, audio: bytes, t: float) -> None:
        """Take audio that arrived at `t`; it plays when all before it has."""
        if not audio:
            return
        starts_t = max(t, self._ends_t)
        self._segments.append(Played(starts_t, audio))
        self._ends_t = starts_t + len(audio) / BYTES_PER_SECOND

    def mark(self, name: str, t: float) -> float:
        """Take a mark that arrived at `t`; returns when it is reached, which is `t` itself on an empty queue."""
        due_t = max(t, self._ends_t)
        self._marks.append((name, due_t))
        return due_t

    def reached(self, name: str, due_t: float) -> bool:
        """Give up a mark that is due; False where a clear took it already."""
        if (name, due_t) not in self._marks:
            return False
        self._marks.remove((name, due_t))
        return True

    def clear(self, t: float) -> list[str]:
        """Drop what was not played by `t`; returns the marks that were pending, all of which are reached now."""
        self._segments = _until(self._segments, t)
        self._ends_t = min(self._ends_t, t)
        pending = [name for name, _ in self._marks]
        self._marks.clear()
        return pending

    def heard(self, until_t: float) -> list[Played]:
        """What was played by `until_t`, in order, without the silence between."""
        return _until(self._segments, until_t)


def _until(segments: list[Played], t: float) -> list[Played]:
    kept: list[Played] = []
    for segment in segments:
        # Half a sample of tolerance: times are sums of floats.
        count = int((t - segment.t) * BYTES_PER_SECOND + 0.5)
        if count > 0:
            kept.append(segment if count >= len(segment.audio) else Played(segment.t, segment.audio[:count]))
    return kept
