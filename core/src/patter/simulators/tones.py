"""The language of fakes and simulators: every utterance is a tone, and its pitch says which one.

A fake voice speaks number n at `pitch_hz(n)`, and whoever listens learns from the audio alone which utterance it hears
and for how long. Pitches are multiples of 50 Hz, so that any 20 ms of a tone hold whole periods: a frame cut anywhere
is read exactly, also after G.711 and after resampling. Numbers repeat after `PITCHES`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from patter.audio.formats import AudioFormat
from patter.audio.g711 import decode, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: what one frame of a tone lasts, in ms
FRAME_MS: Final = 20
#: how long a fake speaker takes for one character, in ms
MS_PER_CHARACTER: Final = 60
#: how much sound is speech to a simulator, in ms
SPEECH_MS: Final = 60
#: how many pitches there are
PITCHES: Final = 57

_LOWEST_HZ: Final = 400
_STEP_HZ: Final = 50
_AMPLITUDE: Final = 8000
#: mean magnitude below which a frame is silence; G.711 noise and a filter's tail stay far below it
SILENCE: Final = 300.0


def pitch_hz(number: int) -> int:
    """The pitch of an utterance, in Hz."""
    return _LOWEST_HZ + number % PITCHES * _STEP_HZ


def speech_ms(text: str) -> int:
    """How long a fake speaker takes for `text`, in ms: a multiple of 20, at least 60 for any text."""
    return max(1, len(text)) * MS_PER_CHARACTER


@cache
def _frame(number: int, audio_format: AudioFormat) -> bytes:
    samples = np.arange(audio_format.rate * FRAME_MS // 1000)
    wave = np.sin(2 * np.pi * pitch_hz(number) * samples / audio_format.rate)
    return encode((wave * _AMPLITUDE).astype(np.int16), audio_format.encoding)


def tone(number: int, duration_ms: int, audio_format: AudioFormat) -> bytes:
    """The audio of an utterance: `duration_ms`, rounded down to whole frames of 20 ms, in `audio_format`."""
    return _frame(number % PITCHES, audio_format) * (duration_ms // FRAME_MS)


def utterance(number: int, text: str, audio_format: AudioFormat) -> bytes:
    """What the text sounds like as that utterance."""
    return tone(number, speech_ms(text), audio_format)


def is_loud(pcm: NDArray[Any], least: float = SILENCE) -> bool:
    """Whether the mean magnitude of int16 samples is above `least`."""
    return bool(pcm.size) and float(np.abs(pcm.astype(np.float64)).mean()) > least


class Ear:
    """Tells whether the caller speaks. `loud_ms` is how long they have been, without a pause."""

    def __init__(self) -> None:
        self.loud_ms = 0.0

    def hear(self, chunk: bytes, audio_format: AudioFormat) -> bool:
        """Whether this chunk is loud; half a sample at its end is not heard."""
        whole = audio_format.samples(len(chunk)) * audio_format.bytes_per_sample
        loud = is_loud(decode(chunk[:whole], audio_format.encoding))
        self.loud_ms = self.loud_ms + audio_format.duration_ms(whole) if loud else 0.0
        return loud


def pitch_of(pcm: NDArray[Any], rate: int) -> int | None:
    """Which pitch (0 to `PITCHES` - 1) sounds in 20 ms of int16 samples; None for silence."""
    samples = pcm.astype(np.float64)
    if not is_loud(samples):
        return None
    loudest = int(np.abs(np.fft.rfft(samples)).argmax())
    hertz = loudest * rate / samples.size
    return min(PITCHES - 1, max(0, round((hertz - _LOWEST_HZ) / _STEP_HZ)))


class ToneReader:
    """Cuts a stream of any chunk sizes into frames of 20 ms and reads each."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._format = audio_format
        self._frame_bytes = audio_format.bytes_for_ms(FRAME_MS)
        self._pending = bytearray()
        self._known: dict[bytes, int | None] = {}

    def feed(self, audio: bytes) -> list[int | None]:
        """The pitches of the frames that are complete now."""
        self._pending += audio
        pitches = []
        while len(self._pending) >= self._frame_bytes:
            frame = bytes(self._pending[: self._frame_bytes])
            del self._pending[: self._frame_bytes]
            pitches.append(self._read(frame))
        return pitches

    def reset(self) -> None:
        """Forget an incomplete frame."""
        self._pending.clear()

    def _read(self, frame: bytes) -> int | None:
        if frame not in self._known:
            if len(self._known) > 4 * PITCHES:
                self._known.clear()
            self._known[frame] = pitch_of(decode(frame, self._format.encoding), self._format.rate)
        return self._known[frame]


def nearest_number(pitch: int, latest: int) -> int:
    """The utterance behind a pitch, of the numbers up to `latest`: the last one that has it.

    Returns -1 when none has.
    """
    number = latest - (latest - pitch) % PITCHES
    return number if number >= 0 else -1
