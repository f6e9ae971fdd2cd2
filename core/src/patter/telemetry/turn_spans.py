"""The spans within a call: what was heard, when the turn was over, what the model, its tools and the voice did."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patter.markers import hookimpl
from patter.telemetry import attributes as names

if TYPE_CHECKING:
    from patter.call.types import BargeInOutcome, CallFailure, LLMRequest, ToolResult
    from patter.metrics import TTSMetrics, TurnMetrics
    from patter.providers.llm import Usage
    from patter.telemetry.call_spans import CallSpans

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Request:
    """A request to the language model: when it began, when its first and its latest text came, in s."""

    began: float
    first: float | None = None
    latest: float | None = None


@dataclass(slots=True)
class _Voice:
    """What the voice did in a turn: when it was first asked, when its first audio came and the model's first text."""

    asked: float | None = None
    first_byte: float | None = None
    first_token: float | None = None


class TurnSpans:
    """Follows the turns of one call by its events, and by those hooks that tell more."""

    def __init__(self, call: CallSpans) -> None:
        self._call = call
        self._speech: float | None = None
        self._silence: float | None = None
        self._request: _Request | None = None
        self._voice = _Voice()

    def subscriptions(self) -> Mapping[str, Callable[[Any], None]]:
        """What is to be called for which event."""
        return {
            "user_speech_started": self._speech_started,
            "user_speech_ended": self._speech_ended,
            "transcript_final": self._understood,
            "user_speech_eos": self._turn_over,
            "llm_token": self._began_to_write,
            "llm_chunk": self._written,
            "usage": self._billed,
            "tool_call_started": lambda _: self._answered({}),
            "failed": self._failed,
            "interruption": self._interruption,
            "tts_metrics": self._voiced,
            "metrics_collected": self._turn_ended,
        }

    # -- the caller

    def _speech_started(self, _: None) -> None:
        self._speech, self._silence = self._call.now(), None

    def _speech_ended(self, _: None) -> None:
        self._silence = self._call.now()

    def _understood(self, text: str) -> None:
        now = self._call.now()
        # Without a detector the caller's silence is known by the final itself.
        self._silence = now if self._silence is None else self._silence
        attributes = {
            names.STT_PROVIDER: self._call.provider("stt"),
            "patter.stt.model": self._call.model("stt"),
            "patter.pii.transcript": text,
        }
        self._call.child("stt", now if self._speech is None else self._speech, now, attributes)
        self._speech = now

    def _turn_over(self, trigger: str) -> None:
        now = self._call.now()
        began = now if self._silence is None else self._silence
        self._call.child("endpoint", began, now, {"patter.endpoint.trigger": trigger})
        self._speech = self._silence = None

    # -- the model and its tools

    @hookimpl
    def patter_modify_request(self, request: LLMRequest) -> None:
        """A request is about to be made; what was left of the one before it is given up."""
        self._swallowing(self._asked)

    def _asked(self) -> None:
        self._answered({})
        self._request = _Request(self._call.now())

    def _began_to_write(self, _: str) -> None:
        self._voice.first_token = self._call.now()

    def _written(self, _: str) -> None:
        request = self._request
        if request is not None:
            request.latest = self._call.now()
            request.first = request.latest if request.first is None else request.first

    def _billed(self, usage: Usage) -> None:
        if self._request is not None:
            self._request.latest = self._call.now()
        provider, model = self._call.provider("llm"), self._call.model("llm")
        self._call.models.tokens(provider, model, usage.input_tokens, usage.output_tokens)
        self._answered(
            {
                names.INPUT_TOKENS: usage.input_tokens,
                names.OUTPUT_TOKENS: usage.output_tokens,
                names.CACHE_READ_TOKENS: usage.cache_read_tokens,
                names.CACHE_WRITE_TOKENS: usage.cache_write_tokens,
            }
        )

    def _failed(self, failure: CallFailure) -> None:
        if failure.kind == "llm":
            self._answered({"error.type": type(failure.error).__name__}, error=True)

    def _answered(self, more: Mapping[str, object], *, error: bool = False) -> None:
        """The open request is over, by what is known of it."""
        request, self._request = self._request, None
        if request is None:
            return
        call = self._call
        provider, model = call.provider("llm"), call.model("llm")
        first_chunk_s = None if request.first is None else request.first - request.began
        attributes: dict[str, object] = {
            names.OPERATION: "chat",
            names.PROVIDER: provider,
            names.MODEL: model,
            names.CONVERSATION: call.call_id,
            names.STREAMED: True,
            names.FIRST_CHUNK_S: first_chunk_s,
            names.LLM_PROVIDER: provider,
            **more,
        }
        end = call.now() if request.latest is None else request.latest
        call.models.request(provider, model, end - request.began, first_chunk_s)
        call.child("llm", request.began, end, attributes, error=error)

    @hookimpl
    def patter_tool_finished(self, tool_call: ToolResult) -> None:
        """A tool is done."""
        self._swallowing(lambda: self._tool_finished(tool_call))

    def _tool_finished(self, tool_call: ToolResult) -> None:
        now = self._call.now()
        attributes = {
            names.OPERATION: "execute_tool",
            names.TOOL_NAME: tool_call.name,
            names.TOOL_CALL_ID: tool_call.id,
            names.TOOL_TYPE: "function",
            names.CONVERSATION: self._call.call_id,
            "patter.pii.tool_arguments": str(dict(tool_call.arguments)),
            "patter.pii.tool_result": tool_call.result,
        }
        failed = tool_call.error is not None
        self._call.child("tool", now - tool_call.duration_ms / 1000, now, attributes, error=failed)

    # -- the agent's speech

    def _interruption(self, outcome: BargeInOutcome) -> None:
        now = self._call.now()
        attributes = {
            names.TURN: outcome.turn,
            "patter.bargein.outcome": outcome.outcome,
            "patter.pii.transcript": outcome.transcript,
        }
        self._call.child("bargein", now - outcome.detection_delay_ms / 1000, now, attributes)

    def _voiced(self, metrics: TTSMetrics) -> None:
        if self._voice.asked is None:
            self._voice.first_byte = now = self._call.now()
            self._voice.asked = now - metrics.ttfb / 1000

    def _turn_ended(self, metrics: TurnMetrics) -> None:
        self._answered({})
        voice, self._voice = self._voice, _Voice()
        if voice.asked is not None and voice.first_byte is not None:
            attributes = {
                names.TTS_PROVIDER: self._call.provider("tts"),
                "patter.tts.model": self._call.model("tts"),
                names.TURN: metrics.turn,
            }
            self._call.child("tts", voice.asked, self._last_byte(voice, metrics), attributes)
        self._turn(voice, metrics)

    def _last_byte(self, voice: _Voice, metrics: TurnMetrics) -> float:
        """When the voice's last audio of the turn came; now where it was stopped in the midst of it."""
        if metrics.tts_total_ms is None:
            return self._call.now()
        text = voice.first_token
        if text is None:  # a fixed text: it is there with its first sentence
            text = (voice.first_byte or 0.0) - (metrics.tts_ms or 0.0) / 1000
        return text + metrics.tts_total_ms / 1000

    def _turn(self, voice: _Voice, metrics: TurnMetrics) -> None:
        """The turn as a whole, from its start to the end of what was heard of it, with its figures."""
        now, began = self._call.now(), None
        if metrics.total_ms is not None and voice.first_byte is not None:
            began = voice.first_byte - metrics.total_ms / 1000
        heard = metrics.total_ms if metrics.latency_ms is None else metrics.latency_ms
        attributes: dict[str, object] = {
            names.TURN: metrics.turn,
            "patter.turn.kind": metrics.kind,
            "patter.turn.interrupted": metrics.interrupted,
            names.TTFB_MS: heard,
            names.TURN_MS: metrics.total_ms,
        }
        for part in metrics.breakdown.parts:
            attributes[f"patter.latency.part.{part.name}_ms"] = part.ms
        self._call.child("turn", now if began is None else began, now, attributes)

    def _swallowing(self, step: Callable[[], None]) -> None:
        """Hooks report what they raise; a span that cannot be made is told at DEBUG alone (OB-07)."""
        try:
            step()
        except Exception:
            logger.debug("a span could not be made", exc_info=True)
