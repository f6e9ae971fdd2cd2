"""The simulated session's ear: the input buffer, and a voice detection that goes by energy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from patter.audio.formats import AudioFormat
from patter.audio.g711 import decode
from patter.simulators.tones import FRAME_MS, SILENCE, is_loud, pitch_of

#: speech has begun after so many loud frames
_FRAMES: Final = 2
#: the silence that ends a turn of which semantic detection knows the meaning, in ms
_EAGERNESS: Final = {"low": 1200, "medium": 800, "high": 400, "auto": 800}


@dataclass(slots=True)
class Edge:
    """The caller's speech begins or ends there; both in ms of all audio since the session began."""

    kind: Literal["started", "stopped"]
    at_ms: int


@dataclass(slots=True)
class InputBuffer:
    """The audio that was appended since the last commit, and what is known about it.

    Attributes:
        total_ms: all audio since the session began.
        buffered_ms: that which a commit would take.
        pitches: which tones were heard since the last commit; see `tones`.
        speaking: whether the caller is.
    """

    total_ms: float = 0.0
    buffered_ms: float = 0.0
    pitches: list[int] = field(default_factory=list)
    speaking: bool = False
    _rest: bytes = b""
    _loud: int = 0
    _quiet_ms: int = 0
    _speech_from_ms: float = 0.0

    def append(
        self, audio: bytes, audio_format: AudioFormat, detection: Mapping[str, Any] | None
    ) -> list[Edge]:
        """Hear audio; returns the edges of speech in it, none without detection."""
        self.buffered_ms += audio_format.duration_ms(len(audio))
        pending = self._rest + audio
        size = audio_format.bytes_for_ms(FRAME_MS)
        whole = len(pending) // size * size
        self._rest = pending[whole:]
        edges = []
        for start in range(0, whole, size):
            pcm = decode(pending[start : start + size], audio_format.encoding)
            edges += self._frame(pcm, audio_format.rate, detection)
        return edges

    def _frame(self, pcm: Any, rate: int, detection: Mapping[str, Any] | None) -> list[Edge]:
        threshold = float(detection.get("threshold", 0.5)) if detection else 0.5
        loud = is_loud(pcm, SILENCE * threshold / 0.5)
        before_ms, self.total_ms = self.total_ms, self.total_ms + FRAME_MS
        if loud:
            self._note(pitch_of(pcm, rate))
        if detection is None:
            return []
        if not self.speaking:
            self._loud = self._loud + 1 if loud else 0
            if self._loud < _FRAMES:
                return []
            self._loud, self._quiet_ms, self.speaking = 0, 0, True
            padding = int(detection.get("prefix_padding_ms") or 0)
            self._speech_from_ms = max(0.0, before_ms - FRAME_MS * (_FRAMES - 1) - padding)
            return [Edge("started", int(self._speech_from_ms))]
        self._quiet_ms = 0 if loud else self._quiet_ms + FRAME_MS
        if self._quiet_ms < _silence_ms(detection):
            return []
        self.speaking = False
        return [Edge("stopped", int(self.total_ms))]

    def _note(self, pitch: int | None) -> None:
        if pitch is not None and self.pitches[-1:] != [pitch]:
            self.pitches.append(pitch)

    def take(self) -> list[int]:
        """Empty the buffer; returns the tones in it."""
        pitches, self.pitches = self.pitches, []
        self.buffered_ms = 0.0
        return pitches

    def clear(self) -> None:
        """Empty the buffer, and forget the speech in it."""
        self.take()
        self._rest = b""
        self.speaking, self._loud, self._quiet_ms = False, 0, 0


def _silence_ms(detection: Mapping[str, Any]) -> int:
    if detection["type"] == "semantic_vad":
        return _EAGERNESS[detection["eagerness"]]
    return int(detection["silence_duration_ms"])
