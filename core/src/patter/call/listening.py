"""The inbound chain of one call: carrier frame → [noise filter] → VAD → STT.

Everything is looked up once per call; a frame then passes through bound methods and, when nothing has to be
converted, reaches VAD and STT as the carrier's own bytes (SP-17).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from patter.audio.convert import Converter
from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import decode, encode

if TYPE_CHECKING:
    from patter.call.stt_feed import STTFeed
    from patter.providers.noise_filter import NoiseFilter

logger = logging.getLogger(__name__)


class SpeechDetector(Protocol):
    """A VAD as this call sees it: a slot of a shared batch, or one of its own."""

    #: format of the audio it takes
    format: AudioFormat

    def feed(self, payload: bytes) -> None:
        """Take a frame; events go to the callback given when it was opened."""

    def close(self) -> None:
        """Release it."""


class Listening:
    """Takes the caller's frames."""

    def __init__(
        self,
        carrier_format: AudioFormat,
        stt: STTFeed | None,
        detector: SpeechDetector | None,
        noise_filter: NoiseFilter | None = None,
    ) -> None:
        self._format = carrier_format
        self._filter = noise_filter
        self._filter_failed = False
        self._sinks: list[Callable[[bytes], Any]] = []
        if detector is not None:
            self._sinks.append(_through(carrier_format, detector.format, detector.feed))
        if stt is not None:
            self._sinks.append(_through(carrier_format, stt.format, stt.send))

    def audio(self, payload: bytes) -> None:
        """One frame from the carrier."""
        if self._filter is not None and not self._filter_failed:
            payload = self._filtered(payload)
        for sink in self._sinks:
            sink(payload)

    def _filtered(self, payload: bytes) -> bytes:
        assert self._filter is not None
        try:
            pcm = decode(payload, self._format.encoding)
            return encode(self._filter.process(pcm, self._format.rate), self._format.encoding)
        except Exception:
            self._filter_failed = True
            logger.warning("the noise filter failed; the rest of the call is heard unfiltered", exc_info=True)
            return payload


def _through(
    source: AudioFormat, target: AudioFormat, sink: Callable[[bytes], Any]
) -> Callable[[bytes], Any]:
    """`sink` itself where the formats are equal, else behind a converter."""
    if source == target:
        return sink
    converter = Converter(source, target)

    def convert(payload: bytes) -> None:
        converted = converter.process(payload)
        if converted:
            sink(converted)

    return convert


def detector_format(carrier_format: AudioFormat, rates: tuple[int, ...]) -> AudioFormat:
    """What a detector is fed: the carrier's own format where it takes its rate, else PCM at its best rate."""
    if carrier_format.rate in rates:
        return carrier_format
    return AudioFormat(Encoding.PCM16, rates[0])
