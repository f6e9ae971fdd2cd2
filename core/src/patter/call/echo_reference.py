"""What the carrier plays of the agent while a caller's frame is recorded: the reference of the echo canceller.

Sent audio is laid out on a line of samples as the carrier plays it: each chunk behind the one before it, or at the
instant of sending where the carrier had nothing left; a clear takes back what was not played. The caller's samples are
counted on the same line, so that a frame which the network delivers a little late is still compared with the right
audio. The line is shifted by the lag that the marks of this call show, which is the way to the carrier and back; it
is shifted anew only if it is off by more than 10 ms, because the filter has to learn the echo again each time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from patter.audio.echo_cancellation import TAPS, EchoCanceller
from patter.audio.formats import AudioFormat
from patter.audio.g711 import decode
from patter.audio.resample import Resampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: how far the two lines may be apart before they are brought together again, in s
TOLERANCE_S: Final = 0.010
#: arrivals of caller audio that are compared; the earliest of them was delayed least
ARRIVALS: Final = 50
#: marks of a carrier that is further away say nothing about an echo, in s
LONGEST_LAG_S: Final = 1.0
#: audio that was sent and never asked for is forgotten after this, in s
LONGEST_WAIT_S: Final = 4.0
#: the longest echo that is promised to be found, in s
_ECHO_S: Final = 0.032
# At low rates the taps last longer than that; the time to spare covers a lag that was measured this much too long, in s.
_LEAD_S: Final = 0.008


class EchoReference:
    """The agent's audio of one call, at the rate of the canceller.

    Args:
        audio_format: of the audio that is sent.
        rate: of the samples that are taken, in Hz.
        now: the call's clock, in s.
        lag_ms: by how much the carrier's playing is behind its being sent, as measured so far, in ms.
    """

    def __init__(
        self, audio_format: AudioFormat, rate: int, now: Callable[[], float], lag_ms: Callable[[], float]
    ) -> None:
        self._format = audio_format
        self._rate = rate
        self._now = now
        self._lag_ms = lag_ms
        self._epoch = now()
        self._resampler = Resampler(audio_format.rate, rate)
        self._played: deque[tuple[int, NDArray[np.int16]]] = deque()
        self._end = 0
        self._counted = 0
        self._offsets: deque[int] = deque(maxlen=ARRIVALS)
        self._offset: int | None = None
        lead_s = _LEAD_S if TAPS / rate >= _ECHO_S + 2 * _LEAD_S else 0.0
        # The caller's samples were held back by a resampler like ours, and are older than they come.
        self._lead = round((lead_s - self._resampler.delay_ms / 1000) * rate)
        #: how often the two lines were brought together anew
        self.shifts = 0

    def _position(self, t: float) -> int:
        return round((t - self._epoch) * self._rate)

    def sent(self, payload: bytes, t: float) -> None:
        """The carrier has got this audio at time t."""
        start = self._position(t)
        if start > self._end:
            self._resampler.reset()
            self._end = start
        samples = self._resampler.process(decode(payload, self._format.encoding))
        self._played.append((self._end, samples))
        self._end += samples.size
        oldest = self._end - int(LONGEST_WAIT_S * self._rate)
        while self._played[0][0] + self._played[0][1].size < oldest:
            self._played.popleft()

    def cleared(self, t: float) -> None:
        """The carrier plays nothing more of what it has got by time t."""
        cut = self._position(t)
        while self._played and self._played[-1][0] >= cut:
            self._played.pop()
        if self._played:
            start, samples = self._played[-1]
            self._played[-1] = (start, samples[: cut - start])
        self._end = min(self._end, cut)
        self._resampler.reset()

    def take(self, count: int) -> NDArray[np.int16] | None:
        """What was played during the caller's next `count` samples, the last of which was just heard.

        None where nothing was.
        """
        start = self._counted + self._aligned(count)
        self._counted += count
        played = self._played
        while played and played[0][0] + played[0][1].size <= start:
            played.popleft()
        if not played or played[0][0] >= start + count:
            return None
        reference = np.zeros(count, np.int16)
        for position, samples in played:
            at = position - start
            if at >= count:
                break
            piece = samples[max(0, -at) : count - at]
            begin = max(0, at)
            reference[begin : begin + piece.size] = piece
        return reference

    def _aligned(self, count: int) -> int:
        """By how much the line of what was played is ahead of the caller's, in samples."""
        self._offsets.append(self._position(self._now()) - count - self._counted)
        lag = int(min(self._lag_ms() / 1000, LONGEST_LAG_S) * self._rate)
        wanted = min(self._offsets) - lag + self._lead
        if self._offset is None:
            self._offset = wanted
        elif abs(wanted - self._offset) > TOLERANCE_S * self._rate:
            self._offset = wanted
            self.shifts += 1
        return self._offset


class EchoStage:
    """The echo canceller of one call, with its reference, as a stage of the input chain."""

    def __init__(self, reference: EchoReference, rate: int) -> None:
        self._reference = reference
        self._canceller = EchoCanceller(rate)
        self._shifts = 0

    def process(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take the agent's echo out of a frame."""
        reference = self._reference.take(pcm.size)
        if self._reference.shifts != self._shifts:
            self._shifts = self._reference.shifts
            self._canceller.relearn()
        return self._canceller.process(pcm, reference)
