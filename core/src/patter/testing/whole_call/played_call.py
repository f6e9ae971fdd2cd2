"""Plays one script as a whole call on an exchange, and notes what comes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from patter.audio.dtmf import key_tones
from patter.audio.formats import MULAW_8K
from patter.call.actions import Action, StartReply
from patter.call.call import Call
from patter.call.types import CallFailure, CallSummary, ProviderConnected
from patter.errors import ConfigError
from patter.providers.stt import Final, Interim, SpeechStarted, STTEvent
from patter.testing.simulation.observer import Observer, packed
from patter.testing.simulation.record import SpokenLine
from patter.testing.simulation.speech import Line, spoken
from patter.testing.whole_call.actors import Actors
from patter.testing.whole_call.checks import says_all
from patter.testing.whole_call.line import MemoryLine
from patter.testing.whole_call.parking import Switchroom
from patter.testing.whole_call.placing import CALLER, NUMBER, placed
from patter.testing.whole_call.providers import CURRENT_REPLY
from patter.testing.whole_call.script import VoicePlan
from patter.testing.whole_call.understood import Understood
from patter.testing.whole_call.user_code import MisbehavingHooks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from patter.call.record import CallRecord
    from patter.call.session import CallSession
    from patter.providers.llm import Message, Usage
    from patter.testing.virtual_loop import VirtualTimeLoop
    from patter.testing.whole_call.exchange import Exchange
    from patter.testing.whole_call.providers import ScriptedSTT
    from patter.testing.whole_call.script import WholeScript

#: a call that nobody's hang-up ends by then waits for ever, in s
OUTLIVES_S = 40.0
#: what an ended call may still need to let go of everything (LC-03), in s
TEARDOWN_S = 2.0


class PlayedCall(Observer):
    """One call. `play()` it once; then the attributes tell what came of it, with the `record` and the `carrier`.

    Attributes:
        call: the engine's object; None when it was never announced.
        summaries: what `patter_call_ended` got, each time.
        was_draining: whether the agent was saying its last words when the caller's side ended the call.
        over_at: when `patter_call_ended` was called, in s.
        left: what was there still when it should have been gone.
    """

    script: WholeScript

    def __init__(
        self, script: WholeScript, exchange: Exchange, *, trace: bool = False, log: bool = False
    ) -> None:
        super().__init__(script, trace=trace)
        names = sorted(exchange.far_ends)
        self.carrier_name = names[int(script.far_end * len(names))]
        self.far_end = exchange.far_ends[self.carrier_name][1](script.seed)
        self.exchange = exchange
        self._log = log
        self.loop: VirtualTimeLoop
        self.call: Call | None = None
        self.line: MemoryLine | None = None
        self.session: CallSession | None = None
        self.recogniser: ScriptedSTT | None = None
        self.summaries: list[CallSummary] = []
        self.events_of_end = 0
        self.failures: list[CallFailure] = []
        self.usages = 0
        self.was_draining = False
        self.over_at: float | None = None
        self.left: list[str] = []
        #: the tones of the keys that were pressed, and how much of them the carrier was sent
        self.keys = b""
        self.keys_sent = 0
        self.placed_at = 0.0
        self.ended_at = 0.0
        # the providers' books
        self.understood = Understood(has_vad=script.barge_in.has_vad)
        self.stt_connections = 0
        self.stt_frames = 0
        self.open_streams = 0
        self.billed = 0
        self.switchroom = Switchroom()
        self.connections: list[ProviderConnected] = []
        self.timers: list[asyncio.TimerHandle] = []
        self._beside: set[asyncio.Task[Any]] = set()
        self.asked: dict[int, list[str]] = {}
        self.said: dict[int, str] = {}
        self._made: Counter[str] = Counter()
        self._synthesised: Counter[int] = Counter()
        self._source = 0
        self._greeting = -1
        self._must_stop = 0

    @property
    def t(self) -> float:  # type: ignore[override]
        """The loop's time, in s."""
        return self.loop.time()

    # -- the play

    async def play(self, loop: VirtualTimeLoop) -> None:
        """The whole call, from its announcement to its end; its exchange has begun."""
        self.loop = loop
        script = self.script
        self.timers += Actors(self).schedule()
        self.placed_at = self.t
        media = await placed(self, log=self._log)
        if media is not None:
            await asyncio.wait({media}, timeout=max(0.0, script.hangs_up_at - loop.time()) + OUTLIVES_S)
            if not media.done():
                self.record.problems.append("the call waits for ever")
                media.cancel()
        await self._finished()
        for timer in self.timers:
            timer.cancel()
        self.ended_at = loop.time()

    def start(self, body: Coroutine[Any, Any, Any]) -> None:
        """Do something beside the call."""
        task = self.loop.create_task(body, name="beside the call")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _finished(self) -> None:
        """Wait until Patter says that the call is over."""
        line = self.exchange.phone.switchboard.line(self.call.id) if self.call is not None else None
        if line is not None:
            await asyncio.wait({line.done}, timeout=OUTLIVES_S)
        await self.loop.settle()

    async def look_for_leftovers(self) -> None:
        """Note what is left, once all calls of the exchange are over."""
        if self._leftovers():
            await asyncio.sleep(TEARDOWN_S)
        self.left = self._leftovers()

    def _leftovers(self) -> list[str]:
        switchboard, mine = self.exchange.phone.switchboard, asyncio.current_task()
        left = [f"task {task.get_name()}" for task in asyncio.all_tasks() if task is not mine]
        left += [f"a {kind}" for kind, count in sorted(self._made.items()) if count]
        there = {
            "a line at the switchboard": bool(switchboard.lines()),
            "a place": self.exchange.places > 0,
            "a media token": self.exchange.tokens > 0,
            "an active record": bool(self.exchange.phone.calls.active()),
            "a stream of a provider": self.open_streams > 0,
            "the connection of the recogniser": self.recogniser is not None,
            "an entry of a ringing call": len(self.exchange.phone.warming) > 0,
            "the carrier's connection": self.line is not None and self.line.is_open,
            "a timer": self.loop.timers_set > 0,
        }
        return left + [name for name, is_there in there.items() if is_there]

    # -- for the checks

    def log_bytes(self) -> bytes:
        """The event log, what was said and how it ended, as one piece to be hashed."""
        said = [(line.role, line.text) for one in self.summaries for line in one.transcript]
        ends = [(one.outcome.value, one.reason, one.connected) for one in self.summaries]
        return packed(self.record.log) + repr((said, ends, self.stt_frames, self.billed)).encode()

    @property
    def numbers(self) -> tuple[str, str]:
        """Who calls whom."""
        return (NUMBER, CALLER) if self.script.outbound else (CALLER, NUMBER)

    def records(self) -> tuple[CallRecord, ...]:
        """What the registry has."""
        calls = self.exchange.phone.calls
        return (*calls.active(), *calls.finished())

    def gone_by(self, t: float) -> bool:
        """Whether the connection was lost, or closed, by then."""
        return self.line is None or (self.line.gone_at is not None and self.line.gone_at <= t)

    def held_up_between(self, begin: float, end: float) -> bool:
        """Whether nothing could be sent for a while between two moments."""
        frozen = any(since <= end and until >= begin for since, until in self.record.freezes)
        return frozen or self.stalls_between(begin, end)

    def says_all(self, reply: int, lines: list[SpokenLine]) -> bool:
        """Whether those lines are all that a turn had to say."""
        return says_all(self, reply, [word for line in lines for word in line.line.text.split()])

    # -- Patter's side

    def rings(self, call: Call) -> None:
        """The call is announced, or about to be dialled."""
        self.call = call
        self.exchange.calls[call.id] = self
        if self.script.hooks:
            call.register(MisbehavingHooks(self.script.hooks))
        call.on("call_started", self._media_up)
        call.on("failed", self.failures.append)
        call.on("usage", self._count_usage)
        call.on("provider_connected", self.connections.append)
        call.on("call_ended", self._count_end)

    def _count_usage(self, usage: Usage) -> None:
        self.usages += not usage.estimated  # a request that was given up is estimated

    def _count_end(self, _: object) -> None:
        self.events_of_end += 1

    def _media_up(self, _: object) -> None:
        """The session runs: from now on its actions are noted as they are carried out."""
        assert self.call is not None
        line = self.exchange.phone.switchboard.line(self.call.id)
        assert line is not None
        assert line.session is not None
        session: Any = line.session
        self.session, self.machine = session, session._machine
        self.note_cause("started", None)
        carry_out: Callable[[Action], None] = session._carry_out

        def noted(action: Action) -> None:
            self.note_action(action)
            if not isinstance(action, StartReply):
                carry_out(action)
                return
            if action.kind == "greeting":
                self._greets(action.reply)
            token = CURRENT_REPLY.set(action.reply)  # the tasks that make it inherit its number
            try:
                carry_out(action)
            finally:
                CURRENT_REPLY.reset(token)

        session._carry_out = noted

    def _greets(self, reply: int) -> None:
        """The greeting begins: from what was made while it rang, unless the voice is asked for it after all."""
        self._greeting = reply
        for line in self.record.lines:
            if line.rendered:
                line.reply = reply

    def is_over(self, call: Call, summary: CallSummary) -> None:
        """`patter_call_ended` was called."""
        if call is self.call:
            self.summaries.append(summary)
            self.over_at = self.t
            self.note(12, 0, "  over: %s (%s)", summary.reason, summary.outcome.value)

    def keys_pressed(self, digits: str) -> None:
        """The application presses keys, on a carrier that has none."""
        if self.session is not None and not self.session.is_ending:
            self.keys += key_tones(digits, 300, MULAW_8K)

    def note_audio(self, payload: bytes, turn: int | None = None) -> None:
        """The carrier took audio: of the agent's speech, or of keys, which come whole and in order."""
        if self.keys_sent < len(self.keys) and self.keys.startswith(payload, self.keys_sent):
            self.keys_sent += len(payload)
            self.carrier.tones(len(payload), self.t)
            self.note(13, len(payload), "→ keys, %d bytes", len(payload))
            return
        super().note_audio(payload, turn)

    # -- the providers' side

    def opened(self, kind: str) -> None:
        """A provider is being made. Raises `ConfigError` where the script says that it cannot be."""
        if self.script.unmade == kind:
            raise ConfigError(f"the simulated {kind} cannot be made")
        self._made[kind] += 1

    def closed(self, kind: str) -> None:
        """It was closed."""
        self._made[kind] -= 1

    def speech(self, *, began: bool) -> None:
        """The detector is about to tell of an edge of the caller's speech."""
        self.note_cause("speech_started" if began else "speech_ended", None)
        must_stop = self.must_stop() if began else 0
        self.note_speech(began=began)
        self.understood.speech(began=began)
        self.loop.call_soon(self._speech_told, must_stop)

    def _speech_told(self, must_stop: int) -> None:
        if must_stop and all(one.reply != must_stop for one in self.record.cancelled):
            self.record.ignored.append(f"speech at {self.t} did not stop turn {must_stop}")
        if self.cause.startswith("speech"):
            self.cause = "time"

    def told_by_recogniser(self, event: STTEvent) -> None:
        """The recogniser is about to tell of something."""
        if isinstance(event, Final):
            self.note_cause("final", event.text)
            counts = self.understood.final(event.text)
            if counts is not None:
                self.note_final(counts)
        elif isinstance(event, Interim):
            self.note_cause("interim", event.text)
            self.understood.interim(event.text)
        elif isinstance(event, SpeechStarted):
            self.note_cause("speech_started", None)
            self.note_speech(began=True)
            self.understood.speech(began=True)

    def model_asked(self, reply: int, messages: Sequence[Message]) -> int:
        """The model is asked for a reply; returns how often it was."""
        asked = self.asked.setdefault(reply, [])
        asked.append(next((one.content for one in reversed(messages) if one.role == "user"), ""))
        return len(asked) - 1

    def model_said(self, reply: int, token: str) -> None:
        """A piece of it."""
        self.said[reply] = f"{self.said.get(reply, '')} {token}"

    def voice_asked(self, reply: int, text: str) -> tuple[SpokenLine, VoicePlan]:
        """A sentence is to be spoken: where its audio lies, and how it is made."""
        number = self._synthesised[reply]
        self._synthesised[reply] += 1
        if reply == self._greeting:  # what was made of it while it rang is not used
            self.record.lines = [one for one in self.record.lines if not one.rendered]
        plan, mishaps = self.script.replies[reply % 4], self.script.voices[reply % 4]
        sentence = plan.sentences[number] if number < len(plan.sentences) else None
        timed = sentence is not None and sentence.line.timed
        line = SpokenLine(reply, spoken(text, plan.voice, timed=timed), self._source, rendered=reply == 0)
        self._source = line.end
        self.record.lines.append(line)
        if number:  # mishaps befall the first sentence
            mishaps = VoicePlan(chunk=mishaps.chunk)
        if sentence is not None:
            mishaps = replace(mishaps, first_s=sentence.tts_s, gap_s=sentence.gap_s)
        return line, mishaps

    def voice_failed(self, line: SpokenLine, made: int) -> Line:
        """Only a part of a sentence was made, or nothing."""
        whole = line.line
        if made == 0 and line in self.record.lines:
            self.record.lines.remove(line)
        starts = tuple(start for start in whole.starts if start < made)
        was_last = self._source == line.end
        line.line, line.cut = Line(whole.text, made, starts, whole.timed), True
        if was_last:
            self._source = line.end
        return line.line
