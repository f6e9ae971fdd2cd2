"""Drives the pure machines of a call without an event loop: a test says what happens when, and reads what came of it.

The carrier is ideal: it accepts at once what is sent, plays it in real time and echoes marks `echo_ms` after they were
played (None: never). Replies are made of fixed text after `llm_s`, each sentence `sentence_s` long.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from patter.audio.formats import AudioFormat, Encoding
from patter.call.actions import Action, CancelReply, Emit, EndCall, Finalize, SendClear, StartReply
from patter.call.barge_in import BargeIn, BargeInSettings
from patter.call.conversation import Conversation
from patter.call.machine import SessionMachine
from patter.call.playout import Chunk, Playout
from patter.call.session_state import SessionSettings
from patter.providers.stt import Final

if TYPE_CHECKING:
    from patter.providers.barge_in import BargeInStrategy

GRID_S = 0.01


@dataclass(slots=True)
class Replies:
    """How the driver's agent answers."""

    sentences: Sequence[str] = (
        "This is the first sentence of the answer.",
        "And here is the second one of it.",
    )
    llm_s: float = 0.1
    sentence_s: float = 2.0


@dataclass(slots=True)
class Log:
    """What came of it; each list holds (time, what)."""

    sent: list[tuple[float, Chunk]] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    finalizes: list[float] = field(default_factory=list)
    started: list[tuple[float, StartReply]] = field(default_factory=list)
    cancelled: list[tuple[float, int]] = field(default_factory=list)
    events: list[tuple[float, Emit]] = field(default_factory=list)
    ended: list[tuple[float, EndCall]] = field(default_factory=list)

    def sent_ms(self, reply: int | None = None) -> float:
        """Audio sent, at 8 bytes a ms, of one agent turn or of all."""
        return sum(len(chunk.payload) for _, chunk in self.sent if reply in (None, chunk.turn)) / 8

    def named(self, event: str) -> list[tuple[float, object]]:
        """The data of the events of one name, with their times."""
        return [(t, emit.data) for t, emit in self.events if emit.event == event]


class MachineDriver:
    """One call of the machines, on a clock that the test moves."""

    def __init__(
        self,
        settings: SessionSettings | None = None,
        *,
        barge_in: BargeInSettings | None = None,
        strategies: Sequence[BargeInStrategy] = (),
        replies: Replies | None = None,
        echo_ms: float | None = 100.0,
    ) -> None:
        self.machine = SessionMachine(
            settings or SessionSettings(),
            Playout(AudioFormat(Encoding.MULAW, 8000)),
            BargeIn(barge_in or BargeInSettings(), strategies),
            Conversation("You are a test."),
        )
        self.t = 0.0
        self.log = Log()
        self.replies = replies or Replies()
        self.socket_open = True
        self._echo_s = None if echo_ms is None else echo_ms / 1000
        self._schedule: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._playing_until = 0.0
        self._cancelled: set[int] = set()

    # -- the script

    def at(self, t: float, event: Callable[[], None]) -> None:
        """Do something at a time; events of one time keep the order in which they were given."""
        heapq.heappush(self._schedule, (t, next(self._order), event))

    def begin(self) -> None:
        """The media starts at the present time."""
        self.apply(self.machine.started(self.t))

    def speech(self, start: float, end: float) -> None:
        """VAD edges."""
        self.at(start, lambda: self.apply(self.machine.speech_started(self.t)))
        self.at(end, lambda: self.apply(self.machine.speech_ended(self.t)))

    def interim(self, t: float, text: str) -> None:
        """A partial transcript."""
        self.at(t, lambda: self.apply(self.machine.interim(text, self.t)))

    def final(self, t: float, text: str) -> None:
        """A closed utterance."""
        self.at(t, lambda: self.apply(self.machine.final(Final(text), self.t)))

    def run(self, until: float) -> None:
        """Let time pass, on the 10 ms grid and at each event."""
        while self.t < until:
            grid = round((int(self.t / GRID_S + 1e-9) + 1) * GRID_S, 6)
            due = self._schedule[0][0] if self._schedule else until
            self.t = min(grid, max(due, self.t), until)
            while self._schedule and self._schedule[0][0] <= self.t:
                heapq.heappop(self._schedule)[2]()
            self.step()

    # -- the shell's part

    def step(self) -> None:
        """What the pacer does."""
        if self.socket_open:
            for chunk in self.machine.playout.step(self.t):
                self._send(chunk)
        self.apply(self.machine.time_passed(self.t))

    def _send(self, chunk: Chunk) -> None:
        self.log.sent.append((self.t, chunk))
        self._playing_until = max(self._playing_until, self.t) + len(chunk.payload) / 8000
        if self._echo_s is not None:
            for name in chunk.marks:
                self.at(self._playing_until + self._echo_s, lambda name=name: self._echo(name))  # type: ignore[misc]
        self.apply(self.machine.audio_sent(chunk, self.t))

    def _echo(self, name: str) -> None:
        self.machine.playout.mark_reached(name, self.t)

    def apply(self, actions: Sequence[Action]) -> None:
        """Carry out what the machine asks for."""
        for action in actions:
            match action:
                case StartReply():
                    self.log.started.append((self.t, action))
                    self.at(
                        self.t + (0.0 if action.user_turn is None else self.replies.llm_s),
                        self._maker(action),
                    )
                case CancelReply(reply=reply):
                    self.log.cancelled.append((self.t, reply))
                    self._cancelled.add(reply)
                case SendClear():
                    self.log.clears.append(self.t)
                    self._playing_until = self.t
                case Finalize():
                    self.log.finalizes.append(self.t)
                case Emit():
                    self.log.events.append((self.t, action))
                case EndCall():
                    self.log.ended.append((self.t, action))

    def _maker(self, start: StartReply) -> Callable[[], None]:
        def make() -> None:
            if start.reply in self._cancelled:
                return
            for text in [start.text] if start.user_turn is None else self.replies.sentences:
                self.machine.playout.open_sentence(start.reply, text)
                self.machine.playout.add(start.reply, b"\x55" * int(self.replies.sentence_s * 8000))
                self.machine.playout.close_sentence(start.reply)
            self.apply(self.machine.reply_made(start.reply, self.t))

        return make

    # -- reading

    @property
    def roles(self) -> list[tuple[str, str]]:
        """The history as (role, text)."""
        return [(message.role, message.content) for message in self.machine.conversation.history]
