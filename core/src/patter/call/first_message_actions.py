"""What the machine of the first message asks its shell to do, and what it tells observers. Pure data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class GreetingReport:
    """How the first message of an engine ended.

    Attributes:
        attempts: how often it was begun.
        played_ms: how much of it the caller has heard, in ms.
        partial: whether it counts as delivered although only 80 % or more of its text was heard (RT-09).
        reason: why it failed; "" when it did not.
    """

    attempts: int
    played_ms: float = 0.0
    partial: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProtectionReport:
    """An engine that did not take the guard of its greeting (RT-05): what it says its turn detection is, or its error."""

    values: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    parameter: str = ""


@dataclass(frozen=True, slots=True)
class Guard:
    """Tell the engine neither to create nor to cancel responses by itself."""


@dataclass(frozen=True, slots=True)
class RequestGreeting:
    """Ask the engine to say this text."""

    text: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Empty playout and carrier; nothing of the greeting counts as said."""


@dataclass(frozen=True, slots=True)
class Abandon:
    """Take what an attempt said out of the engine's history."""

    response_id: str | None


@dataclass(frozen=True, slots=True)
class CancelGreeting:
    """Stop a response that nothing more comes of."""

    response_id: str | None


@dataclass(frozen=True, slots=True)
class FinishGreeting:
    """No more of the greeting comes: its turn ends once what there is of it was heard."""


@dataclass(frozen=True, slots=True)
class SpeakFallback:
    """Say this text with the fallback voice."""

    text: str


@dataclass(frozen=True, slots=True)
class AddToHistory:
    """The engine learns that the agent said this."""

    text: str


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Make one new connection."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Give the engine back its configured turn detection."""


@dataclass(frozen=True, slots=True)
class Release:
    """Hand the engine what the caller said meanwhile, and from now on what the caller says."""


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the call's observers."""

    event: Literal["protection_not_applied", "greeting_delivered", "greeting_fallback", "greeting_failed"]
    data: GreetingReport | ProtectionReport


GreetingAction = (
    Guard
    | RequestGreeting
    | Restart
    | Abandon
    | CancelGreeting
    | FinishGreeting
    | SpeakFallback
    | AddToHistory
    | Reconnect
    | Restore
    | Release
    | Report
)
