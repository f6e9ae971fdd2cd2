"""Measures one agent turn while it is made; whoever makes it says what has happened.

What comes after the turn was given up changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patter.metrics import EndOfUtteranceMetrics, LLMMetrics, ProviderNames, Settings, TTSMetrics, TurnTimes

if TYPE_CHECKING:
    from patter.metrics.turns import TurnKind
    from patter.records import ProviderKind


@dataclass(frozen=True, slots=True)
class MeterSurroundings:
    """What meters need to know of their call.

    Attributes:
        now: the call's clock, in s.
        emit: tells the call's observers.
        reference: how the provider of a kind is named that is at work now; "" for none.
        settings: the plugins and settings that move the parts of a turn, as they are now.
        providers: who takes part.
        has_vad: whether a VAD, or an engine, hears where the caller's speech begins and ends.
        has_stt: whether turns are committed on the finals of an STT.
        only_initial_ttfb: `llm_metrics` and `tts_metrics` come once in a turn.
    """

    now: Callable[[], float]
    emit: Callable[[str, Any], None]
    reference: Callable[[ProviderKind], str]
    settings: Callable[[], Settings]
    providers: Callable[[], ProviderNames]
    has_vad: bool
    has_stt: bool = True
    only_initial_ttfb: bool = False


class ReplyMeter:
    """The moments of one turn.

    Attributes:
        number: number of the agent turn.
        kind: what the agent says.
        times: what is known so far.
        over: nothing counts any more.
    """

    def __init__(self, number: int, kind: TurnKind, times: TurnTimes, around: MeterSurroundings) -> None:
        self.number = number
        self.kind = kind
        self.times = times
        self.over = False
        self._around = around
        self._now = around.now
        self._requests = self._sentences = 0
        self._request_at: float | None = None
        self._sentence_at: float | None = None
        self._hooks_told = times.caller is None or not (around.has_vad and around.has_stt)

    def caller_turn_hooked(self) -> None:
        """The hooks have seen the caller's turn, or never will."""
        if self.over or self._hooks_told:
            return
        self._hooks_told = True
        caller, committed = self.times.caller, self.times.committed
        assert caller is not None
        figures = EndOfUtteranceMetrics.of(
            self.number,
            # a VAD that has not noticed yet comes after the words: no delay
            vad_stopped=committed if caller.vad_stopped is None else caller.vad_stopped,
            stt_final=committed if caller.stt_complete is None else caller.stt_complete,
            turn_commit=committed,
            hooks_s=self._now() - committed,
        )
        self._around.emit("eou_metrics", figures)

    def requested(self, tool_rounds: int) -> None:
        """The model is asked, after so many rounds of tools; again where the failure of a request was healed."""
        t = self._now()
        if not self.over:
            self.times.mark("llm_request", t)
            if self.times.first_token is None and self.times.answering_request is None:
                self.times.answering_request = t
            self._requests = tool_rounds + 1
            self._request_at = t

    def answered(self) -> None:
        """The first token of a request came, be it text or a piece of a tool call."""
        if self.over or self._request_at is None:
            return
        ttft, self._request_at = self._now() - self._request_at, None
        if self._requests == 1 or not self._around.only_initial_ttfb:
            reference = self._around.reference("llm")
            self._around.emit("llm_metrics", LLMMetrics.of(self.number, reference, ttft, self._requests))

    def first_token(self) -> bool:
        """Text came; True the first time."""
        if self.over or self.times.first_token is not None:
            return False
        return self.times.mark("first_token", self._now())

    def wrote(self) -> None:
        """The model has come to the end of an answer."""
        if not self.over:
            self.times.llm_complete = self._now()

    def runs_tools(self) -> None:
        """The model asked for tools, in place of an answer or behind it."""
        if not self.over and self.times.first_token is None:
            self.times.answering_request = None

    def sentence(self) -> None:
        """A sentence is complete that may be the first to be said."""
        if not self.over:
            self.times.first_sentence = self._now()

    def synthesises(self) -> None:
        """A sentence goes to the voice."""
        if not self.over:
            self._sentence_at = self._now()
            self.times.mark("tts_request", self._sentence_at)
            self._sentences += 1

    def voiced(self) -> None:
        """Audio of a sentence came from the voice."""
        if self.over or self._sentence_at is None:
            return
        t = self._now()
        ttfb, self._sentence_at = t - self._sentence_at, None
        self.times.mark("tts_first_byte", t)
        if self._sentences == 1 or not self._around.only_initial_ttfb:
            reference = self._around.reference("tts")
            self._around.emit("tts_metrics", TTSMetrics.of(self.number, reference, ttfb, self._sentences))

    def audio_ready(self) -> bool:
        """Audio is in the carrier's format; True the first time. What was made beforehand needs no voice."""
        if self.over or self.times.first_audio is not None:
            return False
        t = self._now()
        self.times.mark("tts_first_byte", t)
        return self.times.mark("first_audio", t)

    def spoken(self) -> None:
        """The voice has come to the end of a sentence."""
        if not self.over:
            self.times.tts_last_byte = self._now()
