"""What the bytes of an audio stream mean: encoding and rate. All audio is mono."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LOWEST_RATE: Final = 8000
HIGHEST_RATE: Final = 48000


class Encoding(StrEnum):
    """How one sample is written."""

    #: signed 16-bit linear, little-endian, as every vendor's "pcm", "linear16" and "pcm_s16le"
    PCM16 = "pcm16"
    #: G.711 mu-law (PCMU), one byte a sample
    MULAW = "mulaw"
    #: G.711 A-law (PCMA), one byte a sample
    ALAW = "alaw"


_BYTES_PER_SAMPLE: Final = {Encoding.PCM16: 2, Encoding.MULAW: 1, Encoding.ALAW: 1}
# A-law has no code for zero; 0xD5 (+8) is what its encoder gives for it.
_SILENT_SAMPLE: Final = {Encoding.PCM16: b"\x00\x00", Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """Encoding and rate of a mono stream; what its bytes last is computed from these two alone.

    `encoding` may be given by its value (`"mulaw"`), `rate` is in Hz.

    Raises:
        ValueError: an unknown encoding, or a rate that is no whole number from 8000 to 48000.
    """

    encoding: Encoding
    rate: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoding", Encoding(self.encoding))
        if type(self.rate) is not int or not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise ValueError(
                f"the rate of an audio format is a whole number from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {self.rate!r}"
            )

    @property
    def bytes_per_sample(self) -> int:
        """2 for PCM16, 1 for G.711."""
        return _BYTES_PER_SAMPLE[self.encoding]

    def samples(self, byte_count: int) -> int:
        """How many whole samples are in that many bytes."""
        return byte_count // self.bytes_per_sample

    def bytes_for_ms(self, ms: int) -> int:
        """The bytes of the whole samples that fit into `ms` milliseconds."""
        return self.rate * ms // 1000 * self.bytes_per_sample

    def duration_ms(self, byte_count: int) -> float:
        """How long that many bytes sound, in ms.

        Half a sample counts as half, so that the durations of the chunks of a stream add up to that of the stream.
        """
        return byte_count * 1000 / (self.rate * self.bytes_per_sample)

    def silence(self, samples: int) -> bytes:
        """That many samples of digital silence."""
        return _SILENT_SAMPLE[self.encoding] * samples


MULAW_8K: Final = AudioFormat(Encoding.MULAW, 8000)
ALAW_8K: Final = AudioFormat(Encoding.ALAW, 8000)
PCM16_8K: Final = AudioFormat(Encoding.PCM16, 8000)
PCM16_16K: Final = AudioFormat(Encoding.PCM16, 16000)
PCM16_24K: Final = AudioFormat(Encoding.PCM16, 24000)
