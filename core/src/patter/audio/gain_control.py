"""Automatic gain control: quiet callers louder and loud ones quieter, towards one level of speech.

The level is measured over what is loud enough to be speech; in pauses the gain stands still, so that the noise of the
line is not raised while nobody speaks. Gains move slowly and along a straight line within a frame; only a frame that
would clip is turned down at once.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from patter.audio.formats import HIGHEST_RATE, LOWEST_RATE
from patter.audio.mixing import level_dbfs

#: nominal level of speech on a digital telephone network (ITU-T P.830: 26 dB below overload)
NOMINAL_DBFS: Final = -26.0
LOWEST_TARGET_DBFS: Final = -40.0
HIGHEST_TARGET_DBFS: Final = -10.0
#: the most that a stream is raised or lowered, in dB
MOST_GAIN_DB: Final = 24.0
#: quieter frames are no speech: the gain stands still
SPEECH_DBFS: Final = -50.0

# A syllable lasts about 200 ms: slower than that upwards, so that a word keeps its shape; downwards faster, because
# too loud is worse than too quiet.
_RISE_DB_PER_S: Final = 12.0
_FALL_DB_PER_S: Final = 40.0
_MEMORY_S: Final = 0.3
_FULL_SCALE: Final = 32767.0


class GainControl:
    """Levels one stream of int16 samples; no sample is held back. One object per call and direction.

    Args:
        target_dbfs: RMS level towards which speech is brought, from -40 to -10 dB of full scale.
        rate: of the stream, in Hz.

    Raises:
        ValueError: a target or a rate outside its range.
    """

    __slots__ = ("_gain", "_power", "rate", "target_dbfs")

    def __init__(self, target_dbfs: float, rate: int) -> None:
        if not LOWEST_TARGET_DBFS <= target_dbfs <= HIGHEST_TARGET_DBFS:
            raise ValueError(
                f"the target of a gain control is from {LOWEST_TARGET_DBFS:g} to {HIGHEST_TARGET_DBFS:g} dBFS, "
                f"not {target_dbfs!r}"
            )
        if not LOWEST_RATE <= rate <= HIGHEST_RATE:
            raise ValueError(f"sample rates are from {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {rate!r}")
        self.target_dbfs = target_dbfs
        self.rate = rate
        self.reset()

    @property
    def gain_db(self) -> float:
        """The gain in force."""
        return 20 * math.log10(self._gain)

    def reset(self) -> None:
        """Forget the audio so far; the gain is 0 dB again."""
        self._gain = 1.0
        #: mean power of recent speech, as a part of full scale; None before any
        self._power: float | None = None

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Level the next samples; the result has as many and never clips what was not clipped.

        Raises:
            TypeError: the samples are not int16.
        """
        if pcm.dtype != np.int16:
            raise TypeError(f"samples are int16, not {pcm.dtype}")
        if pcm.size == 0:
            return pcm
        before = self._gain
        level = level_dbfs(pcm)
        after = before if level < SPEECH_DBFS else self._moved(level, pcm.size / self.rate)
        peak = max(int(pcm.max()), -int(pcm.min()))
        if peak:
            most = max(1.0, _FULL_SCALE / peak) if max(before, after) > 1.0 else math.inf
            before, after = min(before, most), min(after, most)
        self._gain = after
        if before == after == 1.0:
            return pcm
        louder = pcm * np.linspace(before, after, pcm.size)
        np.rint(louder, out=louder)
        np.clip(louder, -32768, 32767, out=louder)
        return louder.astype(np.int16)

    def _moved(self, level: float, seconds: float) -> float:
        """The gain after a frame of speech of that level, in dBFS."""
        power = 10 ** (level / 10)
        if self._power is None:
            self._power = power
        else:
            self._power += (power - self._power) * (1 - math.exp(-seconds / _MEMORY_S))
        now_db = self.gain_db
        wanted_db = self.target_dbfs - 10 * math.log10(self._power)
        wanted_db = min(MOST_GAIN_DB, max(-MOST_GAIN_DB, wanted_db))
        change_db = min(_RISE_DB_PER_S * seconds, max(-_FALL_DB_PER_S * seconds, wanted_db - now_db))
        return float(10 ** ((now_db + change_db) / 20))
