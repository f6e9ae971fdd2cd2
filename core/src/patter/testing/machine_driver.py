"""Drives the pure machines of a call without an event loop: a test says what happens when, and reads what came of it.

Nothing happens between two events, so time jumps from one to the next: to what the script holds, and to the ticks of
the pacer's 10 ms grid at which the machines say that they are due. The carrier is ideal: it accepts at once what is
sent, plays it in real time and echoes marks `echo_ms` after they were played (None: never). Replies are made of fixed
text after `llm_s`, each sentence `sentence_s` long.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import TYPE_CHECKING, Any

from patter.audio.formats import AudioFormat, Encoding
from patter.call.actions import (
    Action,
    CancelReply,
    Emit,
    EndCall,
    Finalize,
    ReconnectSTT,
    SendClear,
    StartReply,
    STTSilent,
    WantInterims,
)
from patter.call.barge_in import BargeIn, BargeInSettings
from patter.call.conversation import Conversation
from patter.call.machine import SessionMachine
from patter.call.playout import Chunk, Playout
from patter.call.session_state import SessionSettings
from patter.providers.stt import Final

if TYPE_CHECKING:
    from patter.providers.barge_in import BargeInStrategy

MULAW_8K = AudioFormat(Encoding.MULAW, 8000)
#: ticks of the pacer's grid in a second
TICKS = 100.0
#: what is due so little after a tick, in s, is due on it: no more than what sums of floats may be off
EARLY_S = 1e-8
#: no call lasts so long, in s
LAST_S = 1e9


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


def _never(_: Any) -> None:
    """What is scheduled for the end of time."""


class MachineClock:
    """The machines of one call and the time they live in; a subclass says what their actions do.

    Events of one moment happen in the order in which they were given, and before the pacer's tick of that moment.

    Attributes:
        t: the time, in s.
        schedule: what is to happen, in order, as (time, place in that moment, event, argument).
        frozen_until: the pacer looks at nothing before that.
        socket_open: whether the carrier's socket takes data.
        cause: what the machine is being told.
    """

    def __init__(
        self, settings: SessionSettings, barge_in: BargeInSettings, strategies: Sequence[BargeInStrategy] = ()
    ) -> None:
        self.machine = SessionMachine(
            settings, Playout(MULAW_8K), BargeIn(barge_in, strategies), Conversation("You are a test.")
        )
        self.t = 0.0
        self.schedule: list[tuple[float, int, Callable[[Any], None], Any]] = [(inf, 0, _never, None)]
        self._order = 0
        self._ticked = 0.0
        self.frozen_until = 0.0
        self.socket_open = True
        self.cause = ""

    def put(self, t: float, event: Callable[[Any], None], argument: Any = None) -> None:
        """Do something at a time, at once if that is over."""
        self._order = order = self._order + 1
        insort(self.schedule, (t if t > self.t else self.t, order, event, argument))

    def run(self, until: float) -> None:
        """Let time pass up to and with `until`, or to the end of the call."""
        until = min(until, LAST_S)
        self.before(nextafter(until, inf))
        if until > self.t:
            self.t = until

    def before(self, moment: float) -> None:
        """Let time pass up to a moment: all happens that precedes it."""
        schedule, machine = self.schedule, self.machine
        playout = machine.playout
        while True:
            at, t = schedule[0][0], self.t
            if at > moment:
                at = moment
            if at > t:
                due = deadline = machine.deadline(t)
                if playout.turn is not None:
                    audio = playout.due_at(t)
                    if audio < due:
                        due = audio
                if due < at + EARLY_S:
                    if due < self.frozen_until:  # a frozen process finds out later
                        due = self.frozen_until
                    tick = -(-((due if due > t else t) - EARLY_S) * TICKS // 1.0)  # the float above
                    if tick <= self._ticked:
                        tick = self._ticked + 1.0
                    t = tick / TICKS
                    if t < at:
                        self.t, self._ticked = t, tick
                        self.tick(deadline)
                        continue
            if at == moment:
                return
            self.t = at
            _, _, event, argument = schedule.pop(0)
            event(argument)

    def tick(self, deadline: float | None = None) -> None:
        """What the pacer does; `deadline` is the machine's, where that is known."""
        machine, t = self.machine, self.t
        playout = machine.playout
        self.cause = "time"
        if deadline is None:  # one that comes with the audio sent now, such as the gate's, lies ahead
            deadline = machine.deadline(t)
        chunks = playout.step(t) if self.socket_open or self.takes_audio() else ()
        for chunk in chunks:
            self.send(chunk)
        # what was sent just now has not been heard
        if (deadline <= t or (not chunks and playout.finished(t))) and (actions := machine.time_passed(t)):
            self.apply(actions)

    def takes_audio(self) -> bool:
        """Whether the carrier connection takes audio although its socket is not open."""
        return False

    def send(self, chunk: Chunk) -> None:
        """Give a chunk to the carrier connection."""
        raise NotImplementedError

    def apply(self, actions: Sequence[Action]) -> None:
        """Carry out what the machine asks for."""
        raise NotImplementedError


class MachineDriver(MachineClock):
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
        super().__init__(settings or SessionSettings(), barge_in or BargeInSettings(), strategies)
        self.log = Log()
        self.replies = replies or Replies()
        self._echo_s = None if echo_ms is None else echo_ms / 1000
        self._playing_until = 0.0
        self._cancelled: set[int] = set()

    # -- the script

    def at(self, t: float, event: Callable[[], None]) -> None:
        """Do something at a time; events of one time keep the order in which they were given."""
        self.put(t, lambda _: event())

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

    # -- the shell's part

    def send(self, chunk: Chunk) -> None:
        """Accept it, play it, echo its marks."""
        self.log.sent.append((self.t, chunk))
        self._playing_until = max(self._playing_until, self.t) + len(chunk.payload) / 8000
        if self._echo_s is not None:
            for name in chunk.marks:
                self.put(self._playing_until + self._echo_s, self._echo, name)
        self.apply(self.machine.audio_sent(chunk, self.t))

    def _echo(self, name: str) -> None:
        self.machine.playout.mark_reached(name, self.t)

    def apply(self, actions: Sequence[Action]) -> None:
        """Carry out what the machine asks for."""
        for action in actions:
            match action:
                case StartReply():
                    self.log.started.append((self.t, action))
                    delay = 0.0 if action.user_turn is None else self.replies.llm_s
                    self.put(self.t + delay, self._make, action)
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
                case WantInterims() | ReconnectSTT() | STTSilent():
                    pass

    def _make(self, start: StartReply) -> None:
        if start.reply in self._cancelled:
            return
        playout = self.machine.playout
        for text in [start.text] if start.user_turn is None else self.replies.sentences:
            playout.open_sentence(start.reply, text)
            playout.add(start.reply, b"\x55" * int(self.replies.sentence_s * 8000))
            playout.close_sentence(start.reply)
        self.apply(self.machine.reply_made(start.reply, self.t))
        self.tick()

    # -- reading

    @property
    def roles(self) -> list[tuple[str, str]]:
        """The history as (role, text)."""
        return [(message.role, message.content) for message in self.machine.conversation.history]
