"""The call as hooks, tools and applications see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from patter.call.events import EventStream
from patter.call.types import ConversationState
from patter.plugins import Scope

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.types import AgentState, TranscriptEntry
    from patter.providers.llm import Message


class CallControl(Protocol):
    """What acts on a call while its media is up; given to the call by its session."""

    def say(self, text: str) -> None:
        """Speak a fixed text."""

    def interrupt(self) -> None:
        """Stop the agent."""

    def commit_turn(self) -> None:
        """End the caller's turn by hand."""

    def end_after_speech(self, reason: str) -> None:
        """Hang up once the agent has been heard."""

    def conversation_state(self) -> ConversationState:
        """Who is doing what."""

    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """What was said so far."""

    def history(self) -> tuple[Message, ...]:
        """What the model knows so far."""


class CarrierLeg(Protocol):
    """The carrier's side of one call."""

    async def hangup(self) -> None:
        """End it at the carrier; harmless when it has ended."""

    async def transfer(self, number: str) -> None:
        """Connect the caller to another number."""

    async def send_dtmf(self, digits: str, delay_ms: int) -> bool:
        """Press keys; False where the carrier cannot."""


class Call:
    """One phone call, from the moment it is announced or dialled to its record.

    `register()` adds a plugin whose A hooks act in this call alone.
    """

    def __init__(
        self,
        call_id: str,
        *,
        direction: Literal["inbound", "outbound"],
        carrier: str,
        caller: str,
        callee: str,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self.id = call_id
        self.direction = direction
        self.telephony_provider = carrier
        self.caller = caller
        self.callee = callee
        self.parameters: dict[str, str] = dict(parameters or {})
        self.carrier_call_id = ""
        self.agent: Agent | None = None
        self.events = EventStream()
        self.scope = Scope()
        self.is_transferred = False
        self.is_hung_up = False
        self.ended = False
        self._control: CallControl | None = None
        self._leg: CarrierLeg | None = None
        self._last_transcript: tuple[TranscriptEntry, ...] = ()
        self._last_history: tuple[Message, ...] = ()

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.direction} over {self.telephony_provider}>"

    # -- for the engine

    def attach_leg(self, leg: CarrierLeg) -> None:
        """The carrier knows the call."""
        self._leg = leg

    def attach(self, control: CallControl | None) -> None:
        """The media is up, or down again with None."""
        if control is None and self._control is not None:
            self._last_transcript = self._control.transcript()
            self._last_history = self._control.history()
        self._control = control

    # -- plugins and observers

    def register(self, plugin: Any) -> Any:
        """Add a plugin whose A hooks act in this call; returns it. Raises `PluginValidationError`."""
        return self.scope.register(plugin)

    @contextmanager
    def plugin(self, plugin: Any) -> Iterator[Any]:
        """A plugin for the length of a ``with`` block."""
        with self.scope.plugin(plugin):
            yield plugin

    def on(self, event: str, callback: Callable[[Any], Any]) -> Callable[[], None]:
        """Subscribe to an event of this call; returns a function that unsubscribes."""
        return self.events.on(event, callback)

    # -- what was said

    @property
    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """What was said so far, as heard."""
        return self._control.transcript() if self._control else self._last_transcript

    @property
    def history(self) -> tuple[Message, ...]:
        """What the model knows so far, without the system prompt."""
        return self._control.history() if self._control else self._last_history

    @property
    def conversation_state(self) -> ConversationState:
        """What caller and agent are doing now; to be read at any time of the call (TN-10)."""
        if self._control is None:
            return ConversationState("listening", "idle" if self.ended else "initializing")
        return self._control.conversation_state()

    @property
    def agent_state(self) -> AgentState:
        """What the agent is doing; "initializing" before the media is up, "idle" after it."""
        return self.conversation_state.agent

    # -- acting on it

    def say(self, text: str) -> None:
        """Speak a fixed text as an agent turn of its own; ignored when the media is down."""
        if self._control is not None:
            self._control.say(text)

    def interrupt(self) -> None:
        """Stop what the agent is saying, as if the caller had interrupted."""
        if self._control is not None:
            self._control.interrupt()

    def commit_turn(self) -> None:
        """Answer what the caller has said so far (`turn_end="manual"`)."""
        if self._control is not None:
            self._control.commit_turn()

    def end(self, reason: str = "the application ended the call") -> None:
        """Hang up once what the agent has begun to say is heard, at the latest in 10 s."""
        if self._control is not None:
            self._control.end_after_speech(reason)

    async def hangup(self) -> None:
        """End the call at the carrier now. Acting on a call that has ended counts as success (CC-08)."""
        self.is_hung_up = bool(self.carrier_call_id)  # the carrier does not know a call that is being dialled
        if self._leg is not None and not self.ended:
            await self._leg.hangup()

    async def transfer(self, number: str) -> None:
        """Hand the caller over to another number; the media ends. Raises `InputError`, `ProviderError`."""
        if self._leg is not None and not self.ended:
            await self._leg.transfer(number)
            self.is_transferred = True

    async def send_dtmf(self, digits: str, delay_ms: int = 300) -> bool:
        """Press keys towards the caller, `w` and `W` being pauses; False where the carrier cannot (CC-09).

        Raises `InputError` for other characters, before anything is sent.
        """
        from patter.errors import InputError

        if not digits or set(digits.upper()) - set("0123456789*#ABCDW"):
            raise InputError(f"send_dtmf: {digits!r} has characters other than 0-9 * # A-D w W")
        if self._leg is None or self.ended:
            return True
        return await self._leg.send_dtmf(digits, delay_ms)
