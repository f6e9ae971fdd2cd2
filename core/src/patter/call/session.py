"""One connected call: the shell around the session machine.

At most six tasks: reader, writer, STT receiver, STT sender, and while the agent speaks the reply's runner and speaker.
Every event goes to the machine in the step in which it arrives; what comes back is carried out here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from patter.call.conversation_state import conversation_state
from patter.call.hearing import Hearing
from patter.call.ledger import Ledger
from patter.call.machine import SessionMachine
from patter.call.mouth import SessionMouth
from patter.call.outbox import Outbox
from patter.call.realtime_seat import seat_of
from patter.call.reply import ReplyRunner
from patter.call.reply_parts import ReplyParts
from patter.call.socket_stall import STALLED_END_S, SocketStall
from patter.call.tasks import CallTasks
from patter.call.types import CallFailure, CallSummary
from patter.call.watchdog import CallWatchdog
from patter.errors import InputError
from patter.providers.carrier import AudioReceived, CallStatus, DigitPressed, MarkReached, StreamStopped

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.call.connection import MediaLeg
    from patter.call.lineup import Lineup
    from patter.call.listening import Listening
    from patter.call.pacer import Pacer
    from patter.call.playout import Chunk
    from patter.call.reply_meter import ReplyMeter
    from patter.call.turn_meter import TurnMeter
    from patter.call.types import ConversationState, TranscriptEntry
    from patter.environment import Clock
    from patter.plugins import HookDispatcher
    from patter.providers.llm import Message

logger = logging.getLogger(__name__)

#: tasks and sockets of an ended call are gone within this (LC-03), in s
TEARDOWN_S = 2.0
#: hooks that watch have this long after the media's end, in s
NOTICES_S = 1.0
#: keys of the caller that may wait for a slow hook; more are dropped
MOST_KEYS = 256
#: parts without which no audio flows: a failure of one ends the call
MEDIA_PARTS = ("reader", "writer", "pacer")


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What a session is made of."""

    machine: SessionMachine
    lineup: Lineup
    leg: MediaLeg
    hooks: HookDispatcher
    pacer: Pacer
    turns: TurnMeter


class CallSession:
    """Carries one call from its first frame to its summary. Made when the media stream has started."""

    def __init__(self, call: Call, parts: SessionParts, clock: Clock) -> None:
        self._call = call
        self._machine = parts.machine
        self._lineup = lineup = parts.lineup
        self._leg = leg = parts.leg
        self._hooks = parts.hooks
        self._pacer = parts.pacer
        self._ledger = Ledger()
        self.turns = parts.turns
        self.now = clock.monotonic
        self._tasks = CallTasks(call.id, self._task_failed, call.events.inside)
        self._notices = CallTasks(call.id, self._task_failed, call.events.inside)
        self._notice_count = 0
        self._keys: deque[str] = deque()
        self.mouth = SessionMouth(call, parts.machine, lineup, self.kick)
        self.seat = seat_of(self, parts.machine, lineup, self.mouth, parts.hooks)
        self._hearing = Hearing(self, parts.machine, lineup, self.mouth)
        self._outbox = Outbox(leg.connection, leg.protocol, clock, self._hearing.tap(self._audio_sent))
        self._socket = SocketStall(leg.connection, self._outbox, parts.machine.playout)
        self._listening: Listening | None = None
        self._ended: asyncio.Event = asyncio.Event()
        self._ending: EndCall | None = None
        self._heard_caller = False
        self._watchdog = CallWatchdog(parts.machine, call.id)
        self.due: float | None = None

    @property
    def ended_by_carrier(self) -> bool:
        """Whether the carrier, or the caller through it, ended the call."""
        return self._ending is not None and self._ending.by_carrier

    @property
    def is_ending(self) -> bool:
        """Whether the call is over."""
        return self._ending is not None

    @property
    def can_transfer(self) -> bool:
        """Whether the carrier can hand the caller over."""
        return self._leg.transfer

    # -- life

    async def run(self) -> CallSummary:
        """Carry the call to its end; returns when everything of it is released."""
        self._open()
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            self.apply(self._machine.end(CallStatus.COMPLETED, "the server is shutting down", self.now()))
        return await self._close()

    def prepare(self) -> None:
        """Open what hears the caller; before `run()`. Raises what kept a provider from being made: then `discard()`."""
        self._lineup.check()
        self._listening = self._hearing.open(self._ledger, self.seat)

    async def discard(self) -> None:
        """Release what was made for a call that is not carried after all."""
        await self._lineup.close()
        await self._ledger.close_all()

    def _open(self) -> None:
        self._call.attach(self)
        self._tasks.start("reader", self._read())
        self._tasks.start("writer", self._outbox.run())
        self._hearing.start(self._tasks)
        self.seat.run_in(self._tasks)
        for kind in self._lineup.begin():
            self._tasks.start(f"{kind} adoption", self._lineup.adopt(kind))
        self._call.events.emit("call_started")
        self.apply(self._machine.started(self.now()))
        self._pacer.add(self)

    async def _close(self) -> CallSummary:
        self._pacer.remove(self)
        self.seat.close()
        late = await self._tasks.close(TEARDOWN_S)
        await self._notices.finish(NOTICES_S)
        late += await self._notices.close(TEARDOWN_S)
        await self._lineup.close()
        await self._ledger.close_all()
        await self._call.events.close()
        leaks = (*late, *self._ledger.open())
        if leaks:
            logger.error("call %s left open: %s", self._call.id, ", ".join(leaks))
        ending = self._ending or EndCall(CallStatus.FAILED, "the session stopped")
        machine, figures = self._machine, self.turns.close(self.now())
        self._call.ended = True
        self._call.attach(None)
        return CallSummary(
            call_id=self._call.id,
            connected=True,
            outcome=ending.status,
            reason=ending.reason,
            duration_s=self.now() - machine.started_at,
            transcript=machine.conversation.transcript,
            history=machine.conversation.history,
            latency=figures,
            metrics={
                **figures.as_dict(),
                "dropped_audio_ms": self._socket.dropped_ms,
                "stuck_repairs": self._watchdog.repairs,
                "carrier_delay_ms": round(machine.playout.carrier_delay_ms, 1),
            },
            lost_frames=self._hearing.lost_frames,
            leaks=leaks,
        )

    # -- the pacer's step, and what follows any event

    def kick(self) -> None:
        """Audio was added: send what may be sent now, without waiting for the grid."""
        self.step(self.now())

    def step(self, t: float) -> None:
        """Send what is due and look at the machine's clock."""
        machine = self._machine
        stalled = self._socket.stalled_s(t)
        if stalled is None:
            for chunk in machine.playout.step(t):
                self._outbox.audio(chunk)
        elif stalled >= STALLED_END_S:
            self.apply(machine.end(CallStatus.FAILED, "the carrier's socket takes no data", t))
        self.mouth.audio_left()
        if machine.deadline(t) <= t or machine.playout.finished(t):
            self.apply(machine.time_passed(t))
        if t >= self._watchdog.due:
            lineup, making = self._lineup, (*self._tasks.running(), *self.seat.under_way())
            self.apply(self._watchdog.look(t, making, lineup.voice.tools, lineup.failures))
        self._schedule(t)

    def _schedule(self, t: float) -> None:
        playout, deadline = self._machine.playout.due_at(t), self._machine.deadline(t)
        moments = (playout, deadline, self._watchdog.due, self._socket.look_at(t))
        self.due = min(moment for moment in moments if moment is not None)

    def apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._carry_out(action)
        if self._ending is None:
            self._schedule(self.now())

    def _carry_out(self, action: Action) -> None:
        match action:
            case Emit(event=event, data=data):
                self._observe(event, self.turns.observed(event, data, self.now()))
            case StartReply():
                self.seat.start(action, self.turns.begun(action, self.now()))
            case CancelReply(reply=reply):
                self._tasks.cancel(f"reply {reply}")
                self.seat.cancel(reply)
            case SendClear():
                self.turns.cleared(self.now())
                self._outbox.clear(tell_carrier=self._leg.clear)
                if self._leg.clear:
                    self._hearing.agent_cut()
            case Finalize():
                self._hearing.finalize()
            case WantInterims(wanted=wanted):
                self._lineup.interims_wanted(wanted)
            case ReconnectSTT():
                self._tasks.start("stt reconnect", self._lineup.close_stt())
            case STTSilent():
                self._tasks.start("stt failure", self._hearing.silent())
            case EndCall():
                self._ending = self._ending or action
                self._ended.set()

    def speak(self, action: StartReply, moments: ReplyMeter) -> None:
        """Make an agent turn with the call's own model and voice."""
        parts = ReplyParts(action.reply, self.mouth, self._lineup.voice, self._hooks, self._call.id, moments)
        self._tasks.start(f"reply {action.reply}", self._make_reply(ReplyRunner(action, parts), action.reply))

    def _observe(self, event: str, data: object) -> None:
        self._call.events.emit(event, data)
        self.seat.observe(event, data)
        hook, argument = {
            "turn_ended": ("patter_turn_ended", "turn"),
            "interruption": ("patter_barge_in", "event"),
            "dtmf": ("patter_dtmf", "digit"),
        }.get(event, ("", ""))
        if hook == "patter_dtmf" and self._hooks.has(hook):
            self._key_pressed(str(data))
        elif hook:
            self.notify(hook, **{argument: data})

    def _key_pressed(self, digit: str) -> None:
        if len(self._keys) < MOST_KEYS:
            self._keys.append(digit)
            if len(self._keys) == 1:
                self._notices.start("patter_dtmf", self._tell_of_keys())

    async def _tell_of_keys(self) -> None:
        """One key after the other: a PIN whose second key overtakes the first is another one (CC-09)."""
        while self._keys:
            await self._hooks.notify("patter_dtmf", digit=self._keys[0])
            self._keys.popleft()

    def notify(self, hook: str, **arguments: object) -> None:
        """Call a hook that only watches, beside the media."""
        if self._hooks.has(hook):
            self._notice_count += 1
            self._notices.start(f"{hook} {self._notice_count}", self._hooks.notify(hook, **arguments))

    async def _make_reply(self, runner: ReplyRunner, reply: int) -> None:
        try:
            await runner.run()
        finally:
            self.apply(self._machine.reply_made(reply, self.now()))

    # -- the carrier's messages

    async def _read(self) -> None:
        receive, parse = self._leg.connection.receive_text, self._leg.protocol.parse
        assert self._listening is not None
        audio = self._listening.audio
        while (text := await receive()) is not None:
            try:
                event = parse(text)
            except InputError as error:
                logger.warning("call %s: dropped a media message: %s", self._call.id, error)
                continue
            if type(event) is AudioReceived:
                audio(event.payload)
                if not self._heard_caller:
                    self._first_frame()
            elif event is not None and not self._control_event(event):
                return
        self._media_gone("the media socket closed")

    def _control_event(self, event: object) -> bool:
        """Marks, keys and stop; False when the stream is over."""
        if isinstance(event, MarkReached):
            self._machine.playout.mark_reached(event.name, self.now())
        elif isinstance(event, DigitPressed):
            self.apply(self._machine.digit(event.digit, self.now()))
        elif isinstance(event, StreamStopped):
            self._media_gone("the caller or carrier hung up")
            return False
        return True

    def _media_gone(self, reason: str) -> None:
        reason = "transferred" if self._call.is_transferred else reason
        self.apply(self._machine.end(CallStatus.COMPLETED, reason, self.now(), by_carrier=True))

    def _first_frame(self) -> None:
        self._heard_caller = True
        self.notify("patter_call_started")

    def _audio_sent(self, chunk: Chunk, t: float) -> None:
        self.apply(self._machine.audio_sent(chunk, t))

    # -- failures

    def failed(self, error: Exception) -> None:
        """The pacer's step raised: no audio would flow any more."""
        self._task_failed("pacer", error)

    def _task_failed(self, part: str, error: Exception) -> None:
        """One event for any failure; the media path's own failures end the call, others are only told (LC-12)."""
        if self._ending is not None:
            return
        self._call.events.emit("failed", CallFailure("core", part, error))
        if part in MEDIA_PARTS:
            logger.warning("call %s: its %s failed: %s", self._call.id, part, type(error).__name__)
            self.apply(self._machine.end(CallStatus.FAILED, f"the media's {part} failed", self.now()))
        else:
            logger.error("call %s: %s failed", self._call.id, part, exc_info=error)

    # -- what a Call offers to applications (MediaControl)

    def say(self, text: str) -> None:
        """Speak a fixed text."""
        self.apply(self._machine.announce(text, self.now()))

    def interrupt(self) -> None:
        """Stop the agent."""
        self.apply(self._machine.interrupt(self.now()))

    def commit_turn(self) -> None:
        """End the caller's turn by hand."""
        self.apply(self._machine.commit_turn(self.now()))

    def press_keys(self, digits: str, delay_ms: int) -> None:
        """Play the tones of keys."""
        from patter.audio.dtmf import key_tones

        tones = key_tones(digits, delay_ms, self._machine.playout.format)
        self.apply(self._machine.press_keys(tones, self.now()))

    def end_after_speech(self, reason: str) -> None:
        """Hang up once the agent has been heard."""
        self.apply(self._machine.end_after_speech(reason, self.now()))

    def end_now(self, status: CallStatus, reason: str) -> None:
        """End the call at once."""
        self.apply(self._machine.end(status, reason, self.now()))

    def conversation_state(self) -> ConversationState:
        """Who is doing what."""
        return conversation_state(self._machine, self.now())

    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """What was said so far."""
        return self._machine.conversation.transcript

    def history(self) -> tuple[Message, ...]:
        """What the model knows so far."""
        return self._machine.conversation.history
