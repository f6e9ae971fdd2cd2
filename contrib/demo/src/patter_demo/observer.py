"""What the call itself says about a conversation: a plugin that takes it down and passes it on to the view."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from patter import hookimpl
from patter.redaction import redact
from patter_demo.evidence import AgentTurn

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.first_message_actions import GreetingReport
    from patter.call.types import BargeInOutcome, CallFailure, CallSummary, TurnReport
    from patter_demo.evidence import Evidence
    from patter_demo.view import View


class Observer:
    """Subscribes to the one call of the demo before its first sound."""

    def __init__(self, evidence: Evidence, view: View, now: Callable[[], float]) -> None:
        self._evidence = evidence
        self._view = view
        self._now = now

    @hookimpl
    def patter_call_setup(self, call: Call) -> None:
        """Listen to everything that the view and the report need."""
        view = self._view
        call.on("transcript_partial", view.hears)
        call.on("transcript_final", self._understood)
        call.on("llm_chunk", view.agent_words)
        call.on("agent_speech_started", self._agent_began)
        call.on("turn_ended", self._turn_ended)
        call.on("interruption", self._interruption)
        call.on("failed", self._failed)
        for event in ("greeting_delivered", "greeting_fallback", "greeting_failed"):
            call.on(event, self._greeting_over)

    @hookimpl
    def patter_call_ended(self, summary: CallSummary) -> None:
        """Keep how it ended."""
        self._evidence.summary = summary

    def _understood(self, text: str) -> None:
        self._evidence.understood.append(text)
        self._view.understood(text)

    def _agent_began(self, number: int) -> None:
        self._evidence.turns.append(AgentTurn(number, self._now()))
        self._view.agent_began()

    def _turn_ended(self, report: TurnReport) -> None:
        for turn in self._evidence.turns:
            if turn.number == report.turn:
                turn.report = report
        metrics = report.metrics
        answer = metrics is not None and metrics.kind == "reply"
        self._view.agent_ended(
            report.heard_text, report.interrupted, metrics.breakdown if metrics and answer else None
        )

    def _interruption(self, outcome: BargeInOutcome) -> None:
        self._evidence.interruptions.append(outcome)
        self._view.interruption(outcome.outcome, outcome.transcript)

    def _greeting_over(self, report: GreetingReport) -> None:
        self._evidence.greeting = report

    def _failed(self, failure: CallFailure) -> None:
        text = f"{failure.kind} {failure.reference}: {redact(str(failure.error))}"
        self._evidence.failures.append(text)
        self._view.failed(text)
