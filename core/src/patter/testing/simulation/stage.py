"""Plays a call script with the real machines: the shell's part, the providers' and the carrier's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from patter.call.session_state import State
from patter.providers.carrier import CallStatus
from patter.providers.stt import Final
from patter.testing.machine_driver import MachineClock
from patter.testing.simulation.agent import SimulatedAgent
from patter.testing.simulation.carrier import Carrier
from patter.testing.simulation.finals import AcceptedFinals
from patter.testing.simulation.record import Cancelled, HeardFinal, Quiet, Record, SpokenLine
from patter.testing.simulation.strategies import LINEUPS
from patter.testing.simulation.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from patter.call.playout import Chunk
    from patter.testing.simulation.draw import Script

#: as the session has it (LC-11), in s
STALLED_S, STALLED_END_S = 1.0, 5.0


class Stage(MachineClock):
    """One call. `play` it; then `record` and `carrier` tell what came of it."""

    def __init__(self, script: Script, *, trace: bool = False) -> None:
        super().__init__(script.settings, script.barge_in, [make() for make in LINEUPS[script.lineup]])
        self.script = script
        self.record = Record(trace=[] if trace else None)
        self.carrier = Carrier(script.delay_s)
        self.wire = Wire(self._reached_carrier, self._clear_reached_carrier)
        self.cause = ""
        self.agent = SimulatedAgent(self)
        self._marks: set[str] = set()
        self.frozen_until = 0.0
        self._accepted = AcceptedFinals()
        self._speaking = False
        self._turn = 0
        self._do: dict[type[Any], Callable[[Any], None]] = {
            StartReply: self._start_reply,
            CancelReply: self._cancel_reply,
            SendClear: self._send_clear,
            Emit: self._emit,
            EndCall: self._end_call,
            Finalize: self._finalize,
            WantInterims: self._nothing,
            ReconnectSTT: self._nothing,
            STTSilent: self._nothing,
        }

    def play(self) -> None:
        """The whole call."""
        script = self.script
        for t, what, argument in script.events:
            self.put(t, getattr(self, f"on_{what}"), argument)
        self.put(script.hangs_up_at, self.on_hang_up)
        self._told("started", None)
        self.apply(self.machine.started(0.0))
        self.run(script.hangs_up_at)
        while self.machine.state is not State.ENDED:  # the process froze over the hang-up
            self.run(self.frozen_until)

    def note(self, code: int, value: float, words: str, *arguments: object) -> None:
        """One entry of the event log, whose hash tells whether two runs were the same, and its words for a trace."""
        self.record.log.extend((self.t, code, value))
        if self.record.trace is not None:
            self.record.trace.append(f"{self.t:9.3f}  {words % arguments}")

    def _told(self, what: str, argument: Any) -> bool:
        """The machine is about to be told something. False when the process is frozen: then it is told later."""
        if self.t < self.frozen_until:
            self.put(self.frozen_until, getattr(self, f"on_{what}"), argument)
            return False
        self.cause = what
        self.record.happened += 1
        if self.record.trace is not None:
            shown = "" if argument is None else f" {argument!r}"
            self.record.trace.append(f"{self.t:9.3f}  {what}{shown}")
        return True

    # -- the caller, the application, the mishaps

    def on_speech_started(self, _: None) -> None:
        """The VAD hears speech."""
        if self._told("speech_started", None):
            self._accepted.speech_started()
            must_stop = self._must_stop()
            self.apply(self.machine.speech_started(self.t))
            if must_stop and must_stop not in self.agent.cancelled:
                self.record.ignored.append(f"speech at {self.t} did not stop turn {must_stop}")
            self._speaking = True

    def _must_stop(self) -> int:
        """The turn that speech beginning now stops at once; 0 for none (BI-02, BI-07)."""
        settings, machine = self.script.barge_in, self.machine
        first = self.record.first_sent.get(self._turn)
        past_gate = first is not None and self.t >= first + settings.gate_s
        on_its_own = settings.mode == "cancel" and settings.has_vad and not self._speaking
        return self._turn if past_gate and on_its_own and machine.state is not State.DRAINING else 0

    def on_speech_ended(self, _: None) -> None:
        """The VAD hears silence."""
        if self._told("speech_ended", None):
            self.record.speech_ends.append(self.t)
            self._speaking = False
            self.apply(self.machine.speech_ended(self.t))

    def on_interim(self, text: str) -> None:
        """A partial."""
        if self._told("interim", text):
            self.apply(self.machine.interim(text, self.t))

    def on_final(self, text: str) -> None:
        """A final."""
        if not self._told("final", text):
            return
        machine = self.machine
        if machine.state is not State.ENDED:
            accepted = self._accepted.accepts(text, self.t)
            ended = self.record.speech_ends[-1] if self.record.speech_ends else None
            self.record.finals.append(HeardFinal(self.t, text.strip(), accepted, ended))
        self.apply(machine.final(Final(text), self.t))

    def on_interrupt(self, _: None) -> None:
        """The application stops the agent."""
        if self._told("interrupt", None):
            self.apply(self.machine.interrupt(self.t))

    def on_commit_turn(self, _: None) -> None:
        """The application ends the caller's turn."""
        if self._told("commit_turn", None):
            self.apply(self.machine.commit_turn(self.t))

    def on_announce(self, text: str) -> None:
        """The application says something."""
        if self._told("announce", text):
            self.apply(self.machine.announce(text, self.t))

    def on_end_call(self, reason: str) -> None:
        """The application ends the call after what is being said."""
        if self._told("end_call", reason):
            self.apply(self.machine.end_after_speech(reason, self.t))

    def on_hang_up(self, _: None) -> None:
        """The caller hangs up."""
        if self._told("hang_up", None):
            if self.script.quiet_s:
                self.record.when_quiet = Quiet(self.machine.state)
            self.apply(self.machine.end(CallStatus.COMPLETED, "hung up", self.t, by_carrier=True))

    def on_odd_mark(self, name: str) -> None:
        """A mark comes back that is none of ours, or comes back again."""
        if self._told("odd_mark", name) and name not in self._marks:
            self.machine.playout.mark_reached(name, self.t)

    def on_freeze(self, seconds: float) -> None:
        """The process does nothing for a while."""
        if self._told("freeze", seconds):
            self.frozen_until = self.t + seconds
            self.record.disturbed = self.record.frozen = True

    def on_stall(self, seconds: float) -> None:
        """The carrier's socket takes nothing for a while."""
        if self._told("stall", seconds) and not self.wire.stalled:
            self.wire.stalled = True
            self.record.disturbed = True
            self.record.stalls.append((self.t, self.t + seconds))
            self.put(self.t + seconds, self.on_unstall)

    def on_unstall(self, _: None) -> None:
        """It takes data again."""
        if self._told("unstall", None) and self.machine.state is not State.ENDED:
            self.wire.open()

    # -- the pacer and the socket

    def due(self) -> float | None:
        """As the session reckons it; a frozen process finds out later."""
        due = super().due()
        if due is None:
            return None
        if self.wire.blocked_since is not None:
            due = min(due, self.t + 0.1)
        return max(due, self.frozen_until)

    def tick(self) -> None:
        """What the pacer does."""
        self.cause = "time"
        super().tick()

    def takes_audio(self) -> bool:
        """Whether the socket takes data; one that takes none for 5 s ends the call, as in the session."""
        if self.wire.blocked_since is None or self.t - self.wire.blocked_since < STALLED_S:
            return True
        self.machine.playout.take_back(self.wire.drop_audio())
        if self.t - self.wire.blocked_since >= STALLED_END_S:
            self.apply(self.machine.end(CallStatus.FAILED, "the carrier's socket takes no data", self.t))
        return False

    def send(self, chunk: Chunk) -> None:
        """Into the outbox."""
        self.wire.audio(chunk, self.t)

    def _reached_carrier(self, chunk: Chunk) -> None:
        """The carrier connection accepted a chunk: the carrier plays it, the machine is told."""
        start = self.carrier.media(chunk.payload, self.t)
        record = self.record
        self.note(
            1, start, "→ audio of turn %d from sample %d, %d bytes", chunk.turn, start, len(chunk.payload)
        )
        reply = self._reply_at(start)
        if reply not in record.first_sent:
            record.first_sent[reply] = self.t
        record.last_sent[reply] = self.t
        for name in chunk.marks:
            self._echo_later(name)
        self.apply(self.machine.audio_sent(chunk, self.t))

    def _reply_at(self, sample: int) -> int:
        """Whose audio that is, from the source and not from what the engine says."""
        for spoken_line in reversed(self.record.lines):
            if sample >= spoken_line.start:
                return spoken_line.reply
        return 0

    def _echo_later(self, name: str) -> None:
        played_at = self.carrier.mark(name)
        echoes = self.script.echoes
        delay = echoes[len(self.carrier.marks) % len(echoes)]
        if delay is not None:
            self._marks.add(name)
            self.put(played_at + delay, self.on_echo, name)

    def on_echo(self, name: str) -> None:
        """A mark comes back."""
        if self.t < self.frozen_until:
            self.put(self.frozen_until, self.on_echo, name)
        elif name in self._marks:
            self._marks.discard(name)
            self.machine.playout.mark_reached(name, self.t)

    def _clear_reached_carrier(self) -> None:
        self.record.clears.append(self.t)
        back = self.carrier.clear(self.t)
        self.note(2, 0, "→ clear")
        for name in back:
            self._marks.discard(name)
            if self.script.marks_return:
                self.put(self.t + 2 * self.script.delay_s, self.on_returned_mark, name)

    def on_returned_mark(self, name: str) -> None:
        """A mark comes back because of a clear."""
        self.machine.playout.mark_reached(name, self.t)

    def stalls_between(self, begin: float, end: float) -> bool:
        """Whether the socket took nothing for a while between two moments."""
        return any(since <= end and until >= begin for since, until in self.record.stalls)

    def sounded_until(self, reply: int) -> float:
        """When the last of a turn sounded, in s; 0 when nothing of it did."""
        lines = [line for line in self.record.lines if line.reply == reply]
        return self.carrier.sounded_until(lines[0].start, lines[-1].end) if lines else 0.0

    def sent_of(self, line: SpokenLine) -> int:
        """How much of a sentence the carrier connection accepted, in samples."""
        return max(0, min(self.carrier.accepted, line.end) - line.start)

    def log_bytes(self) -> bytes:
        """The event log and what was said, as one piece to be hashed."""
        said = [(line.role, line.text) for line in self.machine.conversation.transcript]
        return self.record.log.tobytes() + repr(said).encode()

    # -- what the machine asks for

    def apply(self, actions: Sequence[Action]) -> None:
        """Carry it out."""
        if actions and self.record.ended:
            self.record.problems.append(f"actions after the end of the call: {actions}")
        for action in actions:
            self._do[type(action)](action)

    def _nothing(self, _: Any) -> None:
        pass

    def _start_reply(self, start: StartReply) -> None:
        self.record.started.append((self.t, start))
        self._turn = start.reply
        self.note(3, start.reply, "  start reply %d (%s) to %r", start.reply, start.kind, start.text)
        self.agent.begin(start)

    def _cancel_reply(self, action: CancelReply) -> None:
        heard = action.reply in self.record.first_sent
        self.record.cancelled.append(Cancelled(self.t, action.reply, self.cause, heard))
        self.note(4, action.reply, "  cancel reply %d", action.reply)
        self.agent.cancel(action.reply)

    def _send_clear(self, _: SendClear) -> None:
        self.note(5, 0, "  clear")
        self.wire.clear(self.t)

    def _finalize(self, _: Finalize) -> None:
        self.record.finalizes.append(self.t)
        self.note(6, 0, "  finalize")

    def _end_call(self, action: EndCall) -> None:
        self.record.ended.append((self.t, action))
        self.note(7, 0, "  end: %s", action.reason)

    def _emit(self, action: Emit) -> None:
        event = action.event
        if event == "transcript_final":
            self.record.transcribed.append(action.data)
        elif event == "turn_ended":
            self.record.turns.append((self.t, action.data))
            self._turn = 0
            self.note(8, action.data.turn, "  turn %d ended: %r", action.data.turn, action.data.text)
        elif event == "interruption":
            self.record.interruptions.append((self.t, action.data))
            self.note(9, action.data.turn, "  interruption %s", action.data.outcome)

    def kick(self) -> None:
        """Audio was added: send what may be sent now."""
        if self.machine.state is not State.ENDED:
            self.tick()
