"""Plays a call script with the real machines: the shell's part, the providers' and the carrier's."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

from patter.call.actions import Action, CancelReply, Emit, SendClear, StartReply
from patter.call.session_state import State
from patter.providers.carrier import CallStatus
from patter.providers.stt import Final
from patter.testing.machine_driver import TICKS, MachineClock
from patter.testing.simulation.agent import SimulatedAgent
from patter.testing.simulation.observer import MOMENTS, NOTED, OUTCOMES, Observer
from patter.testing.simulation.record import Quiet
from patter.testing.simulation.strategies import LINEUPS
from patter.testing.simulation.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from patter.call.playout import Chunk
    from patter.testing.simulation.draw import Event, Script
    from patter.testing.simulation.record import SpokenLine

ENDED = State.ENDED
#: as the session has it (LC-11), in s
STALLED_S, STALLED_END_S, LOOK_S = 1.0, 5.0, 0.1
#: the same few words are said again and again
_final = lru_cache(maxsize=10_000)(Final)


class Stage(MachineClock, Observer):
    """One call. `play` it; then `record` and `carrier` tell what came of it."""

    def __init__(self, script: Script, *, trace: bool = False) -> None:
        strategies = [make() for make in LINEUPS[script.lineup]]
        MachineClock.__init__(self, script.settings, script.barge_in, strategies)
        Observer.__init__(self, script, trace=trace)
        self.wire = Wire(self.send, self._clear_reached_carrier)
        self.agent = SimulatedAgent(self)
        self._marks: set[str] = set()
        #: what the script holds, the next at the end
        self._coming = script.events[::-1]

    def release(self) -> None:
        """Let go of what refers to this call in a circle, so that its memory is free at once, not some time later."""
        self.schedule.clear()
        del self.agent, self.wire

    def play(self) -> None:
        """The whole call."""
        script = self.script
        self.happen((0.0, "started", None))
        self.put(script.hangs_up_at, self.happen, (script.hangs_up_at, "hang_up", None))
        self._play_until(script.hangs_up_at)
        while self.machine.state is not ENDED:  # the process froze over the hang-up
            self._play_until(self.frozen_until)
        self.record.read(self.machine.conversation)

    def _play_until(self, end: float) -> None:
        """What the script holds up to a time; it precedes all else of its moment."""
        coming, record = self._coming, self.record
        while coming and coming[-1][0] <= end:
            event = t, what, argument = coming.pop()
            if t > self.t:
                self.before(t)
                self.t = t
            if t < self.frozen_until or record.trace is not None:
                self.happen(event)
                continue
            self.cause = what
            record.happened += 1
            HAPPENINGS[what](self, argument)
        self.run(end)

    def happen(self, event: Event) -> None:
        """Tell the machine of something, or later when the process is frozen."""
        _, what, argument = event
        if self.t < self.frozen_until:
            self.put(self.frozen_until, self.happen, event)
            return
        self.note_cause(what, argument)
        HAPPENINGS[what](self, argument)

    # -- the caller, the application, the mishaps

    def on_started(self, _: None) -> None:
        """The media is up."""
        self.apply(self.machine.started(self.t))

    def on_speech_started(self, _: None) -> None:
        """The VAD hears speech."""
        must_stop = self.must_stop()
        self.note_speech(began=True)
        self.apply(self.machine.speech_started(self.t))
        if must_stop and must_stop not in self.agent.cancelled:
            self.record.ignored.append(f"speech at {self.t} did not stop turn {must_stop}")

    def on_speech_ended(self, _: None) -> None:
        """The VAD hears silence."""
        self.note_speech(began=False)
        self.apply(self.machine.speech_ended(self.t))

    def on_interim(self, text: str) -> None:
        """A partial."""
        self.apply(self.machine.interim(text, self.t))

    def on_final(self, text: str) -> None:
        """A final."""
        self.note_final(text)
        self.apply(self.machine.final(_final(text), self.t))

    def on_digit(self, digit: str) -> None:
        """The caller presses a key."""
        self.record.signs.append(self.t)
        self.apply(self.machine.digit(digit, self.t))

    def on_interrupt(self, _: None) -> None:
        """The application stops the agent."""
        self.apply(self.machine.interrupt(self.t))

    def on_commit_turn(self, _: None) -> None:
        """The application ends the caller's turn."""
        self.apply(self.machine.commit_turn(self.t))

    def on_announce(self, text: str) -> None:
        """The application says something."""
        self.apply(self.machine.announce(text, self.t))

    def on_end_call(self, reason: str) -> None:
        """The application ends the call after what is being said."""
        if self.record.ending_since is None and not self.record.ended:
            self.record.ending_since = self.t
        self.apply(self.machine.end_after_speech(reason, self.t))

    def on_hang_up(self, _: None) -> None:
        """The caller hangs up."""
        if self.script.quiet_s:
            self.record.when_quiet = Quiet(self.machine.state)
        self.apply(self.machine.end(CallStatus.COMPLETED, "hung up", self.t, by_carrier=True))
        if not self.record.ended:
            self.record.problems.append(f"the call goes on after the caller hung up at {self.t}")

    def on_odd_mark(self, name: str) -> None:
        """A mark comes back that is none of ours, or comes back again."""
        if name not in self._marks:
            self.machine.playout.mark_reached(name, self.t)

    def on_freeze(self, seconds: float) -> None:
        """The process does nothing for a while."""
        self.frozen_until = self.t + seconds
        self.record.disturbed = self.record.frozen = True

    def on_stall(self, seconds: float) -> None:
        """The carrier's socket takes nothing for a while."""
        if not self.wire.stalled:
            self.wire.stalled, self.socket_open = True, False
            self.record.disturbed = True
            self.record.stalls.append((self.t, self.t + seconds))
            self.put(self.t + seconds, self.happen, (self.t + seconds, "unstall", None))
            self._look_at_socket(None)

    def on_unstall(self, _: None) -> None:
        """It takes data again, later than it should when the process was frozen."""
        stalls = self.record.stalls
        self.socket_open, stalls[-1] = True, (stalls[-1][0], self.t)
        if self.machine.state is not State.ENDED:
            self.wire.open()

    # -- the pacer and the socket

    def _look_at_socket(self, _: None) -> None:
        """The pacer looks again and again at a socket that takes nothing."""
        if not self.wire.stalled or self.record.ended:
            return
        if self.wire.blocked_since is not None and self.t >= self.frozen_until:
            self.tick()
        self.put(ceil((self.t + LOOK_S) * TICKS - 1e-6) / TICKS, self._look_at_socket)

    def takes_audio(self) -> bool:
        """Whether the socket takes data; one that takes none for 5 s ends the call, as in the session."""
        since = self.wire.blocked_since
        if since is None or self.t - since < STALLED_S:
            return True
        self.machine.playout.take_back(self.wire.drop_audio())
        if self.t - since >= STALLED_END_S:
            self.apply(self.machine.end(CallStatus.FAILED, "the carrier's socket takes no data", self.t))
        return False

    def send(self, chunk: Chunk) -> None:
        """Into the outbox; the carrier connection accepts it at once, unless it takes nothing."""
        if self.wire.stalled:
            self.wire.audio(chunk, self.t)
            return
        self.note_audio(chunk.payload, chunk.turn)
        if self.record.ended:
            self.record.problems.append(f"audio was sent at {self.t}, after the end of the call")
        for name in chunk.marks:
            self._echo_later(name)
        if actions := self.machine.audio_sent(chunk, self.t):
            self.apply(actions)

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
        back = self.note_clear()
        for name in back:
            self._marks.discard(name)
            if self.script.marks_return:
                self.put(self.t + 2 * self.script.delay_s, self.on_returned_mark, name)

    def on_returned_mark(self, name: str) -> None:
        """A mark comes back because of a clear."""
        self.machine.playout.mark_reached(name, self.t)

    # -- what the machine asks for

    def apply(self, actions: Sequence[Action]) -> None:
        """Carry it out."""
        if not actions:
            return
        record = self.record
        if record.ended:
            record.problems.append(f"actions after the end of the call: {actions}")
        for action in actions:
            if type(action) is Emit:
                event = action.event
                if event in MOMENTS:
                    record.moments.append(event)
                elif event in OUTCOMES:
                    self.note_outcome(event, action.data)
            elif (carry_out := CARRIED_OUT.get(type(action))) is not None:
                carry_out(self, action)

    def _start(self, start: StartReply) -> None:
        self.note_reply_started(start)
        self.agent.begin(start)

    def _cancel(self, cancel: CancelReply) -> None:
        self.note_reply_cancelled(cancel)
        self.agent.cancel(cancel.reply)

    def _clear(self, clear: SendClear) -> None:
        self.note_clear_asked(clear)
        self.wire.clear(self.t)

    def says_all(self, reply: int, lines: list[SpokenLine]) -> bool:
        """Whether those lines are all that the model said in a turn."""
        return len(lines) == self.agent.sentences_of(reply)


#: what is done about each kind of action
CARRIED_OUT: dict[type[Any], Callable[[Stage, Any], None]] = {
    **NOTED,
    StartReply: Stage._start,
    CancelReply: Stage._cancel,
    SendClear: Stage._clear,
}
#: what may happen: in a script or, the beginning and the end of a call and of a stall, because of it
HAPPENINGS: dict[str, Callable[[Stage, Any], None]] = {
    "started": Stage.on_started,
    "speech_started": Stage.on_speech_started,
    "speech_ended": Stage.on_speech_ended,
    "interim": Stage.on_interim,
    "final": Stage.on_final,
    "digit": Stage.on_digit,
    "interrupt": Stage.on_interrupt,
    "commit_turn": Stage.on_commit_turn,
    "announce": Stage.on_announce,
    "end_call": Stage.on_end_call,
    "hang_up": Stage.on_hang_up,
    "odd_mark": Stage.on_odd_mark,
    "freeze": Stage.on_freeze,
    "stall": Stage.on_stall,
    "unstall": Stage.on_unstall,
}
