"""The tones in which fakes and simulators speak; see `patter.simulators.tones`."""

from __future__ import annotations

from patter.simulators.tones import (
    FRAME_MS,
    MS_PER_CHARACTER,
    PITCHES,
    ToneReader,
    nearest_number,
    pitch_hz,
    pitch_of,
    speech_ms,
    tone,
)

__all__ = [
    "FRAME_MS",
    "MS_PER_CHARACTER",
    "PITCHES",
    "ToneReader",
    "nearest_number",
    "pitch_hz",
    "pitch_of",
    "speech_ms",
    "tone",
]
