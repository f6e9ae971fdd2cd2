"""What a call sees of its VAD, in whichever of the two forms the VAD comes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from patter.audio.formats import AudioFormat, Encoding
from patter.errors import InputError
from patter.providers.vad import VADEvent

logger = logging.getLogger(__name__)

OnEvent = Callable[[VADEvent], None]
OnFailure = Callable[[Exception], None]


class VADSlot(Protocol):
    """One call's place in a VAD. Events come through the callback given when it was opened."""

    #: what `feed` takes
    format: AudioFormat

    def feed(self, payload: bytes) -> None:
        """Take audio, any number of whole samples; after `close` it is ignored.

        Raises:
            InputError: half a sample.
        """

    def reset(self) -> None:
        """Forget the audio so far, without an event; positions go on counting. For a quiet line only."""

    def close(self) -> None:
        """Give the place back. Idempotent; allowed inside an event callback."""


class VADSource(Protocol):
    """Where calls open their slots: one per phone, VAD configuration and rate."""

    rate: int

    def open(self, encoding: Encoding, on_event: OnEvent, on_failure: OnFailure | None = None) -> VADSlot:
        """A slot for one call.

        `on_event` must not block. If the detection fails, or `on_event` raises, the slot is closed, `on_failure` gets
        the error, and no other call notices.
        """

    def step(self) -> bool:
        """Do some of the work collected over all calls; True when more is due."""


def check_whole_samples(payload: bytes, sample_bytes: int) -> None:
    """Raise `InputError` for a payload that ends within a sample: all audio after it would be noise."""
    if len(payload) % sample_bytes:
        raise InputError(f"{len(payload)} bytes are not whole samples of {sample_bytes} bytes")


def report_failure(error: Exception, on_failure: OnFailure | None) -> None:
    """Hand a slot's failure to its call; nothing that goes wrong there reaches other calls."""
    if on_failure is None:
        logger.error("the VAD of a call failed; the call goes on without it", exc_info=error)
        return
    try:
        on_failure(error)
    except Exception:
        logger.exception("the handler of a VAD failure failed")
