"""The protected first message of an engine: withheld from early callers, verified, and heard once. Pure.

An engine that hears "Hello?" while it greets may take that for an interruption and cancel its greeting. So the caller's
audio is withheld from it until the greeting was heard (RT-07); besides, the engine is told to cancel nothing meanwhile,
and whether it took that is verified beside the greeting (RT-03). What the engine says is not believed: the greeting
counts once its audio has come, its response is complete and the caller has heard it (RT-08).

The machine takes timestamped events, in s of the call's clock, and returns what to do. `share` is how much of the
greeting's text the caller has heard, from 0 to 1 (TN-08).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from patter.call.first_message_actions import (
    Abandon,
    AddToHistory,
    CancelGreeting,
    FinishGreeting,
    GreetingAction,
    GreetingReport,
    Guard,
    ProtectionReport,
    Reconnect,
    Release,
    Report,
    RequestGreeting,
    Restart,
    Restore,
    SpeakFallback,
)
from patter.providers.realtime import ResponseStatus

#: a greeting of which so much was heard is not said again (RT-09)
HEARD_ENOUGH = 0.8
#: a greeting that was asked for, or is being made, has failed when nothing of it comes for this long, in s
SILENT_S = 5.0
#: the same for an engine that greets by itself (RT-22), in s
NATIVE_SILENT_S = 3.0
#: the end of a response that was cancelled is waited for this long, in s
CANCELLED_S = 2.0


@dataclass(frozen=True, slots=True)
class FirstMessageSettings:
    """What the machine must know. Times in s.

    Attributes:
        text: what is to be said, word for word.
        guards: whether the engine acknowledges settings, so that it can be guarded.
        requests: whether responses can be asked for.
        native: whether it greets, and protects its greeting, by itself (RT-23).
        waits_for_ack: ask for the greeting only once the guard was acknowledged, or that took too long.
        retries: how often a greeting that failed is tried again.
        has_fallback: whether a voice can say it in the engine's place.
    """

    text: str
    guards: bool = True
    requests: bool = True
    native: bool = False
    waits_for_ack: bool = False
    ack_timeout_s: float = 1.5
    retries: int = 2
    has_fallback: bool = False


class Step(Enum):
    """Where the greeting stands."""

    UNCONNECTED = "there is no session yet"
    WAITING = "the guard's acknowledgement is waited for"
    ASKED = "nothing of the greeting has come yet"
    SPEAKING = "the engine makes it"
    PLAYING = "all of it is here and is being heard"
    RECONNECTING = "the session was lost"
    FALLBACK = "a voice speaks it in the engine's place"
    FAILED = "it was given up, and what there is of it is being heard"
    OVER = "the caller's audio flows"


_MAKING = (Step.ASKED, Step.SPEAKING)


@dataclass(slots=True)
class _Acknowledgement:
    """What is known of the guard."""

    sent: bool = False
    applied: bool = False
    reported: bool = False
    deadline: float | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


class FirstMessage:
    """The first message of one call; not made for an agent without one (RT-13)."""

    def __init__(self, settings: FirstMessageSettings) -> None:
        self.settings = settings
        self.step = Step.UNCONNECTED
        #: how often the greeting was begun
        self.attempts = 0
        self._guard = _Acknowledgement()
        self._connected = False
        self._response: str | None = None
        self._over: set[str] = set()
        self._audio = False
        self._complete = False
        self._cancelled = ""
        self._reason = ""
        self._partial = False
        self._deadline: float | None = None
        self._owed: list[GreetingAction] = []

    # -- what is asked of it

    @property
    def protects(self) -> bool:
        """Whether the caller's audio is withheld."""
        return self.step is not Step.OVER

    @property
    def is_made(self) -> bool:
        """Whether the greeting was begun, and more of it is to come."""
        return self.step in _MAKING

    @property
    def is_playing(self) -> bool:
        """Whether the caller hears it, and no session is to begin it again."""
        return self.step in (Step.PLAYING, Step.FALLBACK)

    def is_over(self, response_id: str | None) -> bool:
        """Whether that response was an attempt which is over: nothing of it is to be heard."""
        return response_id is not None and response_id in self._over

    def deadline(self) -> float | None:
        """When `time_passed` may have something new."""
        moments = (self._deadline, self._guard.deadline)
        return min((one for one in moments if one is not None), default=None)

    # -- the connection

    def connected(self, t: float) -> list[GreetingAction]:
        """The engine's session is open, for the first time or again."""
        self._connected = True
        if self.step is Step.OVER:
            owed, self._owed = self._owed, []
            return owed
        if self.step is Step.UNCONNECTED or (
            self.step is Step.RECONNECTING and self.attempts <= self.settings.retries
        ):
            return self._attempt(t)
        if self.step is Step.RECONNECTING:
            return self._give_up(self._reason)
        return self._protect(t)  # only the connection was renewed, or a voice speaks meanwhile

    def dropped(self, share: float, t: float) -> list[GreetingAction]:
        """The session was lost: a new one is made and the greeting starts again, unless it was heard (RT-11)."""
        self._connected = False
        self._guard.deadline = None
        if self.step in (Step.OVER, Step.FALLBACK, Step.FAILED, Step.RECONNECTING):
            return []
        self._forget_response()
        if share >= HEARD_ENOUGH:
            self._partial = self._partial or not self._complete
            return [*self._finish(), Reconnect()]
        self._complete = False
        self.step, self._reason, self._deadline = Step.RECONNECTING, "the connection was lost", None
        return [Restart(), Reconnect()]

    def unreachable(self, t: float) -> list[GreetingAction]:
        """No session could be had, at the first attempt or after one was lost."""
        self._connected = False
        if self.step in (Step.UNCONNECTED, Step.RECONNECTING):
            return self._give_up("no connection")
        return []

    # -- the guard

    def echo(self, guarded: bool | None, values: Mapping[str, Any], t: float) -> list[GreetingAction]:
        """The engine says what its settings are; only both powers off is the acknowledgement (RT-03)."""
        guard = self._guard
        if not guard.sent or guard.applied:
            return []
        guard.values = values
        if guarded is not True:
            return []
        guard.applied, guard.deadline = True, None
        return self._ask(t) if self.step is Step.WAITING else []

    def guard_refused(self, code: str, parameter: str, t: float) -> list[GreetingAction]:
        """The engine answered the guard with an error; the caller's audio is withheld all the same (RT-05)."""
        if not self._guard.sent or self._guard.applied:
            return []
        return self._not_applied(ProtectionReport(code=code, parameter=parameter), t)

    def _not_applied(self, report: ProtectionReport, t: float) -> list[GreetingAction]:
        guard = self._guard
        guard.deadline = None
        told: list[GreetingAction] = [] if guard.reported else [Report("protection_not_applied", report)]
        guard.reported = True
        return [*told, *self._ask(t)] if self.step is Step.WAITING else told

    # -- the engine's greeting

    def response_started(self, response_id: str | None, t: float) -> list[GreetingAction]:
        """The engine begins a response that is the greeting."""
        if self.step is Step.ASKED and not self.is_over(response_id):
            self.step, self._response = Step.SPEAKING, response_id
            self._deadline = t + SILENT_S
        return []

    def audio(self, response_id: str | None, t: float) -> None:
        """At least one byte of the greeting has come."""
        if self.step in _MAKING and not self.is_over(response_id):
            self.step, self._response, self._audio = Step.SPEAKING, response_id, True
            if not self._cancelled:
                self._deadline = t + SILENT_S

    def cancelled(self, response_id: str | None, by: str, t: float) -> list[GreetingAction]:
        """The engine cancelled the greeting by itself; its `response_done` follows."""
        if self._is_current(response_id) and not self._cancelled:
            self._cancelled, self._deadline = by or "cancelled", t + CANCELLED_S
        return []

    def response_done(
        self, response_id: str | None, status: ResponseStatus, detail: str, share: float, t: float
    ) -> list[GreetingAction]:
        """The response is over; how often that is said of one, and in which words, makes no difference."""
        if not self._is_current(response_id):
            return []
        self._response = response_id
        if status == "completed" and self._audio:
            self._complete = True
            return self._finish()
        reason = "no audio" if status == "completed" else self._cancelled or detail or status
        return self._failed(reason, share, t)

    def request_refused(self, code: str, share: float, t: float) -> list[GreetingAction]:
        """The engine answered the request for the greeting with an error."""
        return self._failed(code or "refused", share, t) if self.step is Step.ASKED else []

    def _is_current(self, response_id: str | None) -> bool:
        if self.step not in _MAKING or self.is_over(response_id):
            return False
        return self.step is Step.ASKED or response_id is None or response_id == self._response

    # -- what the caller heard

    def turn_over(
        self, share: float, played_ms: float, t: float, *, interrupted: bool
    ) -> list[GreetingAction]:
        """The greeting's turn has come to its end: it was heard, or the application stopped it."""
        step, self._deadline = self.step, None
        report = GreetingReport(self.attempts, played_ms, self._partial)
        if step is Step.OVER:
            return []
        if step is Step.PLAYING and interrupted:
            self._partial, step = True, step if share >= HEARD_ENOUGH else Step.FAILED
            report = GreetingReport(self.attempts, played_ms, partial=True)
        if step is Step.PLAYING:
            return self._leave(Report("greeting_delivered", report))
        if step is Step.FALLBACK and share >= HEARD_ENOUGH:
            return self._leave(Report("greeting_fallback", report), after=[AddToHistory(self.settings.text)])
        reason = "the fallback voice failed" if step is Step.FALLBACK else self._reason
        reason = "stopped" if interrupted else reason
        failed = GreetingReport(self.attempts, played_ms, reason=reason)
        return self._leave(Report("greeting_failed", failed))

    # -- time

    def time_passed(self, t: float) -> list[GreetingAction]:
        """Look at the clock; without `share` being known nothing counts as heard: see `overdue`."""
        guard = self._guard
        if guard.deadline is not None and t >= guard.deadline:
            return self._not_applied(ProtectionReport(values=guard.values), t)
        return []

    def overdue(self, share: float, t: float) -> list[GreetingAction]:
        """The same for a greeting of which nothing more comes, if that is so."""
        if self._deadline is None or t < self._deadline or self.step not in _MAKING:
            return []
        cancel: list[GreetingAction] = []
        if self.step is Step.SPEAKING and not self._cancelled:
            cancel = [CancelGreeting(self._response)]
        return [*cancel, *self._failed(self._cancelled or "silence", share, t)]

    # -- the way

    def _attempt(self, t: float) -> list[GreetingAction]:
        if not self.settings.requests and not self.settings.native:
            return self._give_up("the engine cannot be asked to speak")
        self.attempts += 1
        guarded = self._protect(t)
        if guarded and self.settings.waits_for_ack:
            self.step = Step.WAITING
            return guarded
        return [*guarded, *self._ask(t)]

    def _protect(self, t: float) -> list[GreetingAction]:
        if not self.settings.guards or self.settings.native:
            return []
        guard = self._guard
        guard.sent, guard.applied = True, False
        guard.deadline = t + self.settings.ack_timeout_s
        return [Guard()]

    def _ask(self, t: float) -> list[GreetingAction]:
        self.step = Step.ASKED
        native = self.settings.native
        self._deadline = t + (NATIVE_SILENT_S if native else SILENT_S)
        return [] if native else [RequestGreeting(self.settings.text)]

    def _failed(self, reason: str, share: float, t: float) -> list[GreetingAction]:
        response = self._response
        self._forget_response()
        if share >= HEARD_ENOUGH:
            self._partial = True
            return self._finish()
        if self.attempts > self.settings.retries or not self.settings.requests:
            return self._give_up(reason, response)
        self.attempts += 1
        self.step, self._deadline = Step.ASKED, t + SILENT_S
        return [Restart(), Abandon(response), RequestGreeting(self.settings.text)]

    def _forget_response(self) -> None:
        if self._response is not None:
            self._over.add(self._response)
        self._response, self._audio, self._cancelled = None, False, ""

    def _finish(self) -> list[GreetingAction]:
        """All that there will be is here: the rest of it is heard."""
        self.step, self._deadline = Step.PLAYING, None
        return [FinishGreeting()]

    def _give_up(self, reason: str, response: str | None = None) -> list[GreetingAction]:
        self._reason, self._deadline = reason, None
        if self.settings.has_fallback:
            self.step = Step.FALLBACK
            return [Restart(), Abandon(response), SpeakFallback(self.settings.text)]
        self.step = Step.FAILED
        return [FinishGreeting()]

    def _leave(self, report: Report, after: list[GreetingAction] | None = None) -> list[GreetingAction]:
        """The one way out: the caller's audio flows, behind the restored turn detection (RT-12)."""
        self.step = Step.OVER
        restored: list[GreetingAction] = [Restore()] if self._guard.sent else []
        way: list[GreetingAction] = [*(after or ()), *restored, Release()]
        if self._connected:
            return [report, *way]
        self._owed = way
        return [report]
