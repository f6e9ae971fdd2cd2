"""The latency of one agent turn, by the exact definitions of MX-01 to MX-04."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from patter.metrics.breakdown import Breakdown, Settings, breakdown

if TYPE_CHECKING:
    from patter.metrics.speech import CallerTimes

TurnKind = Literal["greeting", "reply", "announcement", "idle_prompt", "keys"]
#: the moments of its making that a turn keeps the first of
Moment = Literal["llm_request", "first_token", "tts_request", "tts_first_byte", "first_audio"]
#: the components of latency, of which a call has average and percentiles (MX-11)
COMPONENTS = (
    "stt_ms",
    "endpoint_ms",
    "llm_ttft_ms",
    "llm_total_ms",
    "tts_ms",
    "tts_total_ms",
    "total_ms",
    "agent_response_ms",
    "latency_ms",
)
#: a turn that starts so soon after an interruption has no times of its own for what came before it (MX-04), in s
AFTER_INTERRUPTION_S = 0.1


@dataclass(slots=True)
class TurnTimes:
    """The moments of one agent turn, in s of the call's clock; None for what has not happened.

    Attributes:
        committed: when the caller's turn was committed, or the agent decided to speak of its own account.
        caller: the caller's side; None where the agent speaks of its own account.
        llm_request: the hooks on the caller's turn and on the first request are done.
        answering_request: the latest request before the first token: the one that was answered in words.
        first_token: the model's first text.
        llm_complete: the end of what the model wrote.
        first_sentence: the first sentence was complete.
        tts_request: the first sentence went to the voice.
        tts_first_byte: the voice's first audio came.
        tts_last_byte: the end of the last sentence's audio.
        first_audio: the first audio was in the carrier's format, ready to be sent.
        first_audio_sent: the carrier connection took it.
        bargein_detected: the caller's speech that was to interrupt the turn.
        output_stopped: the agent fell silent because of it.
        ended: the end of the turn.
    """

    committed: float
    caller: CallerTimes | None = None
    llm_request: float | None = None
    answering_request: float | None = None
    first_token: float | None = None
    llm_complete: float | None = None
    first_sentence: float | None = None
    tts_request: float | None = None
    tts_first_byte: float | None = None
    tts_last_byte: float | None = None
    first_audio: float | None = None
    first_audio_sent: float | None = None
    bargein_detected: float | None = None
    output_stopped: float | None = None
    ended: float = 0.0

    def mark(self, moment: Moment, t: float) -> bool:
        """Keep a moment; False when it had come before."""
        if getattr(self, moment) is not None:
            return False
        setattr(self, moment, t)
        return True

    def since_commit(self) -> dict[str, float]:
        """The moments that came, by name, in ms from the commit of the turn."""
        names = [name for name in self.__slots__ if name not in ("committed", "caller")]
        found = ((name, getattr(self, name)) for name in names)
        return {name: round((at - self.committed) * 1000, 1) for name, at in found if at is not None}

    @property
    def turn_start(self) -> float:
        """Where the caller began; the decision to speak where the caller said nothing."""
        return self.committed if self.caller is None else self.caller.turn_start

    @property
    def end_of_speech(self) -> float | None:
        """The end-of-speech signal."""
        return None if self.caller is None else self.caller.end_of_speech

    @property
    def base(self) -> float:
        """What the caller waits from: the end of speech, without that signal the start of the turn (MX-01)."""
        return self.turn_start if self.end_of_speech is None else self.end_of_speech

    @property
    def latency_ms(self) -> float | None:
        """From `base` to the first sent audio, in ms; None where the agent answers nobody or was not heard."""
        return None if self.caller is None else _ms(self.base, self.first_audio_sent)


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """The figures of one agent turn, in ms with one decimal; None where there is no such time.

    Attributes:
        turn: number of the agent turn.
        kind: what the agent said: an answer ("reply"), or something of its own account.
        interrupted: whether it was stopped before its end.
        stt_ms: from the end of speech to the final.
        user_speech_duration_ms: from the start of the turn to the end of speech.
        endpoint_ms: from the end of speech to the commit of the turn.
        llm_ttft_ms: from the final to the first token.
        llm_total_ms: from the final to the end of what the model wrote.
        tts_ms: from the first sentence to the voice's first byte.
        tts_total_ms: from the first token to the voice's last byte.
        total_ms: from the start of the turn to the voice's first byte; may be negative.
        agent_response_ms: `endpoint_ms`, `llm_ttft_ms` and `tts_ms` together.
        bargein_ms: from the speech that interrupted the turn to silence.
        latency_ms: from the end of speech to the first audio that was sent.
        has_end_of_speech: whether there was an end-of-speech signal; True where the caller said nothing.
        breakdown: what the caller waited for.
    """

    turn: int
    kind: TurnKind = "reply"
    interrupted: bool = False
    stt_ms: float | None = None
    user_speech_duration_ms: float | None = None
    endpoint_ms: float | None = None
    llm_ttft_ms: float | None = None
    llm_total_ms: float | None = None
    tts_ms: float | None = None
    tts_total_ms: float | None = None
    total_ms: float | None = None
    agent_response_ms: float | None = None
    bargein_ms: float | None = None
    latency_ms: float | None = None
    has_end_of_speech: bool = True
    breakdown: Breakdown = field(default_factory=Breakdown)

    @property
    def llm_ms(self) -> float | None:
        """The same as `llm_total_ms`."""
        return self.llm_total_ms

    @property
    def counts(self) -> bool:
        """Whether it enters averages and percentiles: an answer, not interrupted, with a total (MX-05)."""
        return self.kind == "reply" and not self.interrupted and bool(self.total_ms)

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        figures = {name: getattr(self, name) for name in self.__slots__ if name != "breakdown"}
        return {**figures, "llm_ms": self.llm_ms, "breakdown": self.breakdown.as_dict()}


def turn_metrics(
    turn: int,
    times: TurnTimes,
    settings: Settings,
    *,
    kind: TurnKind = "reply",
    interrupted: bool = False,
    last_interruption: float | None = None,
) -> TurnMetrics:
    """The figures of a turn that is over. `last_interruption` is that before the turn, in s of the call's clock."""
    caller = times.caller
    stt_complete = None if caller is None else caller.stt_complete
    endpoint = _ms(times.end_of_speech, times.committed)
    ttft = _ms(stt_complete, times.first_token)
    tts = _ms(_first(times.first_sentence, times.llm_complete), times.tts_first_byte)
    if _after_interruption(times, last_interruption):
        endpoint = None
    from_text = _first(times.first_token, times.first_sentence, times.llm_complete)
    return TurnMetrics(
        turn=turn,
        kind=kind,
        interrupted=interrupted,
        stt_ms=stt_ms(times, last_interruption),
        user_speech_duration_ms=speech_duration_ms(times),
        endpoint_ms=endpoint,
        llm_ttft_ms=ttft,
        llm_total_ms=_ms(stt_complete, times.llm_complete),
        tts_ms=tts,
        tts_total_ms=_ms(from_text, times.tts_last_byte),
        total_ms=_ms(times.turn_start, times.tts_first_byte, clamped=False),
        agent_response_ms=_response(endpoint, ttft, tts),
        bargein_ms=_ms(times.bargein_detected, times.output_stopped),
        latency_ms=times.latency_ms,
        has_end_of_speech=caller is None or caller.end_of_speech is not None,
        breakdown=breakdown(times, settings),
    )


def stt_ms(times: TurnTimes, last_interruption: float | None) -> float | None:
    """From the end of speech to the final; 0 for a turn that began with an interruption (MX-01, MX-04)."""
    if _after_interruption(times, last_interruption):
        return 0.0
    return None if times.caller is None else _ms(times.base, times.caller.stt_complete)


def speech_duration_ms(times: TurnTimes) -> float | None:
    """From the start of the turn to the end of speech; None without that signal (MX-01)."""
    return _ms(times.turn_start, times.end_of_speech)


def _after_interruption(times: TurnTimes, last_interruption: float | None) -> bool:
    if times.caller is None or last_interruption is None:
        return False
    return abs(times.caller.turn_start - last_interruption) <= AFTER_INTERRUPTION_S


def _response(endpoint: float | None, ttft: float | None, tts: float | None) -> float | None:
    if endpoint is None or ttft is None or tts is None or tts <= 0:
        return None
    return round(endpoint + ttft + tts, 1)


def _first(*moments: float | None) -> float | None:
    return next((moment for moment in moments if moment is not None), None)


def _ms(since: float | None, until: float | None, *, clamped: bool = True) -> float | None:
    if since is None or until is None:
        return None
    milliseconds = round((until - since) * 1000, 1)
    return max(0.0, milliseconds) if clamped else milliseconds
