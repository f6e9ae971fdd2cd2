"""Notes what a call's session asks for and what the carrier was sent: the part that both levels of simulation share."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Any, Protocol

from patter.call.actions import Action, CancelReply, Emit, EndCall, Finalize, SendClear, StartReply
from patter.call.session_state import State
from patter.testing.simulation.carrier import Carrier
from patter.testing.simulation.finals import AcceptedFinals
from patter.testing.simulation.record import Cancelled, HeardFinal, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from patter.call.machine import SessionMachine
    from patter.testing.simulation.draw import Script
    from patter.testing.simulation.record import SpokenLine


#: an enum takes its time to look up a member
DRAINING, ENDED = State.DRAINING, State.ENDED
#: the events that come in causal order (TN-10)
MOMENTS = frozenset(
    {
        *("user_speech_started", "user_speech_ended", "user_speech_eos"),
        *("agent_speech_started", "agent_speech_ended"),
    }
)
#: the events that say how something came out
OUTCOMES = frozenset({"transcript_final", "turn_ended", "interruption"})


def packed(numbers: list[float]) -> bytes:
    """Doubles one after another; faster than through an array, which looks at each number's kind."""
    return pack(f"{len(numbers)}d", *numbers)


class Observed(Protocol):
    """A call that was played: what the checks look at."""

    record: Record
    carrier: Carrier
    machine: SessionMachine

    @property
    def script(self) -> Script:
        """What was played."""

    @property
    def t(self) -> float:
        """The time, in s."""

    def says_all(self, reply: int, lines: list[SpokenLine]) -> bool:
        """Whether those lines are all that the model said in a turn."""

    def stalls_between(self, begin: float, end: float) -> bool:
        """Whether the socket took nothing for a while between two moments."""

    def sounded_until(self, reply: int) -> float:
        """When the last of a turn sounded, in s; 0 when nothing of it did."""

    def sent_of(self, line: SpokenLine) -> int:
        """How much of a sentence the carrier connection accepted, in samples."""


class Observer:
    """Fills the record of one call. What decides about the call is told by `cause`, and the time by `t`.

    Attributes:
        cause: what the machine is being told.
    """

    machine: SessionMachine
    t: float

    def __init__(self, script: Script, *, trace: bool = False) -> None:
        self.script = script
        self.record = Record(trace=trace)
        self.carrier = Carrier(script.delay_s, self.record.lines)
        self.cause = ""
        self._accepted = AcceptedFinals()
        self._speaking = False
        self._turn = 0

    def note(self, code: float, value: float, words: str, *arguments: object) -> None:
        """One entry of the event log, whose hash tells whether two runs were the same, and its words for a trace."""
        record = self.record
        record.log += (self.t, code, value)
        if record.trace is not None:
            self._tell(words % arguments)

    def _tell(self, words: str) -> None:
        """One line of the trace."""
        assert self.record.trace is not None
        self.record.trace.append(f"{self.t:9.3f}  {words}")

    def note_cause(self, what: str, argument: Any) -> None:
        """The machine is about to be told something."""
        self.cause = what
        record = self.record
        record.happened += 1
        if record.trace is not None:
            shown = "" if argument is None else f" {argument!r}"
            record.trace.append(f"{self.t:9.3f}  {what}{shown}")

    # -- what the machine is told

    def must_stop(self) -> int:
        """The turn that speech beginning now stops at once; 0 for none (BI-02, BI-07)."""
        if not self._turn or self._speaking:
            return 0
        settings, first = self.script.barge_in, self.record.first_sent.get(self._turn)
        past_gate = first is not None and self.t >= first + settings.gate_s
        on_its_own = settings.mode == "cancel" and settings.has_vad
        return self._turn if past_gate and on_its_own and self.machine.state is not DRAINING else 0

    def note_speech(self, *, began: bool) -> None:
        """The detector heard an edge of the caller's speech."""
        self._speaking = began
        if began:
            self.record.speech_begins.append(self.t)
            self._accepted.speech_started()
        else:
            self.record.speech_ends.append(self.t)

    def note_final(self, text: str) -> None:
        """A final comes; whether it counts is judged by the ledger's own rules."""
        if self.machine.state is not ENDED:
            t, record = self.t, self.record
            accepted, ends, text = self._accepted.accepts(text, t), record.speech_ends, text.strip()
            if accepted:
                record.signs.append(t)
                record.accepted.append(text)
            record.finals.append(HeardFinal(t, text, accepted, ends[-1] if ends else None))

    # -- what it asks for

    def note_action(self, action: Action) -> None:
        """The machine wants something."""
        if type(action) is Emit:
            self.note_event(action)
        elif (noted := NOTED.get(type(action))) is not None:
            noted(self, action)

    def note_reply_started(self, start: StartReply) -> None:
        """A reply is wanted."""
        t, record, reply = self.t, self.record, start.reply
        record.started.append((t, start))
        self._turn = reply
        record.log += (t, 3.0, reply)
        if record.trace is not None:
            self._tell(f"  start reply {reply} ({start.kind}) to {start.text!r}")

    def note_reply_cancelled(self, action: CancelReply) -> None:
        """A reply is not wanted any more."""
        t, record, reply = self.t, self.record, action.reply
        record.cancelled.append(Cancelled(t, reply, self.cause, reply in record.first_sent))
        record.log += (t, 4.0, reply)
        if record.trace is not None:
            self._tell(f"  cancel reply {reply}")

    def note_clear_asked(self, _: SendClear) -> None:
        """The carrier's buffer is to be emptied."""
        self.note(5.0, 0.0, "  clear")

    def note_finalize(self, _: Finalize) -> None:
        """The recogniser is asked for a final."""
        self.record.finalizes.append(self.t)
        self.note(6.0, 0.0, "  finalize")

    def note_end(self, action: EndCall) -> None:
        """The call is over."""
        self.record.ended.append((self.t, action))
        self.note(7.0, 0.0, "  end: %s", action.reason)

    def note_event(self, action: Emit) -> None:
        """The machine tells the observers of the call something."""
        event = action.event
        if event in MOMENTS:
            self.record.moments.append(event)
        elif event in OUTCOMES:
            self.note_outcome(event, action.data)

    def note_outcome(self, event: str, data: Any) -> None:
        """One of the events that say how something came out."""
        record = self.record
        if event == "transcript_final":
            record.transcribed.append(data)
            return
        t = self.t
        if event == "turn_ended":
            record.turns.append((t, data))
            self._turn = 0
            record.log += (t, 8.0, data.turn)
            if record.trace is not None:
                self._tell(f"  turn {data.turn} ended: {data.text!r}")
        else:
            record.interruptions.append((t, data))
            record.log += (t, 9.0, data.turn)
            if record.trace is not None:
                self._tell(f"  interruption {data.outcome}")

    # -- what the carrier is sent

    def note_audio(self, payload: bytes, turn: int | None = None) -> None:
        """The carrier took audio: whose it is is read from its bytes, not from what the engine says."""
        t, record = self.t, self.record
        start = self.carrier.media(payload, t)
        record.log += (t, 1.0, start)
        if record.trace is not None:
            whose = "" if turn is None else f" of turn {turn}"
            record.trace.append(f"{t:9.3f}  → audio{whose} from sample {start}, {len(payload)} bytes")
        reply, lines = 0, record.lines
        if lines:
            line = lines[-1]  # nearly always the newest, of which the audio is
            reply = line.reply if start >= line.start else self._reply_at(start)
        last_sent = record.last_sent
        if reply not in last_sent:
            record.first_sent[reply] = t
        last_sent[reply] = t

    def note_clear(self) -> list[str]:
        """The carrier took a clear; returns the marks that come back because of it."""
        self.record.clears.append(self.t)
        back = self.carrier.clear(self.t)
        self.note(2.0, 0.0, "→ clear")
        return back

    def _reply_at(self, sample: int) -> int:
        for spoken_line in reversed(self.record.lines):
            if sample >= spoken_line.start:
                return spoken_line.reply
        return 0

    # -- for the checks

    def stalls_between(self, begin: float, end: float) -> bool:
        """Whether the socket took nothing for a while between two moments."""
        return any(since <= end and until >= begin for since, until in self.record.stalls)

    def sounded_until(self, reply: int) -> float:
        """When the last of a turn sounded, in s; 0 when nothing of it did."""
        first = last = None
        for line in self.record.lines:
            if line.reply == reply:
                first, last = first or line, line
        return self.carrier.sounded_until(first.start, last.end) if first and last else 0.0

    def sent_of(self, line: SpokenLine) -> int:
        """How much of a sentence the carrier connection accepted, in samples."""
        sent = self.carrier.accepted - line.start
        whole = line.line.samples
        return whole if sent > whole else sent if sent > 0 else 0

    def log_bytes(self) -> bytes:
        """The event log and what was said, as one piece to be hashed."""
        said = "\n".join([f"{line.role} {line.text}" for line in self.machine.conversation.transcript])
        return packed(self.record.log) + said.encode()


#: what is noted of each kind of action
NOTED: dict[type[Any], Callable[[Observer, Any], None]] = {
    StartReply: Observer.note_reply_started,
    CancelReply: Observer.note_reply_cancelled,
    SendClear: Observer.note_clear_asked,
    EndCall: Observer.note_end,
    Finalize: Observer.note_finalize,
}
