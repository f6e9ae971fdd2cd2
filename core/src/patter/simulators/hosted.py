"""A simulated agent that is hosted whole at its vendor's: when it hears, is interrupted, calls tools and speaks.

How all that looks on the wire is the vendor's own.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Self, TypeVar

from patter.audio.formats import AudioFormat
from patter.simulators.connection import SimulatedConnection
from patter.simulators.tones import SPEECH_MS, Ear, utterance

#: silence that ends the caller's turn, in s
TURN_END_S: Final = 0.4
#: what is heard and said, again and again, by a model that knows no words: more turns than anybody has patience for
SMALL_TALK: Final = tuple(
    (
        f"(speech {number})",
        f"I heard (speech {number}). I am a simulator: I speak in tones and know no words.",
    )
    for number in range(1, 101)
)


@dataclass(frozen=True, slots=True)
class SimulatedTool:
    """A client tool that the agent calls before it replies; without a result within `timeout_s` it replies anyway."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float = 20.0


@dataclass(frozen=True, slots=True)
class SimulatedTurn:
    """What the recogniser makes of the caller's turn, and what comes of it; with `ends_call` the agent then hangs up."""

    heard: str = "Hello?"
    reply: str = "I am fine, thank you. How can I help you today?"
    tool: SimulatedTool | None = None
    ends_call: bool = False


@dataclass(frozen=True, slots=True)
class HostedFaults:
    """How any vendor's servers depart from what is good for a call.

    Attributes:
        times: so many conversations go like that, all by default; in those after them nothing goes wrong.
        silent: no audio at all.
        malformed: broken messages between the good ones.
        drop: where the connection is lost: "greeting", "after_greeting" or "reply".
        drop_code: the close code of that; None for no close at all.
        drop_after_s: how long after a greeting was heard a connection is lost that is lost after it, in s.
        cancel_greeting_s: the greeting is interrupted by the server itself after that time, in s.
        late_transcript: the caller's words come after the reply's first audio.
        stall_s: a pause in the middle of each utterance's audio, in s.
        no_close: a close is never answered.
    """

    times: int | None = None
    silent: bool = False
    malformed: bool = False
    drop: str | None = None
    drop_code: int | None = 1011
    drop_after_s: float = 0.0
    cancel_greeting_s: float | None = None
    late_transcript: bool = False
    stall_s: float = 0.0
    no_close: bool = False

    def after(self, conversations: int) -> Self:
        """What goes wrong in a conversation before which there were so many others."""
        return self if self.times is None or conversations < self.times else type(self)()


Faults = TypeVar("Faults", bound=HostedFaults)


class HostedConversation(SimulatedConnection, ABC, Generic[Faults]):
    """What a client sent and was sent.

    Attributes:
        voice: gives each text the number of the pitch that it is spoken at; one after the other by default.
        received: the client's messages, audio aside, in order.
        audio: the caller's audio.
        spoken: the texts that were begun to be spoken.
        results: of client tools: the result, or None after the time-out.
    """

    def __init__(
        self,
        turns: tuple[SimulatedTurn, ...],
        faults: Faults,
        takes: AudioFormat,
        gives: AudioFormat,
    ) -> None:
        super().__init__()
        self.voice: Callable[[str], int] | None = None
        self.received: list[dict[str, Any]] = []
        self.audio = bytearray()
        self.spoken: list[str] = []
        self.results: list[str | None] = []
        self._turns = turns
        self._faults = faults
        self._takes = takes
        self._gives = gives
        self._ear = Ear()
        self._turn = 0
        self._playing_until = 0.0
        self._interruptible = True
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}

    # -- what is the vendor's own

    @abstractmethod
    async def _say(self, text: str, *, drop: bool = False) -> None:
        """The text and its audio; with `drop` the connection is lost in the middle of it."""

    @abstractmethod
    async def _reply(self, turn: SimulatedTurn, heard: str | None) -> None:
        """Answer the caller; `heard` is what is told of their words, None for what they did not say aloud."""

    @abstractmethod
    async def _interrupted(self) -> None:
        """Tell that the agent was."""

    # -- the caller

    def _hear(self, chunk: bytes) -> bool:
        """Whether that was sound."""
        self.audio += chunk
        if not self._ear.hear(chunk, self._takes):
            return False
        if self._ear.loud_ms >= SPEECH_MS and (self._interruptible or not self._is_playing):
            if self._is_playing:
                self._interrupt()
            self._turn_ends_in(TURN_END_S)
        return True

    def _turn_ended(self) -> None:
        super()._turn_ended()
        if not self._is_playing:  # else it was spoken over what may not be interrupted
            turn = self._next_turn()
            self._speaking(self._reply(turn, turn.heard))

    def _next_turn(self) -> SimulatedTurn:
        """One after the other; the last one stays."""
        turn = self._turns[min(self._turn, len(self._turns) - 1)]
        self._turn += 1
        return turn

    @property
    def _is_playing(self) -> bool:
        return self._now() < self._playing_until

    def _interrupt(self) -> None:
        if self._speech is None or not self._is_playing:
            return
        self._speech.cancel()
        self._playing_until = self._now()
        self._interruptible = True
        self._task(self._interrupted())

    # -- the agent

    async def _greet(self, text: str) -> None:
        faults = self._faults
        if faults.cancel_greeting_s is not None:
            asyncio.get_running_loop().call_later(faults.cancel_greeting_s, self._interrupt)
        await self._say(text, drop=faults.drop == "greeting")
        if faults.drop == "after_greeting":
            self._task(self._drop_later())

    async def _drop_later(self) -> None:
        """Whatever is said meanwhile."""
        await asyncio.sleep(self._faults.drop_after_s)
        await self.drop(self._faults.drop_code)

    def _spoken_audio(self, text: str) -> bytes:
        """The text's audio; it is one that was begun to be spoken now."""
        number = len(self.spoken) if self.voice is None else self.voice(text)
        self.spoken.append(text)
        return utterance(number, text, self._gives)

    # -- tools

    def _new_call(self, kind: str) -> str:
        """The id of a call that waits for its result from now on; begins with `kind`."""
        call_id = f"{kind}{len(self.results) + len(self._waiting) + 1}"
        self._waiting[call_id] = asyncio.get_running_loop().create_future()
        return call_id

    def _answered(self, call_id: Any, message: Mapping[str, Any]) -> None:
        waiting = self._waiting.get(call_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def _result(self, call_id: str, tool: SimulatedTool) -> Mapping[str, Any]:
        """The message that answers the call; an empty one if none did in time."""
        message: Mapping[str, Any] = {}
        try:
            async with asyncio.timeout(tool.timeout_s):
                message = await self._waiting[call_id]
        except TimeoutError:
            pass
        del self._waiting[call_id]
        self.results.append(str(message.get("result")) if message else None)
        return message
