"""Carries out what the machine of the first message decides, and tells it what happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from patter.call.actions import StartReply
from patter.call.first_message import FirstMessage, FirstMessageSettings
from patter.call.first_message_actions import (
    Abandon,
    AddToHistory,
    CancelGreeting,
    FinishGreeting,
    GreetingAction,
    Guard,
    Release,
    Report,
    RequestGreeting,
    Restart,
    Restore,
    SpeakFallback,
)
from patter.call.heard import heard_text
from patter.call.realtime_responses import Request
from patter.providers.llm import Message

if TYPE_CHECKING:
    from patter.call.realtime_machine import RealtimeMachine
    from patter.call.realtime_orders import EngineOrders
    from patter.call.realtime_responses import Response
    from patter.call.types import TurnReport
    from patter.providers.realtime import RealtimeEvent, SettingsEcho


class GreetingCall(Protocol):
    """What the greeting needs of the call."""

    machine: RealtimeMachine
    orders: EngineOrders

    @property
    def emit(self) -> Callable[[str, Any], None]:
        """Tell the call's observers."""

    def now(self) -> float:
        """The call's clock, in s."""

    def begin_again(self) -> None:
        """Empty playout and carrier; the agent turn starts anew."""

    def finish_turn(self, turn: int) -> None:
        """The agent turn has all its audio."""

    def speak(self, action: StartReply) -> None:
        """Say a text with the fallback voice."""


class Greeting:
    """The first message of one call with an engine.

    Attributes:
        text: what is to be said.
        turn: its agent turn; None before it was begun.
    """

    def __init__(self, call: GreetingCall, settings: FirstMessageSettings) -> None:
        self._call = call
        self._machine = FirstMessage(settings)
        self.text = settings.text
        self._connected = False
        self._unreachable = False
        self._is_remembered = False
        self.turn: int | None = None

    @property
    def protects(self) -> bool:
        """Whether the caller's audio is withheld."""
        return self._machine.protects

    @property
    def is_made(self) -> bool:
        """Whether the engine is about to greet, or does."""
        return self._machine.is_made

    def remembered(self, history: Sequence[Message]) -> Sequence[Message]:
        """What the next session is told was said: also the greeting that is being heard, which it must not begin again."""
        if self._machine.is_playing and all(one.role != "assistant" for one in history):
            history = (Message("assistant", self.text), *history)
        self._is_remembered = any(one.role == "assistant" for one in history)
        return history

    def deadline(self) -> float | None:
        """When `time_passed` may have something new."""
        return self._machine.deadline()

    def start(self, turn: int) -> None:
        """The call begins with that agent turn."""
        self.turn = turn
        if self._connected:
            self._do(self._machine.connected(self._call.now()))
        elif self._unreachable:
            self._do(self._machine.unreachable(self._call.now()))

    def connected(self) -> None:
        """The engine's session is open."""
        self._connected = True
        if self.turn is not None:
            self._do(self._machine.connected(self._call.now()))

    def lost(self) -> None:
        """The session is gone."""
        self._connected = False
        self._do(self._machine.dropped(self._share(), self._call.now()))

    def unreachable(self) -> None:
        """No session can be had."""
        self._unreachable = True
        if self.turn is not None:
            self._do(self._machine.unreachable(self._call.now()))

    def echo(self, echo: SettingsEcho) -> None:
        """The engine says what its settings are."""
        self._do(self._machine.echo(echo.guarded, echo.values, self._call.now()))

    def refused(self, event: RealtimeEvent) -> None:
        """The engine answered guard or request with an error."""
        t = self._call.now()
        if event.request == "guard":
            self._do(self._machine.guard_refused(event.detail, event.parameter, t))
        else:
            self._do(self._machine.request_refused(event.detail, self._share(), t))

    def started(self, response: Response) -> None:
        """A response of the greeting begins."""
        self._do(self._machine.response_started(response.response_id, self._call.now()))

    def audio(self, response: Response) -> None:
        """Audio of the greeting."""
        self._machine.audio(response.response_id, self._call.now())

    def cancelled(self, response: Response, by: str) -> None:
        """The engine cancelled the greeting."""
        self._do(self._machine.cancelled(response.response_id, by, self._call.now()))

    def done(self, response: Response, event: RealtimeEvent) -> None:
        """A response of the greeting is over."""
        status = event.status or "completed"
        share, t = self._share(), self._call.now()
        self._do(self._machine.response_done(response.response_id, status, event.detail, share, t))

    def turn_over(self, report: TurnReport) -> None:
        """The greeting's agent turn has come to its end."""
        share = self._share_of(report.heard_text)
        t = self._call.now()
        self._do(self._machine.turn_over(share, report.heard_ms, t, interrupted=report.interrupted))

    def time_passed(self) -> None:
        """Look at the clock."""
        t = self._call.now()
        self._do(self._machine.time_passed(t))
        self._do(self._machine.overdue(self._share(), t))

    def _share(self) -> float:
        """How much of the text was heard, from 0 to 1 (TN-08)."""
        machine = self._call.machine
        if machine.reply is None or machine.reply.reply != self.turn:
            return 0.0
        playout = machine.playout
        return self._share_of(
            heard_text(playout.sentences, playout.heard(self._call.now()), playout.format.rate)
        )

    def _share_of(self, heard: str) -> float:
        return min(1.0, len(heard) / max(1, len(self.text.strip())))

    # -- carrying out

    def _do(self, actions: Sequence[GreetingAction]) -> None:
        for action in actions:
            self._carry_out(action)

    def _carry_out(self, action: GreetingAction) -> None:
        """One action; `Reconnect` is not among them, for whoever receives makes a session anew in any case."""
        call, orders, turn = self._call, self._call.orders, self.turn
        assert turn is not None
        match action:
            case Guard():
                orders.guard()
            case RequestGreeting(text=text):
                orders.request(Request(turn, text, greeting=True))
            case Restart():
                call.begin_again()
            case Abandon(response_id=response_id):
                orders.abandon(response_id)
            case CancelGreeting(response_id=response_id):
                orders.cancel_response(response_id)
            case FinishGreeting():
                call.finish_turn(turn)
            case SpeakFallback(text=text):
                call.speak(StartReply(turn, "greeting", text))
            case AddToHistory(text=text):
                self._remember(text)
            case Restore():
                orders.restore()
            case Release():
                orders.release_audio()
            case Report(event=event, data=data):
                call.emit(event, data)

    def _remember(self, text: str) -> None:
        if not self._is_remembered:
            self._call.orders.remember(text)
