"""What is audible in a stream of µ-law, and when: the ear of the synthetic caller and of the report. Pure.

Times are seconds of the running loop's clock; audio is µ-law at 8 kHz. `Part` is what the simulated carrier gives:
the time at which audio begins to sound, and the audio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from patter.audio import mulaw_decode

Part = tuple[float, bytes]

RATE: Final = 8000
WINDOW: Final = 80
#: mean amplitude from which 10 ms are audible: -50 dB of full scale, far above a quiet line and below any voice
AUDIBLE: Final = 100


@dataclass(frozen=True, slots=True)
class Span:
    """Something audible, from its first window to the end of its last."""

    start: float
    end: float


def audible_spans(parts: Iterable[Part], join_s: float = 0.0) -> list[Span]:
    """What is audible in `parts`, which are in order of time; spans with less than `join_s` between them are one."""
    spans: list[Span] = []
    for t, audio in parts:
        _extend(spans, t, audio, join_s)
    return spans


def _extend(spans: list[Span], t: float, audio: bytes, join_s: float) -> None:
    if not audio:
        return
    loudness = np.abs(mulaw_decode(audio).astype(np.int32))
    starts = np.arange(0, loudness.size, WINDOW)
    sizes = np.minimum(WINDOW, loudness.size - starts)
    means = np.add.reduceat(loudness, starts) / sizes
    for index in np.flatnonzero(means >= AUDIBLE):
        begin = t + int(starts[index]) / RATE
        end = begin + int(sizes[index]) / RATE
        # Windows of one stretch touch each other; half a sample is the noise of adding up floats.
        if spans and begin - spans[-1].end <= join_s + 0.5 / RATE:
            spans[-1] = Span(spans[-1].start, max(end, spans[-1].end))
        else:
            spans.append(Span(begin, end))


class Ear:
    """Listens to a recording that grows, and knows the utterances in it: what no pause of `pause_s` divides."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._utterances: list[Span] = []
        self._index = 0
        self._offset = 0

    @property
    def utterance(self) -> Span | None:
        """The latest one, perhaps still going on."""
        return self._utterances[-1] if self._utterances else None

    def hear(self, recording: Sequence[Part]) -> None:
        """Take what is new since the last time: later parts, and more of the last one."""
        while self._index < len(recording):
            t, audio = recording[self._index]
            _extend(self._utterances, t + self._offset / RATE, audio[self._offset :], self._pause_s)
            if self._index + 1 == len(recording):
                self._offset = len(audio)
                return
            self._index += 1
            self._offset = 0
