"""What the session machine asks its shell to do. Pure data.

Not frozen, for a frozen object takes twice as long to make, and every event of a call makes some; nobody changes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from patter.call.types import EosTrigger
    from patter.providers.carrier import CallStatus

ReplyKind = Literal["greeting", "reply", "announcement", "idle_prompt", "keys"]


@dataclass(slots=True)
class StartReply:
    """Make and speak agent turn `reply`: an answer to user turn `user_turn`, or a fixed `text`."""

    reply: int
    kind: ReplyKind
    text: str
    user_turn: int | None = None
    trigger: EosTrigger | None = None


@dataclass(slots=True)
class CancelReply:
    """Stop making agent turn `reply`: close its LLM and TTS streams."""

    reply: int


@dataclass(slots=True)
class SendClear:
    """Empty the carrier's playout buffer and forget what waits to be sent."""


@dataclass(slots=True)
class Finalize:
    """Ask the STT to close the open utterance."""


@dataclass(slots=True)
class ReconnectSTT:
    """The STT is connected but silent: make it anew."""


@dataclass(slots=True)
class STTSilent:
    """The STT stayed silent after a reconnect: a failure for `patter_call_error` to decide."""


@dataclass(slots=True)
class WantInterims:
    """Whether partial transcripts are of use now."""

    wanted: bool


@dataclass(slots=True)
class EndCall:
    """End the call with that outcome; `by_carrier` when the carrier or the caller ended it."""

    status: CallStatus
    reason: str
    by_carrier: bool = False


@dataclass(slots=True)
class Emit:
    """Tell the call's observers; `data` is one of the objects of `patter.call.types` or plain values."""

    event: str
    data: Any = None


Action = (
    StartReply | CancelReply | SendClear | Finalize | ReconnectSTT | STTSilent | WantInterims | EndCall | Emit
)
