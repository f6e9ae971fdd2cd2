"""Silero in the batched form: one model per process, a pure detector per call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from patter.call.vad_detection import Hysteresis, ProbabilityDetector
from patter.errors import ConfigError, InternalError
from patter.providers.vad import VADModel
from patter_silero.session import BUNDLED, CONTEXT, STATE_SHAPE, WINDOW, SileroSession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.providers.context import ProviderContext
    from patter_silero.config import SileroConfig

# The network's memory fades in long silence and is misled by tones: after a minute of ringback it noticed speech up
# to 0.8 s late, after two minutes of digital silence 60 ms late. A memory that is zeroed after 2 s without speech
# notices it as on a fresh line. In music a zeroed memory shows false speech more often, for up to 160 ms, which a
# `min_speech_ms` of 250 keeps from being reported.
QUIET_PROBABILITY = 0.1
QUIET_WINDOWS = 62

_MEMORY = STATE_SHAPE[0] * STATE_SHAPE[1]


class SileroModel(VADModel):
    """The factory behind ``silero``.

    Models with different settings share one session through `context.shared`, so that the file is loaded once per
    process and event loop (SP-15).

    A detector reports `speech_start` once speech has lasted `min_speech_ms`; the event's position is where that
    speech began, not where it was reported. Audio is taken at 8 kHz if there is a choice: detection is as good
    there as at 16 kHz, and telephone audio needs no resampling.

    A call's state is the network's memory and one number more: for how many windows in a row there was no trace of
    speech. Every 62 such windows (2 s) the memory is zeroed. That emits nothing: it can end no speech.

    Raises:
        ConfigError: onnxruntime or the model file is missing, or the file is not a Silero model of version 5 or 6.
    """

    rates = (8000, 16000)
    state_shape = (_MEMORY + 1,)

    def __init__(self, config: SileroConfig, context: ProviderContext) -> None:
        file = (config.weights or BUNDLED).resolve()
        self._hysteresis = Hysteresis(
            activation=config.activation,
            deactivation=config.end_threshold,
            min_speech_ms=config.min_speech_ms,
            min_silence_ms=config.min_silence_ms,
        )
        self._session = context.shared.get(f"silero:{file}", lambda: SileroSession(file))

    def window_samples(self, rate: int) -> int:
        """256 at 8 kHz, 512 at 16 kHz.

        Raises:
            ConfigError: another rate.
        """
        return _by_rate(WINDOW, rate)

    def context_samples(self, rate: int) -> int:
        """32 at 8 kHz, 64 at 16 kHz.

        Raises:
            ConfigError: another rate.
        """
        return _by_rate(CONTEXT, rate)

    def infer(
        self, windows: NDArray[Any], states: NDArray[Any], rate: int
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """See `VADModel.infer`; about 60 µs for one window at 8 kHz, 20 µs each in a batch of 32.

        Raises:
            ConfigError: a rate other than 8000 or 16000 Hz.
            InternalError: windows or states of another shape.
        """
        if states.shape[1:] != self.state_shape:
            raise InternalError(f"Silero's states are {self.state_shape} per call, not {states.shape[1:]}")
        memories = states[:, :_MEMORY].reshape(-1, *STATE_SHAPE)
        probabilities, memories = self._session.infer(windows, memories, rate)
        quiet = np.where(probabilities < QUIET_PROBABILITY, states[:, _MEMORY] + 1, 0)
        new_states = np.empty_like(states)
        new_states[:, :_MEMORY] = memories.reshape(-1, _MEMORY)
        new_states[:, _MEMORY] = quiet
        new_states[quiet >= QUIET_WINDOWS] = 0
        return probabilities, new_states

    def detector(self, rate: int) -> ProbabilityDetector:
        """A fresh detector with this model's settings.

        Raises:
            ConfigError: a rate other than 8000 or 16000 Hz.
        """
        return ProbabilityDetector(self._hysteresis, rate=rate, window_samples=_by_rate(WINDOW, rate))

    def close(self) -> None:
        """Nothing to release: the session belongs to `context.shared`, which closes it. Idempotent."""


def _by_rate(samples: dict[int, int], rate: int) -> int:
    if rate not in samples:
        raise ConfigError(f"Silero hears audio at 8000 or 16000 Hz, not at {rate} Hz: resample before it")
    return samples[rate]
