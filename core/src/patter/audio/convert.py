"""Streaming conversion between audio formats, bytes in and bytes out."""

from __future__ import annotations

from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import alaw_to_mulaw, decode, encode, mulaw_to_alaw
from patter.audio.resample import Resampler


class Converter:
    """Converts one stream of bytes from one format to another. One object per call and direction.

    Chunks may be cut anywhere, in the middle of a sample too: the output is that of the whole stream, in whole
    samples. With equal formats, chunks of whole samples pass through as the very same bytes; equal rates are never
    resampled.

    Raises:
        ValueError: rates between which `Resampler` cannot convert.
    """

    __slots__ = ("_half_sample", "_resampler", "source", "target")

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        self._resampler = Resampler(source.rate, target.rate)
        self._half_sample = b""

    @property
    def delay_ms(self) -> float:
        """How much audio, in ms, is held back at any time."""
        return self._resampler.delay_ms

    def process(self, data: bytes) -> bytes:
        """Convert the next bytes of the stream."""
        if self.source.encoding is Encoding.PCM16:
            data = self._whole_samples(data)
        if self.source == self.target:
            return data
        if self.source.rate == self.target.rate:
            return self._recode(data)
        pcm = decode(data, self.source.encoding)
        return encode(self._resampler.process(pcm), self.target.encoding)

    def flush(self) -> bytes:
        """Return what is held back; the next `process` begins a new stream.

        Half a sample at the end of a stream has no other half any more and is dropped.
        """
        self._half_sample = b""
        return encode(self._resampler.flush(), self.target.encoding)

    def reset(self) -> None:
        """Forget the audio so far, including what is held back."""
        self._half_sample = b""
        self._resampler.reset()

    def _whole_samples(self, data: bytes) -> bytes:
        if self._half_sample:
            data = self._half_sample + data
        whole = len(data) & ~1
        self._half_sample = data[whole:]
        return data if whole == len(data) else data[:whole]

    def _recode(self, data: bytes) -> bytes:
        match self.source.encoding, self.target.encoding:
            case Encoding.MULAW, Encoding.ALAW:
                return mulaw_to_alaw(data)
            case Encoding.ALAW, Encoding.MULAW:
                return alaw_to_mulaw(data)
            case source, target:
                return encode(decode(data, source), target)
