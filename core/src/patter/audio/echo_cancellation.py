"""An echo canceller: takes out of the caller's audio what comes back of the agent's own.

A normalised LMS filter of 512 taps models the way from the agent's audio to the caller's; what it predicts is
subtracted. The filter works on blocks of up to 20 ms in the frequency domain (overlap-save, each bin normalised by the
power of the reference around it), which follows speech better than the sample-by-sample form and needs no loop over
samples. Blocks have any length, so that nothing is held back: the latency is 0.

512 taps last 64 ms at 8 kHz and 32 ms at 16 kHz. An echo is found if it comes within that time after its reference;
bringing the two together as far as that is the caller's part (`patter.call.echo_reference`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.fft import irfft, rfft  # of itself numpy imports it when it is first used, in a call (PW-20)
from numpy.typing import NDArray

from patter.audio.formats import HIGHEST_RATE, LOWEST_RATE

TAPS: Final = 512
STEP: Final = 0.1
#: at the beginning, and again when the echo has changed, the filter learns faster
FIRST_STEP: Final = 0.5
FIRST_S: Final = 0.5
#: caller audio above this part of the agent's is more than echo: the filter then learns nothing (Geigel)
DOUBLE_TALK: Final = 0.6
#: agent and caller do not both talk for longer; if it seems so, the echo has changed
LONGEST_DOUBLE_TALK_S: Final = 1.0

_BLOCK: Final = 160
_WINDOW: Final = TAPS + _BLOCK
# A reference below this, as int16, teaches nothing but noise.
_QUIET: Final = 64.0
# The power in a bin is that of about ten blocks and of its neighbours, and a little of the mean: a filter that followed
# each bin alone would ring for longer than the window, and be led astray by a reference of few frequencies.
_POWER_MEMORY: Final = 0.9
_NEIGHBOURS: Final = 4
_FLOOR: Final = 0.01
_SMOOTHING: Final = np.ones(2 * _NEIGHBOURS + 1)
_WEIGHTS: Final = np.convolve(np.ones(_WINDOW // 2 + 1), _SMOOTHING, "same")
# What is left after subtracting, by power, from which the filter does harm only.
_DIVERGED: Final = 4.0
_TINY: Final = 1e-9
# Less per sample is lost in rounding the result; learning from it only makes numbers too small to be fast.
_ROUNDING: Final = 0.05


class EchoCanceller:
    """Cancels the echo in one stream of int16 samples, given what causes it. One object per call.

    Without reference audio in the last 512 taps, frames pass through as they are. A frame that the filter would make
    louder passes as it is too, so that a filter which has not learnt the echo yet does no harm.

    Args:
        rate: of both streams, in Hz.

    Raises:
        ValueError: a rate outside 8000..48000 Hz.
    """

    __slots__ = ("_double_talk", "_far", "_learnt", "_power", "_response", "_spectrum", "rate")

    def __init__(self, rate: int) -> None:
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"sample rates are from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {rate!r}")
        self.rate = rate
        self.reset()

    @property
    def response(self) -> NDArray[np.float64]:
        """The echo path as learnt so far: the 512 taps."""
        return self._response.copy()

    def reset(self) -> None:
        """Forget the audio and the echo."""
        self._far: NDArray[np.float64] | None = None
        self.relearn()

    def relearn(self) -> None:
        """Forget the echo: it now comes by another way, or at another time."""
        self._response = np.zeros(TAPS)
        self._spectrum = np.zeros(_WINDOW // 2 + 1, np.complex128)
        self._power = np.zeros(_WINDOW // 2 + 1)
        #: samples learnt from so far, and samples in a row in which both seemed to talk
        self._learnt = 0
        self._double_talk = 0

    def process(self, pcm: NDArray[np.int16], reference: NDArray[np.int16] | None) -> NDArray[np.int16]:
        """Take the echo of `reference` out of the next samples.

        Args:
            pcm: what came from the caller.
            reference: what the carrier played at the same time, as many samples; None for silence.

        Raises:
            TypeError: samples that are not int16.
            ValueError: not as many samples in one as in the other.
        """
        if pcm.dtype != np.int16 or (reference is not None and reference.dtype != np.int16):
            raise TypeError("samples are int16")
        if reference is not None and reference.size != pcm.size:
            raise ValueError(f"{reference.size} samples of reference for {pcm.size} of audio")
        far = self._far
        if far is None:
            if reference is None or not reference.any():
                return pcm
            far = np.zeros(_WINDOW)
        cleaned = np.empty(pcm.size)
        for start in range(0, pcm.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            near = pcm[block].astype(np.float64)
            fresh = np.zeros(near.size) if reference is None else reference[block]
            far = np.concatenate((far[near.size :], fresh))
            cleaned[block] = self._block(near, far)
        self._far = far if far.any() else None
        np.rint(cleaned, out=cleaned)
        np.clip(cleaned, -32768, 32767, out=cleaned)
        return cleaned.astype(np.int16)

    def _block(self, near: NDArray[np.float64], far: NDArray[np.float64]) -> NDArray[np.float64]:
        """One block: predict, subtract, and learn from what is left."""
        spectrum = rfft(far)
        predicted = irfft(spectrum * self._spectrum, _WINDOW)[-near.size :]
        rest = near - predicted
        near_power, rest_power = float(near @ near), float(rest @ rest)
        if rest_power > _DIVERGED * near_power + float(far @ far) * near.size / _WINDOW:
            # Louder than the agent himself: most of what was learnt is not true any more.
            self._response *= 0.5
            self._spectrum *= 0.5
        elif self._may_learn(near, far, rest_power < near_power / 2) and rest_power > _ROUNDING * near.size:
            self._learn(spectrum, rest)
        return near if rest_power > near_power else rest

    def _may_learn(self, near: NDArray[np.float64], far: NDArray[np.float64], explained: bool) -> bool:
        """Whether this block is echo, or mostly so; `explained` when the filter accounts for half of its power.

        An echo that comes back louder than the threshold is taken for the caller's voice only until it is explained.
        """
        loudest = float(np.abs(far).max())
        if loudest < _QUIET:
            return False
        if explained or self._learnt < FIRST_S * self.rate:
            self._double_talk = 0
            return True
        if float(np.abs(near).max()) <= DOUBLE_TALK * loudest:
            self._double_talk = 0
            return True
        self._double_talk += near.size
        if self._double_talk > LONGEST_DOUBLE_TALK_S * self.rate:
            self.relearn()
        return False

    def _learn(self, spectrum: NDArray[np.complex128], rest: NDArray[np.float64]) -> None:
        step = FIRST_STEP if self._learnt < FIRST_S * self.rate else STEP
        power = spectrum.real**2 + spectrum.imag**2
        self._power = power if not self._learnt else _POWER_MEMORY * self._power + (1 - _POWER_MEMORY) * power
        # Each bin holds the power of the whole window; the step of the filter refers to that of its taps.
        norm = np.convolve(self._power, _SMOOTHING, "same") / _WEIGHTS
        norm += _FLOOR * float(norm.mean())
        norm *= TAPS / _WINDOW
        padded = np.zeros(_WINDOW)
        padded[_WINDOW - rest.size :] = rest
        direction = irfft(spectrum.conj() * rfft(padded) / norm, _WINDOW)[:TAPS]
        turn = rfft(direction, _WINDOW)
        change = irfft(spectrum * turn, _WINDOW)[-rest.size :]
        # Where the reference has few frequencies, as a tone has, the direction is no good one and a whole step may
        # lead past the best filter for this block. So far is the best one:
        best = float(rest @ change) / max(float(change @ change), _TINY)
        step = min(step, best)
        self._learnt += rest.size
        if step > 0:
            self._response += step * direction
            self._spectrum += step * turn
