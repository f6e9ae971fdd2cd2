"""The inbound side of one call: carrier frame → [input chain] → VAD → STT.

Everything is looked up once per call. With no stage on, a frame passes through bound methods and, when nothing has to
be converted, reaches VAD and STT as the carrier's own bytes, with nothing allocated on the way (SP-17).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from patter.audio.formats import AudioFormat, Encoding
from patter.call.input_chain import InputChain, Sink, fan_out

if TYPE_CHECKING:
    from patter.call.input_chain import InputStages, Take


class SpeechDetector(Protocol):
    """A VAD as this call sees it: a slot of a shared batch, or one of its own."""

    #: format of the audio it takes
    format: AudioFormat

    def feed(self, payload: bytes) -> None:
        """Take a frame; events go to the callback given when it was opened."""

    def close(self) -> None:
        """Release it."""


class SpeechTaker(Protocol):
    """An STT as this call sees it: its feed, or what stands before that."""

    #: format of the audio it takes
    format: AudioFormat

    def send(self, chunk: bytes) -> Any:
        """Take a frame; never waits."""


class Listening:
    """Takes the caller's frames.

    Attributes:
        audio: give it a frame from the carrier. With no stage on and one taker of the carrier's format, this is the
            taker's own method.
        stages: the names of the stages that are on, in their order.
    """

    def __init__(
        self,
        carrier_format: AudioFormat,
        stt: SpeechTaker | None,
        detector: SpeechDetector | None,
        stages: InputStages | None = None,
    ) -> None:
        sinks: list[Sink] = []
        if detector is not None:
            sinks.append(Sink(detector.format, detector.feed))
        if stt is not None:
            sinks.append(Sink(stt.format, stt.send))
        self.stages: tuple[str, ...] = ()
        if stages is None:
            self.audio: Take = fan_out(carrier_format, sinks)
        else:
            chain = InputChain(carrier_format, stages, sinks)
            self.stages = chain.stages
            self.audio = chain.audio


def detector_format(source: AudioFormat, rates: tuple[int, ...]) -> AudioFormat:
    """What a detector is fed: the audio as it is where it takes that rate, else PCM at its best rate."""
    if source.rate in rates:
        return source
    return AudioFormat(Encoding.PCM16, rates[0])
