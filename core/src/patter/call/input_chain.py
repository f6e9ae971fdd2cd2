"""The stages between the carrier's frames and the VAD and STT, of which each is off unless it is asked for (SP-17).

decode → high-pass → resample → echo cancellation → noise filter → gain control → VAD → STT

With none on there is no chain: `patter.call.listening` then passes the carrier's own bytes. With any on, a frame is
decoded once, goes through the stages as int16 samples, and is converted once to each format that is wanted behind
them. A stage that fails is left out for the rest of the call, with one warning; when none is left, frames pass as if
there had been none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from patter.audio.convert import Converter
from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import decode, encode
from patter.audio.resample import Resampler

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

Process = Callable[["NDArray[Any]"], "NDArray[Any]"]
Take = Callable[[bytes], Any]

#: the highest rate at which the stages work; every noise filter takes 8 and 16 kHz
HIGHEST_CHAIN_RATE = 16000


@dataclass(frozen=True, slots=True)
class InputStages:
    """The stages of one call that are on; each takes int16 samples and gives as many.

    `high_pass` works at the carrier's rate, the others at `rate`, in Hz.
    """

    rate: int
    high_pass: Process | None = None
    echo_cancellation: Process | None = None
    noise_filter: Process | None = None
    gain_control: Process | None = None

    @property
    def format(self) -> AudioFormat:
        """What comes out of the stages."""
        return AudioFormat(Encoding.PCM16, self.rate)


class Sink(NamedTuple):
    """Who takes the audio, and in which format."""

    format: AudioFormat
    take: Take


class _Stage(NamedTuple):
    name: str
    process: Process


def chain_rate(carrier_format: AudioFormat, stt_format: AudioFormat | None) -> int:
    """The rate at which the stages work: the STT's, so that nothing is converted behind them; else the carrier's."""
    if stt_format is None or stt_format.rate > HIGHEST_CHAIN_RATE:
        return carrier_format.rate
    return stt_format.rate


def fan_out(source: AudioFormat, sinks: Sequence[Sink]) -> Take:
    """One function that gives audio to all sinks in their order, converted once for each format that differs."""
    groups: dict[AudioFormat, list[Take]] = {}
    for sink in sinks:
        groups.setdefault(sink.format, []).append(sink.take)
    return _each([_through(source, target, _each(takers)) for target, takers in groups.items()])


def _each(takers: Sequence[Take]) -> Take:
    """The takers as one. A lone one is itself; of two the call is written out, because a loop makes an iterator."""
    if not takers:
        return _nobody
    if len(takers) == 1:
        return takers[0]
    first, second = takers[0], _each(takers[1:])

    def both(payload: bytes) -> None:
        first(payload)
        second(payload)

    return both


def _nobody(payload: bytes) -> None:
    """Take it and do nothing."""


def _through(source: AudioFormat, target: AudioFormat, take: Take) -> Take:
    """`take` itself where the formats are equal, else behind a converter."""
    if source == target:
        return take
    converter = Converter(source, target)

    def convert(payload: bytes) -> None:
        converted = converter.process(payload)
        if converted:
            take(converted)

    return convert


class InputChain:
    """Takes the caller's frames through the stages that are on."""

    def __init__(self, carrier_format: AudioFormat, stages: InputStages, sinks: Sequence[Sink]) -> None:
        self._format = carrier_format
        self._sinks = sinks
        self._resampler = Resampler(carrier_format.rate, stages.rate)
        self._before = _switched_on([("high-pass", stages.high_pass)])
        self._after = _switched_on(
            [
                ("echo cancellation", stages.echo_cancellation),
                ("noise filter", stages.noise_filter),
                ("gain control", stages.gain_control),
            ]
        )
        self._deliver = fan_out(stages.format, sinks)
        self._untouched: Take | None = None
        self._half_sample = b""

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages that are on, in their order."""
        return tuple(stage.name for stage in (*self._before, *self._after))

    def audio(self, payload: bytes) -> None:
        """One frame from the carrier."""
        if self._untouched is not None:
            self._untouched(payload)
            return
        pcm = self._resampler.process(self._run(self._before, self._decoded(payload)))
        if pcm.size:
            pcm = self._run(self._after, pcm)
        if not self._before and not self._after:
            self._untouched = fan_out(self._format, self._sinks)
            self._untouched(payload)
        elif pcm.size:
            self._deliver(encode(pcm, Encoding.PCM16))

    def _decoded(self, payload: bytes) -> NDArray[Any]:
        """The samples; half of one is kept for the next frame."""
        if self._format.encoding is Encoding.PCM16:
            payload = self._half_sample + payload
            whole = len(payload) & ~1
            payload, self._half_sample = payload[:whole], payload[whole:]
        return decode(payload, self._format.encoding)

    def _run(self, stages: Sequence[_Stage], pcm: NDArray[Any]) -> NDArray[Any]:
        for stage in stages:
            try:
                result = stage.process(pcm)
                if result.shape != pcm.shape or result.dtype != pcm.dtype:
                    raise ValueError(
                        f"{pcm.shape} samples of {pcm.dtype} became {result.shape} of {result.dtype}"
                    )
            except Exception as error:
                self._leave_out(stage, error)
            else:
                pcm = result
        return pcm

    def _leave_out(self, failed: _Stage, error: Exception) -> None:
        self._before = [stage for stage in self._before if stage is not failed]
        self._after = [stage for stage in self._after if stage is not failed]
        logger.warning("the %s failed; the rest of the call goes without it", failed.name, exc_info=error)


def _switched_on(stages: Sequence[tuple[str, Process | None]]) -> list[_Stage]:
    return [_Stage(name, process) for name, process in stages if process is not None]
