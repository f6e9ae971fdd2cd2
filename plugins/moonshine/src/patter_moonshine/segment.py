"""The open segment of a call: its pre-roll, its bounds and the places where a long one is split."""

from __future__ import annotations

import numpy as np

from patter.audio.formats import AudioFormat
from patter.audio.g711 import decode
from patter_moonshine.config import LONGEST_PART_MS, MoonshineConfig

# A long segment is split at the quietest place in its last 3 s: early enough to find a pause between phrases,
# late enough that the part keeps its context.
_SEARCH_MS = 3000
_WINDOW_MS = 200
_STEP_MS = 20


class Segment:
    """Collects the caller's audio; pure, and without a clock.

    While nothing is open it keeps a pre-roll: the padding and what the VAD needs to notice speech. Audio belongs to
    one segment only: what follows the cut of a closed segment is the pre-roll of the next.
    """

    def __init__(self, audio_format: AudioFormat, config: MoonshineConfig) -> None:
        self._format = audio_format
        self._pre_roll = audio_format.bytes_for_ms(config.padding_ms + config.vad_start_delay_ms)
        self._trailing = audio_format.bytes_for_ms(max(0, config.vad_end_delay_ms - config.padding_ms))
        # Where speech is cut, silence stands for the padding: measured, an interim without it invents words.
        self._padding = audio_format.silence(audio_format.rate * config.padding_ms // 1000)
        self._longest = audio_format.bytes_for_ms(LONGEST_PART_MS) - len(self._padding)
        self._audio = bytearray()
        self.open = False

    def append(self, chunk: bytes) -> None:
        """Take the next audio."""
        self._audio += chunk
        # Twice the pre-roll before it is cut: one move of the bytes in many frames.
        if not self.open and len(self._audio) > 2 * self._pre_roll:
            del self._audio[: len(self._audio) - self._pre_roll]

    def start(self) -> None:
        """Speech began: open a segment, which begins with the pre-roll; an open one goes on."""
        if not self.open:
            self.open = True
            del self._audio[: max(0, len(self._audio) - self._pre_roll)]

    def so_far(self) -> bytes:
        """The audio of the open segment that no part has taken yet, padded at its open end."""
        return bytes(self._audio) + self._padding

    @property
    def duration_ms(self) -> float:
        """How much audio is kept."""
        return self._format.duration_ms(len(self._audio))

    def take_part(self) -> bytes | None:
        """When the open segment has become too long: the audio up to its quietest place, which leaves the segment.

        Both sides of the cut are padded; with that a part is at most as long as may be decoded in one go.
        """
        if not self.open or len(self._audio) <= self._longest:
            return None
        part = self._take(quietest_place(bytes(self._audio[: self._longest]), self._format))
        self._audio[:0] = self._padding
        return part + self._padding

    def finish(self) -> bytes:
        """Close the segment and return its last audio, without the silence beyond the padding."""
        self.open = False
        return self._take(max(0, len(self._audio) - self._trailing))

    def _take(self, end: int) -> bytes:
        taken = bytes(self._audio[:end])
        del self._audio[:end]
        return taken


def quietest_place(audio: bytes, audio_format: AudioFormat) -> int:
    """The byte offset of the middle of the 200 ms with the least energy within the last 3 s of `audio`."""
    window, step = (audio_format.rate * ms // 1000 for ms in (_WINDOW_MS, _STEP_MS))
    samples = decode(audio, audio_format.encoding).astype(np.float64)
    first = max(0, samples.size - audio_format.rate * _SEARCH_MS // 1000)
    sums = np.concatenate(([0.0], np.cumsum(samples[first:] ** 2)))
    starts = np.arange(0, max(1, sums.size - window), step)
    energies = sums[np.minimum(starts + window, sums.size - 1)] - sums[starts]
    middle = first + int(starts[int(np.argmin(energies))]) + window // 2
    return min(middle, samples.size) * audio_format.bytes_per_sample


def is_silent(audio: bytes, audio_format: AudioFormat, *, below: float = 50.0) -> bool:
    """Whether no 20 ms of `audio` have a mean amplitude of `below` (of 32768, so -56 dB): nothing to recognise."""
    samples = np.abs(decode(audio, audio_format.encoding).astype(np.float32))
    step = audio_format.rate * _STEP_MS // 1000
    frames = samples[: samples.size // step * step].reshape(-1, step)
    return frames.size == 0 or float(frames.mean(axis=1).max()) < below
