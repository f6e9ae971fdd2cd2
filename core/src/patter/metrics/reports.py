"""What the event stream tells of times while a call goes on (MX-06, MX-07, MX-10). Times in ms."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EndOfUtteranceMetrics:
    """How a turn of the caller's came to its end, told as `eou_metrics` when the agent begins to answer it.

    Attributes:
        turn: number of the agent turn that answers it.
        end_of_utterance_delay: from the VAD's stop to the final.
        transcription_delay: from the VAD's stop to the commit of the turn.
        on_user_turn_completed_delay: what the hooks on the caller's turn took.
    """

    turn: int
    end_of_utterance_delay: float = 0.0
    transcription_delay: float = 0.0
    on_user_turn_completed_delay: float = 0.0

    @classmethod
    def of(
        cls, turn: int, *, vad_stopped: float, stt_final: float, turn_commit: float, hooks_s: float = 0.0
    ) -> EndOfUtteranceMetrics:
        """From moments in s; what would be negative is 0."""
        return cls(turn, _ms(stt_final - vad_stopped), _ms(turn_commit - vad_stopped), _ms(hooks_s))


@dataclass(frozen=True, slots=True)
class InterruptionMetrics:
    """One interruption that was confirmed, and how many there were in its call up to then (MX-07).

    Attributes:
        total_duration: from the beginning of the caller's speech over the agent to the decision.
        detection_delay: the same.
        interruptions: those that were confirmed, this one included.
        backchannels: what was said over the agent without interrupting it.
    """

    total_duration: float
    detection_delay: float
    interruptions: int = 1
    backchannels: int = 0

    @classmethod
    def of(
        cls, overlap_start: float, overlap_end: float, *, interruptions: int = 1, backchannels: int = 0
    ) -> InterruptionMetrics:
        """From moments in s."""
        duration = _ms(overlap_end - overlap_start)
        return cls(duration, duration, interruptions, backchannels)


@dataclass(frozen=True, slots=True)
class STTMetrics:
    """`stt_metrics`: a turn of the caller's was understood.

    `turn` is the agent turn that answers it, `audio_duration` the caller's speech; None without its end.
    """

    turn: int
    provider: str
    stt_ms: float | None
    audio_duration: float | None = None


@dataclass(frozen=True, slots=True)
class LLMMetrics:
    """`llm_metrics`: the first token of a request came, be it text or a piece of a tool call.

    `ttft` counts from the request, `request` from 1 in each turn.
    """

    turn: int
    provider: str
    ttft: float
    request: int = 1

    @classmethod
    def of(cls, turn: int, provider: str, ttft_s: float, request: int) -> LLMMetrics:
        """From a time in s."""
        return cls(turn, provider, _ms(ttft_s), request)


@dataclass(frozen=True, slots=True)
class TTSMetrics:
    """`tts_metrics`: the first byte of a sentence came from the voice.

    `ttfb` counts from the request, `sentence` from 1 in each turn.
    """

    turn: int
    provider: str
    ttfb: float
    sentence: int = 1

    @classmethod
    def of(cls, turn: int, provider: str, ttfb_s: float, sentence: int) -> TTSMetrics:
        """From a time in s."""
        return cls(turn, provider, _ms(ttfb_s), sentence)


def _ms(seconds: float) -> float:
    return round(max(0.0, seconds) * 1000, 1)
