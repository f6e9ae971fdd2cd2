"""Measures the turns of one call, and tells its observers the figures.

The session machine decides, this only watches: it is told of the caller's speech by hearing, of a turn's making through
its `ReplyMeter`, and of everything else by the machine's actions as they are carried out. Times are s of the call's
clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from patter.call.reply_meter import ReplyMeter
from patter.metrics import (
    CallMetrics,
    InterruptionMetrics,
    SpeechAnchor,
    STTMetrics,
    TurnMetrics,
    TurnTimes,
    call_metrics,
    speech_duration_ms,
    stt_ms,
    turn_metrics,
)

if TYPE_CHECKING:
    from patter.call.actions import StartReply
    from patter.call.reply_meter import MeterSurroundings
    from patter.call.session_state import TurnEnd
    from patter.call.types import BargeInOutcome, TurnReport


class TurnMeter:
    """The turns of one call.

    Attributes:
        caller: what is known of the caller's next turn.
        turns: the figures of the turns that are over, in order.
        interruptions: those that were confirmed.
        open: the turn that is being made or heard.
        finals: how many finals counted.
    """

    def __init__(self, around: MeterSurroundings, backchannels: Callable[[], int]) -> None:
        self.caller = SpeechAnchor(has_vad=around.has_vad)
        self.turns: list[TurnMetrics] = []
        self.interruptions: list[InterruptionMetrics] = []
        self.open: ReplyMeter | None = None
        self.finals = 0
        self._around = around
        self._backchannels = backchannels
        self._detected: float | None = None
        self._silent_since: float | None = None
        self._last_interruption: float | None = None
        self._before_turn: float | None = None

    def observed(self, event: str, data: object, t: float) -> object:
        """The machine tells observers something: the same, with figures where it has some."""
        if event == "turn_ended":
            return self.ended(cast("TurnEnd", data), t)
        if event == "interruption":
            return self.interruption(cast("BargeInOutcome", data), t)
        if event == "agent_speech_started":
            self.sounds(t)
        elif event == "transcript_final":
            self.finals += 1
            if self._around.has_stt:
                self.caller.final(t)
        elif not self._around.has_stt:
            self._engine_hears(event, t)
        return data

    def _engine_hears(self, event: str, t: float) -> None:
        """An engine hears the caller itself; what it has understood is known at some time, perhaps after its answer."""
        if event == "user_speech_started":
            self.caller.speech_started(t)
        elif event == "user_speech_ended":
            self.caller.speech_ended(t)

    def begun(self, start: StartReply, t: float) -> ReplyMeter:
        """A turn begins: the caller's is committed, or the agent speaks of its own account."""
        caller = self.caller.committed(t) if start.user_turn is not None else None
        times = TurnTimes(t, caller)
        turn = self.open = ReplyMeter(start.reply, start.kind, times, self._around)
        self._before_turn = self._last_interruption
        self._detected = self._silent_since = None
        if caller is not None and caller.stt_complete is not None:
            reference, finalised = self._around.reference("stt"), stt_ms(times, self._before_turn)
            figures = STTMetrics(turn.number, reference, finalised, speech_duration_ms(times))
            self._around.emit("stt_metrics", figures)
        return turn

    def sounds(self, t: float) -> None:
        """The first audio of the turn was sent."""
        if self.open is not None:
            self.open.times.first_audio_sent = t

    def cleared(self, t: float) -> None:
        """The agent was made to fall silent, for good or until it goes on."""
        self._silent_since = t

    def interruption(self, outcome: BargeInOutcome, t: float) -> BargeInOutcome:
        """An interruption was confirmed or dropped; a confirmed one gets its figures."""
        if outcome.outcome != "confirmed":
            self._silent_since = None
            return outcome
        self._detected = t - outcome.detection_delay_ms / 1000
        self._last_interruption = t
        count, backchannels = len(self.interruptions) + 1, self._backchannels()
        metrics = InterruptionMetrics.of(self._detected, t, interruptions=count, backchannels=backchannels)
        self.interruptions.append(metrics)
        return replace(outcome, metrics=metrics)

    def ended(self, end: TurnEnd, t: float) -> TurnReport:
        """The turn is over; its report gets the figures."""
        turn, report = self.open, end.report()
        if turn is None or turn.number != report.turn:
            return report
        metrics = self._close_turn(turn, t, interrupted=report.interrupted)
        self._around.emit("metrics_collected", metrics)
        since_commit = turn.times.since_commit()
        return replace(report, latency_ms=metrics.latency_ms, timings=since_commit, metrics=metrics)

    def _close_turn(self, turn: ReplyMeter, t: float, *, interrupted: bool) -> TurnMetrics:
        turn.caller_turn_hooked()
        turn.over, self.open = True, None
        times = turn.times
        times.ended = t
        if interrupted and self._detected is not None:
            times.bargein_detected = self._detected
            times.output_stopped = t if self._silent_since is None else self._silent_since
        metrics = turn_metrics(
            turn.number,
            times,
            self._around.settings(),
            kind=turn.kind,
            interrupted=interrupted,
            last_interruption=self._before_turn,
        )
        self.turns.append(metrics)
        return metrics

    def close(self, t: float) -> CallMetrics:
        """The call is over: its figures. A turn still open is recorded as interrupted (MX-09)."""
        if self.open is not None:
            self._around.emit("metrics_collected", self._close_turn(self.open, t, interrupted=True))
        return call_metrics(
            self.turns,
            overlaps=self.interruptions,
            backchannels=self._backchannels(),
            providers=self._around.providers(),
        )
