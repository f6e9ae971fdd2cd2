"""The call as hooks, tools and applications see it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from patter.audio.dtmf import check_keys
from patter.call.events import EventStream
from patter.call.transfer_policy import TransferPolicy
from patter.call.types import ConversationState
from patter.errors import InputError
from patter.metrics.cost_meter import CallMeter
from patter.plugins import Scope

if TYPE_CHECKING:
    from patter.agent import Agent
    from patter.call.types import AgentState, TranscriptEntry
    from patter.providers.carrier import MachineDetection
    from patter.providers.llm import Message


logger = logging.getLogger(__name__)

#: what a caller hears whom nobody takes in a warm transfer
NOBODY_ANSWERED = "Sorry, nobody can take your call right now. Goodbye."
#: the longest text that is spoken in a transfer, in characters
LONGEST_MESSAGE = 1000


class MediaControl(Protocol):
    """What acts on a call while its media is up; given to the call by its session."""

    def say(self, text: str) -> None:
        """Speak a fixed text."""

    def interrupt(self) -> None:
        """Stop the agent."""

    def commit_turn(self) -> None:
        """End the caller's turn by hand."""

    def press_keys(self, digits: str, delay_ms: int) -> None:
        """Play the tones of keys."""

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

    @property
    def sip(self) -> bool:
        """Whether it reaches SIP addresses."""

    async def transfer(self, number: str, summary: str, failure_message: str) -> bool:
        """Connect the caller to another number; False when the carrier cannot, or the caller is gone."""

    async def send_dtmf(self, digits: str, delay_ms: int) -> bool:
        """Have the carrier press keys; False where it cannot."""


class Call:
    """One phone call, from the moment it is announced or dialled to its record.

    `register()` adds a plugin whose A hooks act in this call alone.

    Attributes:
        is_transferred: the caller was handed over to another number, or is about to be.
        is_hung_up: this side hung up, or is about to.
        ended: the call is over.
        machine_detection: who answered a dialled call; None until the carrier has said so.
        meter: counts what providers are paid for.
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
        self.meter = CallMeter(self.events.emit)
        self.events.on("realtime_usage", self.meter.response)
        self.scope = Scope()
        self.is_transferred = False
        self.is_hung_up = False
        self.ended = False
        self.machine_detection: MachineDetection | None = None
        self._control: MediaControl | None = None
        self._leg: CarrierLeg | None = None
        self._last_transcript: tuple[TranscriptEntry, ...] = ()
        self._last_history: tuple[Message, ...] = ()

    def __repr__(self) -> str:
        return f"<Call {self.id} {self.direction} over {self.telephony_provider}>"

    @property
    def call_id(self) -> str:
        """Patter's own id of the call; the same as `id`."""
        return self.id

    # -- for the engine

    def attach_leg(self, leg: CarrierLeg) -> None:
        """The carrier knows the call."""
        self._leg = leg

    def attach(self, control: MediaControl | None) -> None:
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
        """End the call at the carrier now. Acting on a call that has ended counts as success (CC-08).

        Raises `ProviderError` when the carrier does not do it.
        """
        if self._leg is None or self.ended:
            return
        self.is_hung_up = bool(self.carrier_call_id)  # the carrier does not know a call that is being dialled
        try:
            await self._leg.hangup()
        except Exception:
            self.is_hung_up = False
            raise

    async def transfer(
        self, number: str, *, summary: str = "", failure_message: str = NOBODY_ANSWERED
    ) -> None:
        """Hand the caller over to another number; the media ends.

        With a `summary` the transfer is a warm one: whoever answers hears it before the two are connected, and a caller
        whom nobody takes hears `failure_message` before the hang-up. A carrier without warm transfers hands the caller
        over without it, which is logged.

        Where the carrier cannot transfer, that is logged and nothing happens (CC-08). Raises `InputError` for a number
        that is none, that the agent's `transfer_allowed_numbers` and `transfer_allowed_prefixes` do not allow (CC-10),
        or a summary or message of over 1000 characters, and `ProviderError` when the carrier does not do it.
        """
        for name, text in (("summary", summary), ("failure_message", failure_message)):
            if len(text) > LONGEST_MESSAGE:
                raise InputError(f"transfer: {name} has {len(text)} characters; {LONGEST_MESSAGE} at most")
        if self._leg is None or self.ended:
            return
        number = self.transfer_policy().check(number)
        # Before the carrier is asked: the stream may stop before the answer is here (CC-12).
        self.is_transferred = True
        try:
            self.is_transferred = await self._leg.transfer(number, summary.strip(), failure_message)
        except Exception:
            self.is_transferred = False
            raise

    def transfer_policy(self) -> TransferPolicy:
        """Where this call may be transferred to. Raises `ConfigError` for lists that are none."""
        agent, sip = self.agent, self._leg is not None and self._leg.sip
        if agent is None:
            return TransferPolicy(sip=sip)
        return TransferPolicy(agent.transfer_allowed_numbers, agent.transfer_allowed_prefixes, sip=sip)

    async def send_dtmf(self, digits: str, delay_ms: int = 300) -> bool:
        """Press keys towards the other end, `w` and `W` being pauses of half a second and of a second (CC-09).

        Where the carrier does not press keys itself, their tones are played into the call once the agent's turn is
        over, and nobody can interrupt them. `delay_ms` is the pause between two keys. Returns False, and logs, when
        there is no media to play them into. Raises `InputError` for other characters, more than 100 keys or a delay
        past 5 s, before anything is sent, and `ProviderError` when the carrier does not do it.
        """
        check_keys(digits, delay_ms)
        if self._leg is None or self.ended or await self._leg.send_dtmf(digits, delay_ms):
            return True
        if self._control is None:
            logger.warning("call %s cannot press keys: its media is not up", self.id)
            return False
        self._control.press_keys(digits, delay_ms)
        return True
