"""What deciding hooks return: an answer to an incoming call, or to a provider's failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.records import ProviderKind


@dataclass(frozen=True, slots=True)
class Accept:
    """Take the call, with another agent than the default one if given."""

    agent: Agent | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the call. The caller hears `message` (None: the phone's `unavailable_message`)."""

    reason: str = ""
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Make the failed provider anew and go on."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Replace the failed provider by another one for the rest of the call."""

    kind: ProviderKind
    reference: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""

    reason: str = ""
