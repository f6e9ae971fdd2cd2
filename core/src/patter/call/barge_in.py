"""Barge-in: does the caller's speech interrupt the agent? Pure.

The machine knows one agent turn at a time. It is told the edges of the caller's speech, the transcripts and the time,
and answers with at most one `Interruption`: confirmed, unconfirmed or rejected. It does no I/O and starts no timer:
`deadline()` says when `time_passed` may have something new.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Literal

from patter.call.types import BargeInOutcome
from patter.providers.barge_in import BargeInEvent, BargeInKind, Verdict

if TYPE_CHECKING:
    from patter.providers.barge_in import BargeInStrategy

logger = logging.getLogger(__name__)

BargeInMode = Literal["cancel", "confirm", "pause"]
#: a strategy is asked again this often while the caller goes on speaking, in s
TICK_S = 0.1
#: an interruption that nothing confirmed ends after this, whatever is outstanding, in s (BI-13)
PENDING_CAP_S = 6.0
#: without a VAD the caller counts as silent this long after the last interim, in s (BI-13)
SILENT_AFTER_INTERIM_S = 0.4
#: an enum takes its time to look up a member
_WAIT, _CONFIRM, _REJECT = Verdict.WAIT, Verdict.CONFIRM, Verdict.REJECT


@dataclass(frozen=True, slots=True)
class BargeInSettings:
    """How one call judges the caller's speech. Times in s."""

    mode: BargeInMode = "cancel"
    gate_s: float = 0.25
    confirm_s: float = 1.5
    has_vad: bool = True


@dataclass(slots=True)
class Interruption:
    """A pending interruption that came to its end; nobody changes it. `overlap_start` is stamped once, at the speech start (BI-16)."""

    outcome: Literal["confirmed", "unconfirmed", "rejected"]
    transcript: str
    overlap_start: float
    decided_at: float
    requested: bool = False

    def outcome_for(self, turn: int) -> BargeInOutcome:
        """What observers are told of it; `turn` is the agent turn it concerned."""
        delay_ms = max(0.0, (self.decided_at - self.overlap_start) * 1000)
        return BargeInOutcome(turn, self.outcome, self.transcript, delay_ms, self.requested)


@dataclass(slots=True)
class _Pending:
    since: float
    silent_since: float | None
    next_tick: float
    waited: float = 0.0


class BargeIn:
    """The barge-in machine of one call."""

    def __init__(self, settings: BargeInSettings, strategies: Sequence[BargeInStrategy] = ()) -> None:
        self.settings = settings
        self._strategies = list(strategies)
        self.first_audio: float | None = None
        #: how much of the agent's turn was heard at a time, in ms
        self.heard_ms: Callable[[float], float] = lambda t: 0.0
        self._pending: _Pending | None = None
        self._speech_start: float | None = None
        self._speech_end: float | None = None
        self._interim = ""
        self._interim_at: float | None = None
        #: when the gate opens, until that was seen
        self._gate_at = inf
        self.finalizing = False

    # -- the agent

    def agent_sent_audio(self, t: float) -> None:
        """The turn's first audio was sent; the gate opens `gate_s` later."""
        self.first_audio = t
        self._gate_at = t + self.settings.gate_s

    def agent_turn_over(self) -> None:
        """The turn ended or was interrupted; nothing can be interrupted until the next one is heard."""
        if self.first_audio is not None or self._pending is not None:
            self._reset_strategies()
        self.first_audio = self._pending = None
        self._gate_at = inf

    def stopped(self, t: float) -> Interruption:
        """The application stops the agent: that ends a pending interruption, and counts as one of its own."""
        transcript = self._interim if self._pending is not None else ""
        return replace(self._close("confirmed", transcript, t), requested=True)

    def gate_open(self, t: float) -> bool:
        """Whether the agent's current turn can be interrupted (BI-01, BI-02)."""
        return self.first_audio is not None and t >= self.first_audio + self.settings.gate_s

    @property
    def began_before_audio(self) -> bool:
        """Whether the caller's last speech began before the turn's first audio was sent."""
        if self.first_audio is None or self._speech_start is None:
            return False
        return self._speech_start < self.first_audio

    @property
    def pending(self) -> bool:
        """Whether an interruption waits for a decision."""
        return self._pending is not None

    # -- the caller

    def speech_started(self, t: float) -> Interruption | None:
        """The caller's speech begins. Before the gate this is only remembered (BI-06)."""
        if self._speaking(t):
            return None
        self._speech_start, self._speech_end = t, None
        self._interim = ""
        return self._speech_past_gate(t, t) if self.gate_open(t) else None

    def speech_ended(self, t: float) -> Interruption | None:
        """The caller's speech ends."""
        self._speech_end = t
        if self._pending is None:
            return None
        self._pending.silent_since = t
        return self._ask("speech_end", self._interim, t)

    def interim(self, text: str, t: float) -> Interruption | None:
        """A partial transcript of speech that may still go on."""
        if not text.strip():
            return None
        if not self.settings.has_vad and self._silent(t):
            self._speech_start, self._speech_end = t, None
        self._interim, self._interim_at = text, t
        if not self.gate_open(t):
            return None
        if self._pending is not None:
            return self._ask("interim", text, t)
        if self.settings.mode == "cancel":
            # With a VAD its edge decides; the words of speech it did not hear count without one (BI-07).
            return None if self.settings.has_vad else self._close("confirmed", text, t)
        if self._spoken_before_gate():
            return None
        self._open(t)
        return self._ask("interim", text, t)

    def final(self, text: str, t: float) -> Interruption | None:
        """A closed utterance said over the agent; opens PENDING by itself when nothing is pending (BI-21)."""
        before_gate = self._spoken_before_gate()
        self._interim = ""
        self._interim_at = None
        if not self._judged(t, before_gate):
            return None
        if self.settings.mode == "cancel":
            return self._close("confirmed", text, t)
        if self._pending is None:
            self._open(t)
        if not self._strategies:
            return self._close("confirmed", text, t)
        return self._ask("final", text, t)

    def _judged(self, t: float, before_gate: bool) -> bool:
        """Whether a final is judged at all: not while the agent is silent, nor for speech the gate kept out."""
        if self.first_audio is None or before_gate:
            return False
        ended_before_audio = self._speech_end is not None and self._speech_end <= self.first_audio
        return self.gate_open(t) or ended_before_audio

    def _spoken_before_gate(self) -> bool:
        """Whether the last speech lies wholly between the first audio and the gate (BI-06)."""
        if self.first_audio is None or self._speech_start is None or self._speech_end is None:
            return False
        return (
            self.first_audio <= self._speech_start
            and self._speech_end <= self.first_audio + self.settings.gate_s
        )

    def _speaking(self, t: float) -> bool:
        if not self.settings.has_vad:
            return not self._silent(t)
        return self._speech_start is not None and self._speech_end is None

    def _silent(self, t: float) -> bool:
        return self._interim_at is None or t - self._interim_at >= SILENT_AFTER_INTERIM_S

    # -- time

    def time_passed(self, t: float) -> Interruption | None:
        """Look at the clock: speech at the gate's opening, ticks, the confirmation time."""
        if t >= self._gate_at:
            self._gate_at = inf
            if self._pending is None and self.settings.has_vad and self._speaking(t):
                return self._speech_past_gate(t, t)
        pending = self._pending
        if pending is None:
            return None
        if t >= pending.next_tick:
            pending.next_tick = max(pending.next_tick + TICK_S, t)
            if self._speaking(t):
                decision = self._ask("speech_tick", self._interim, t)
                if decision is not None or self._pending is None:
                    return decision
        if t >= self._expiry(pending, t):
            return self._close("unconfirmed", self._interim, t)
        return None

    def _expiry(self, pending: _Pending, t: float) -> float:
        if (
            self.settings.mode == "pause"
        ):  # the caller hears silence: this time runs from the speech start (BI-13)
            return pending.since + self.settings.confirm_s
        cap = pending.since + PENDING_CAP_S
        if self._speaking(t) or self.finalizing:
            return cap
        silent_since = pending.silent_since
        if not self.settings.has_vad:
            heard_last = self._interim_at if self._interim_at is not None else pending.since
            silent_since = max(heard_last + SILENT_AFTER_INTERIM_S, pending.since)
        return min(cap, (pending.since if silent_since is None else silent_since) + self.settings.confirm_s)

    def deadline(self, t: float) -> float:
        """When `time_passed` may next have something new; infinity for never."""
        pending = self._pending
        if pending is not None:
            expiry = self._expiry(pending, t)
            return min(expiry, pending.next_tick) if self._speaking(t) else expiry
        return self._gate_at

    # -- deciding

    def _speech_past_gate(self, t: float, overlap_start: float) -> Interruption | None:
        if self.settings.mode == "cancel":
            return self._close("confirmed", self._interim, t)
        if self._pending is None:
            self._open(overlap_start)
        else:  # the caller pauses and goes on: the same interruption, whose time and cap run on (BI-13, BI-16)
            self._pending.silent_since = None
        return self._ask("speech_start", self._interim, t)

    def _open(self, t: float) -> None:
        silent = None if self._speaking(t) else t
        self._pending = _Pending(since=t, silent_since=silent, next_tick=t + TICK_S)

    def _ask(self, kind: BargeInKind, transcript: str, t: float) -> Interruption | None:
        pending = self._pending
        assert pending is not None
        if not self._strategies:
            return None
        started = self._speech_start if self._speech_start is not None else pending.since
        event = BargeInEvent(
            kind=kind,
            transcript=transcript,
            is_final=kind == "final",
            agent_speaking=self.first_audio is not None,
            speech_ms=max(0.0, ((self._speech_end or t) - started) * 1000),
            agent_heard_ms=self.heard_ms(t),
        )
        for strategy in self._strategies:
            verdict = _evaluate(strategy, event)
            if verdict is _CONFIRM:
                return self._close("confirmed", transcript, t)
            if verdict is _REJECT:
                return self._close("rejected", transcript, t)
        return None

    def _close(
        self, outcome: Literal["confirmed", "unconfirmed", "rejected"], transcript: str, t: float
    ) -> Interruption:
        since = self._pending.since if self._pending is not None else t
        self._pending = None
        self._reset_strategies()
        return Interruption(outcome, transcript, since, t)

    def _reset_strategies(self) -> None:
        for strategy in self._strategies:
            try:
                strategy.reset()
            except Exception:
                logger.exception("barge-in strategy %s: reset() failed", type(strategy).__name__)


def _evaluate(strategy: BargeInStrategy, event: BargeInEvent) -> Verdict:
    """One answer; a strategy that raises counts as WAIT and the others are still asked (BI-11)."""
    try:
        answer = strategy.evaluate(event)
    except Exception:
        logger.exception("barge-in strategy %s failed; it counts as 'not yet'", type(strategy).__name__)
        return _WAIT
    if isinstance(answer, Verdict):
        return answer
    return _CONFIRM if answer else _WAIT
