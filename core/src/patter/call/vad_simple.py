"""A VAD in the simple form, opened and fed like the batched one."""

from __future__ import annotations

from collections.abc import Callable

from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import decode
from patter.call.vad_source import OnEvent, OnFailure, check_whole_samples, report_failure
from patter.providers.vad import VAD

#: the frame that every simple VAD takes (SP-13)
FRAME_MS = 20


class SimpleVAD:
    """Makes one VAD for each slot, since the simple form holds the state of a call (LC-04)."""

    def __init__(self, make: Callable[[], VAD], rate: int) -> None:
        self.rate = rate
        self._make = make

    def open(self, encoding: Encoding, on_event: OnEvent, on_failure: OnFailure | None = None) -> SimpleSlot:
        """A slot with a VAD of its own; raises whatever making that one raises."""
        return SimpleSlot(self._make(), AudioFormat(encoding, self.rate), on_event, on_failure)

    def step(self) -> bool:
        """Nothing is collected: each frame is judged when it is fed."""
        return False


class SimpleSlot:
    """One call's VAD. Audio is cut into frames of 20 ms, whatever the payloads are."""

    def __init__(
        self, vad: VAD, audio_format: AudioFormat, on_event: OnEvent, on_failure: OnFailure | None
    ) -> None:
        self.format = audio_format
        self._vad = vad
        self._on_event = on_event
        self._on_failure = on_failure
        self._sample_bytes = audio_format.bytes_per_sample
        self._frame_bytes = audio_format.bytes_for_ms(FRAME_MS)
        self._pending = bytearray()
        self._closed = False

    def feed(self, payload: bytes) -> None:
        """Judge the frames that are complete now.

        Raises:
            InputError: half a sample.
        """
        if self._closed:
            return
        check_whole_samples(payload, self._sample_bytes)
        self._pending += payload
        while len(self._pending) >= self._frame_bytes and not self._closed:
            frame = bytes(self._pending[: self._frame_bytes])
            del self._pending[: self._frame_bytes]
            self._judge(frame)

    def _judge(self, frame: bytes) -> None:
        try:
            event = self._vad.process_frame(decode(frame, self.format.encoding), self.format.rate)
            if event is not None:
                self._on_event(event)
        except Exception as error:
            self.close()
            report_failure(error, self._on_failure)

    def reset(self) -> None:
        """Forget the audio so far; where positions start again is the VAD's own business."""
        if not self._closed:
            self._pending.clear()
            self._vad.reset()

    def close(self) -> None:
        """Close the VAD. Idempotent."""
        if not self._closed:
            self._closed = True
            self._pending.clear()
            self._vad.close()
