"""The greeting's audio that was made while the phone rang, as the call's first reply uses it."""

from __future__ import annotations

import logging
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Prerendered:
    """Audio in the carrier's format by the text of its sentence."""

    def __init__(self, audio: Mapping[str, bytes] | None = None) -> None:
        self._audio = dict(audio or {})
        self._used: set[str] = set()

    def of(self, text: str) -> bytes | None:
        """The audio of that sentence; None where the voice must be asked."""
        audio = self._audio.get(text)
        if audio is not None:
            self._used.add(text)
        return audio

    def forget(self, call_id: str) -> None:
        """The greeting is over; audio that it did not use was paid for in vain, which is said once (PW-16)."""
        wasted = sum(len(text) for text in self._audio if text not in self._used)
        self._audio.clear()
        if wasted:
            logger.warning(
                "call %s: %d characters of its greeting were paid for and not heard", call_id, wasted
            )
