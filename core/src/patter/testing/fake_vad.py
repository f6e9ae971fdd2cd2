"""A voice activity detector for audio that is either a tone or silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from patter.plugins.configuration import ProviderConfig
from patter.providers.context import ProviderContext
from patter.providers.vad import VAD, VADEvent

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: mean magnitude from which a frame counts as speech; a fake caller's tone has about 5000
_LOUD = 300.0


class FakeVADConfig(ProviderConfig):
    """Settings of `FakeVAD`, in ms."""

    min_speech_ms: int = Field(default=40, ge=0)
    min_silence_ms: int = Field(default=400, ge=20)


class FakeVAD(VAD):
    """The simple form: speech is what is not silent. Judges each frame by its level alone."""

    def __init__(self, config: FakeVADConfig, context: ProviderContext) -> None:
        self._min_speech_ms = config.min_speech_ms
        self._min_silence_ms = config.min_silence_ms
        self._position = 0
        self._speaking = False
        self._speech_from: int | None = None
        self._silence_from: int | None = None

    def process_frame(self, pcm: NDArray[Any], rate: int) -> VADEvent | None:
        """Take one frame of int16 samples."""
        began, self._position = self._position, self._position + pcm.size
        loud = pcm.size > 0 and float(np.abs(pcm.astype(np.int32)).mean()) >= _LOUD
        if loud:
            self._silence_from = None
            if self._speech_from is None:
                self._speech_from = began
            return self._after_speech(rate)
        if self._silence_from is None:
            self._silence_from = began
        return self._after_silence(rate)

    def _after_speech(self, rate: int) -> VADEvent | None:
        assert self._speech_from is not None
        if self._speaking or (self._position - self._speech_from) * 1000 < self._min_speech_ms * rate:
            return None
        self._speaking = True
        return VADEvent("speech_start", self._speech_from, confidence=1.0)

    def _after_silence(self, rate: int) -> VADEvent | None:
        if not self._speaking:
            self._speech_from = None
            return None
        assert self._speech_from is not None
        assert self._silence_from is not None
        if (self._position - self._silence_from) * 1000 < self._min_silence_ms * rate:
            return None
        duration_ms = (self._silence_from - self._speech_from) * 1000 / rate
        self._speaking, self._speech_from = False, None
        return VADEvent("speech_end", self._silence_from, confidence=1.0, duration_ms=duration_ms)

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._position = 0
        self._speaking = False
        self._speech_from = self._silence_from = None

    def close(self) -> None:
        """Nothing to release."""
