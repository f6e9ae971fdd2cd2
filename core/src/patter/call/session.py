"""One connected call: the shell around the session machine.

At most six tasks: reader, writer, STT receiver, STT sender, and while the agent speaks the reply's runner and speaker.
Every event goes to the machine in the step in which it arrives; what comes back is carried out here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
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
from patter.call.ledger import Ledger
from patter.call.listening import Listening
from patter.call.machine import SessionMachine
from patter.call.mouth import SessionMouth
from patter.call.outbox import Outbox
from patter.call.reply import ReplyRunner
from patter.call.session_state import AGENT_STATES
from patter.call.stt_feed import STTFeed
from patter.call.tasks import CallTasks
from patter.call.types import CallFailure, CallSummary
from patter.call.watchdog import CallWatchdog
from patter.errors import InputError, ProviderDisconnected, ProviderTimeout
from patter.providers.carrier import AudioReceived, CallStatus, DigitPressed, MarkReached, StreamStopped
from patter.providers.stt import Final, Interim, SpeechStarted

if TYPE_CHECKING:
    from patter.call.call import AgentState, Call
    from patter.call.connection import MediaLeg
    from patter.call.lineup import Lineup
    from patter.call.pacer import Pacer
    from patter.call.playout import Chunk
    from patter.call.types import TranscriptEntry
    from patter.environment import Clock
    from patter.plugins import HookDispatcher
    from patter.providers.llm import Message
    from patter.providers.stt import STTEvent
    from patter.providers.vad import VADEvent

logger = logging.getLogger(__name__)

#: a send that blocks this long means that the carrier's socket is stalled (LC-11), in s
STALLED_S = 1.0
#: a socket stalled this long ends the call, in s
STALLED_END_S = 5.0
#: tasks and sockets of an ended call are gone within this (LC-03), in s
TEARDOWN_S = 2.0
#: hooks that watch have this long after the media's end, in s
NOTICES_S = 1.0
#: unsent bytes at which the carrier's socket counts as stalled (LC-11)
UNSENT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class SessionParts:
    """What a session is made of."""

    machine: SessionMachine
    lineup: Lineup
    leg: MediaLeg
    hooks: HookDispatcher
    pacer: Pacer


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
        self._now = clock.monotonic
        self._tasks = CallTasks(call.id, self._task_failed)
        self._notices = CallTasks(call.id, self._task_failed)
        self._notice_count = 0
        self._outbox = Outbox(leg.connection, leg.protocol, clock, self._audio_sent)
        self._feed = STTFeed(lineup.stt_format) if lineup.has_stt else None
        self.mouth = SessionMouth(call, parts.machine, lineup, self.kick)
        self._listening: Listening | None = None
        self._ended: asyncio.Event = asyncio.Event()
        self._ending: EndCall | None = None
        self._heard_caller = False
        self._watchdog = CallWatchdog(parts.machine, call.id)
        self.dropped_audio_ms = 0.0
        self.due: float | None = None

    @property
    def ended_by_carrier(self) -> bool:
        """Whether the carrier, or the caller through it, ended the call."""
        return self._ending is not None and self._ending.by_carrier

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
            self._apply(self._machine.end(CallStatus.COMPLETED, "the server is shutting down", self._now()))
        return await self._close()

    async def discard(self) -> None:
        """Release what was made for a call that is not carried after all."""
        await self._lineup.close()

    def _open(self) -> None:
        detector = self._lineup.open_detector(self._vad_event, self._ledger)
        self._listening = Listening(
            self._machine.playout.format, self._feed, detector, self._lineup.noise_filter
        )
        self._call.attach(self)
        self._tasks.start("reader", self._read())
        self._tasks.start("writer", self._outbox.run())
        if self._feed is not None:
            self._tasks.start("stt", self._receive())
            self._tasks.start("stt sender", self._feed.run())
        self._call.events.emit("call_started")
        self._apply(self._machine.started(self._now()))
        self._pacer.add(self)

    async def _close(self) -> CallSummary:
        self._pacer.remove(self)
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
        machine = self._machine
        self._call.ended = True
        self._call.attach(None)
        return CallSummary(
            call_id=self._call.id,
            connected=True,
            outcome=ending.status,
            reason=ending.reason,
            duration_s=self._now() - machine.started_at,
            transcript=machine.conversation.transcript,
            history=machine.conversation.history,
            metrics={
                "interruptions": machine.interruptions,
                "backchannels": machine.backchannels,
                "dropped_audio_ms": self.dropped_audio_ms,
                "stuck_repairs": self._watchdog.repairs,
                "carrier_delay_ms": round(machine.playout.carrier_delay_ms, 1),
            },
            lost_frames=self._feed.dropped_frames if self._feed else 0,
            leaks=leaks,
        )

    # -- the pacer's step, and what follows any event

    def kick(self) -> None:
        """Audio was added: send what may be sent now, without waiting for the grid."""
        self.step(self._now())

    def step(self, t: float) -> None:
        """Send what is due and look at the machine's clock."""
        machine = self._machine
        if not self._is_stalled(t):
            for chunk in machine.playout.step(t):
                self._outbox.audio(chunk)
        self.mouth.audio_left()
        deadline = machine.deadline(t)
        if (deadline is not None and deadline <= t) or machine.playout.finished(t):
            self._apply(machine.time_passed(t))
        if t >= self._watchdog.due:
            self._apply(self._watchdog.look(t, self._tasks.running(), self._lineup.voice.tools))
        self._schedule(t)

    def _schedule(self, t: float) -> None:
        playout, deadline = self._machine.playout.due_at(t), self._machine.deadline(t)
        times = [moment for moment in (playout, deadline, self._watchdog.due) if moment is not None]
        if self._outbox.blocked_s(t) > 0:
            times.append(t + 0.1)
        self.due = min(times, default=None)

    def _is_stalled(self, t: float) -> bool:
        """A socket that takes no data slows nobody but its own call, and ends it after 5 s (LC-11)."""
        blocked = self._outbox.blocked_s(t)
        if blocked < STALLED_S and self._leg.connection.unsent_bytes() < UNSENT_BYTES:
            return False
        self._machine.playout.take_back(self._outbox.waiting)
        self.dropped_audio_ms += self._outbox.drop_audio() * 40.0
        if blocked >= STALLED_END_S:
            self._apply(self._machine.end(CallStatus.FAILED, "the carrier's socket takes no data", t))
        return True

    def _apply(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._carry_out(action)
        if self._ending is None:
            self._schedule(self._now())

    def _carry_out(self, action: Action) -> None:
        match action:
            case Emit(event=event, data=data):
                self._observe(event, data)
            case StartReply():
                runner = ReplyRunner(action, self.mouth, self._lineup.voice, self._hooks, self._call.id)
                self._tasks.start(f"reply {action.reply}", self._make_reply(runner, action.reply))
            case CancelReply(reply=reply):
                self._tasks.cancel(f"reply {reply}")
            case SendClear():
                self._outbox.clear(tell_carrier=self._leg.clear)
            case Finalize():
                if self._feed is not None:
                    self._feed.finalize()
            case WantInterims(wanted=wanted):
                self._lineup.interims_wanted(wanted)
            case ReconnectSTT():
                self._tasks.start("stt reconnect", self._lineup.close_stt())
            case STTSilent():
                self._tasks.start("stt failure", self._stt_silent())
            case EndCall():
                self._ending = self._ending or action
                self._ended.set()

    def _observe(self, event: str, data: object) -> None:
        self._call.events.emit(event, data)
        hook, argument = {
            "turn_ended": ("patter_turn_ended", "turn"),
            "interruption": ("patter_barge_in", "event"),
            "dtmf": ("patter_dtmf", "digit"),
        }.get(event, ("", ""))
        if hook and self._hooks.has(hook):
            self._notify(hook, **{argument: data})

    def _notify(self, hook: str, **arguments: object) -> None:
        """Call a hook that only watches, beside the media."""
        self._notice_count += 1
        self._notices.start(f"{hook} {self._notice_count}", self._hooks.notify(hook, **arguments))

    async def _make_reply(self, runner: ReplyRunner, reply: int) -> None:
        try:
            await runner.run()
        finally:
            self._apply(self._machine.reply_made(reply, self._now()))

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
            self._machine.playout.mark_reached(event.name, self._now())
        elif isinstance(event, DigitPressed):
            self._observe("dtmf", event.digit)
        elif isinstance(event, StreamStopped):
            reason = "transferred" if self._call.is_transferred else "the caller or carrier hung up"
            self._media_gone(reason)
            return False
        return True

    def _media_gone(self, reason: str) -> None:
        self._apply(self._machine.end(CallStatus.COMPLETED, reason, self._now(), by_carrier=True))

    def _first_frame(self) -> None:
        self._heard_caller = True
        if self._hooks.has("patter_call_started"):
            self._notify("patter_call_started")

    def _audio_sent(self, chunk: Chunk, t: float) -> None:
        self._apply(self._machine.audio_sent(chunk, t))

    # -- VAD and STT

    def _vad_event(self, event: VADEvent) -> None:
        t = self._now()
        if event.kind == "speech_start":
            self._lineup.speech_started()
            self._apply(self._machine.speech_started(t))
        elif event.kind == "speech_end":
            self._apply(self._machine.speech_ended(t))

    async def _receive(self) -> None:
        """Connect and read the STT; again after a reconnect, until healing gives up."""
        assert self._feed is not None
        while True:
            try:
                stt = await self._lineup.connect_stt()
                self._feed.attach(stt)
                async for event in stt.receive():
                    self._stt_event(event)
                error: Exception = ProviderDisconnected("the STT ended its stream")
            except Exception as failure:  # whatever a plugin raises is healed alike (LC-12)
                error = failure
            self._feed.detach()
            if self._ending is not None:
                return
            if not self._lineup.reconnecting and not await self.mouth.failed("stt", error, spoken=False):
                return
            await self._lineup.rebuild("stt")

    async def _stt_silent(self) -> None:
        if await self.mouth.failed("stt", ProviderTimeout("the STT is connected but silent"), spoken=False):
            await self._lineup.close_stt()

    def _stt_event(self, event: STTEvent) -> None:
        t = self._now()
        if isinstance(event, Final):
            self._apply(self._machine.final(event, t))
        elif isinstance(event, Interim):
            self._apply(self._machine.interim(event.text, t))
        elif isinstance(event, SpeechStarted) and not self._lineup.has_detector:
            self._apply(self._machine.speech_started(t))

    # -- failures

    def _task_failed(self, part: str, error: Exception) -> None:
        """One event for any failure; the media path's own failures end the call, others are only told (LC-12)."""
        if self._ending is not None:
            return
        self._call.events.emit("failed", CallFailure("core", part, error))
        if part in ("reader", "writer"):
            logger.warning("call %s: %s ended: %s", self._call.id, part, type(error).__name__)
            self._media_gone("the media socket closed")
        else:
            logger.error("call %s: %s failed", self._call.id, part, exc_info=error)

    # -- what a Call offers to applications (CallControl)

    def say(self, text: str) -> None:
        """Speak a fixed text."""
        self._apply(self._machine.announce(text, self._now()))

    def interrupt(self) -> None:
        """Stop the agent."""
        self._apply(self._machine.interrupt(self._now()))

    def commit_turn(self) -> None:
        """End the caller's turn by hand."""
        self._apply(self._machine.commit_turn(self._now()))

    def end_after_speech(self, reason: str) -> None:
        """Hang up once the agent has been heard."""
        self._apply(self._machine.end_after_speech(reason, self._now()))

    def end_now(self, status: CallStatus, reason: str) -> None:
        """End the call at once."""
        self._apply(self._machine.end(status, reason, self._now()))

    def agent_state(self) -> AgentState:
        """What the agent is doing."""
        return AGENT_STATES[self._machine.state]

    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """What was said so far."""
        return self._machine.conversation.transcript

    def history(self) -> tuple[Message, ...]:
        """What the model knows so far."""
        return self._machine.conversation.history
