"""The bridge between a call and its engine: one session that hears the caller and speaks for the agent.

The engine's responses become agent turns of the session machine, with the playout, pacing and barge-in of every call.
Two tasks: one receives (and makes a lost session anew), one writes what is ordered; audio passes without either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from patter.call.closing import close_provider
from patter.call.first_message import FirstMessageSettings
from patter.call.realtime_events import EngineEvents
from patter.call.realtime_feed import EngineFeed
from patter.call.realtime_greeting import Greeting
from patter.call.realtime_items import CallerItems
from patter.call.realtime_orders import EngineOrders
from patter.call.realtime_responses import BEGIN_S, Request, Responses
from patter.call.realtime_speech import EngineSpeech
from patter.call.realtime_tools import EngineTools
from patter.call.realtime_trace import Tracer
from patter.call.types import TurnReport
from patter.errors import ProviderDisconnected
from patter.providers.llm import Message

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.call.actions import Action, StartReply
    from patter.call.lineup import Lineup
    from patter.call.mouth import SessionMouth
    from patter.call.realtime_machine import RealtimeMachine
    from patter.call.reply_meter import ReplyMeter
    from patter.call.tasks import CallTasks
    from patter.call.types import ToolResult
    from patter.plugins import HookDispatcher
    from patter.providers.realtime import RealtimeEngine

logger = logging.getLogger(__name__)

#: a session is made anew so long after the first, second, ... loss without a response in between, in s
RENEW_AFTER_S = (0.0, 0.5, 1.0, 2.0, 4.0)
#: an event with more audio than this lets others go first, in ms
LONG_EVENT_MS = 400


class EngineCall(Protocol):
    """What the session gives to the bridge."""

    @property
    def is_ending(self) -> bool:
        """Whether the call is over."""

    def now(self) -> float:
        """The call's clock, in s."""

    def apply(self, actions: Iterable[Action]) -> None:
        """Carry out what the machine decided."""

    def speak(self, action: StartReply, moments: ReplyMeter) -> None:
        """Make an agent turn with the call's own model and voice."""


class EngineBridge:
    """One call's engine."""

    def __init__(
        self,
        call: EngineCall,
        machine: RealtimeMachine,
        lineup: Lineup,
        mouth: SessionMouth,
        hooks: HookDispatcher,
    ) -> None:
        self.call = call
        self.machine = machine
        self.lineup = lineup
        self.mouth = mouth
        self.flags = lineup.engine_flags
        self.now = call.now
        self.emit = mouth.emit
        self.responses = Responses()
        self.items = CallerItems()
        machine.unanswered = self.items.untaken
        self.speech = EngineSpeech(machine, mouth, self._gives)
        self.tools = EngineTools(self, mouth, lambda: lineup.voice.tools, hooks)
        agent = lineup.agent
        self.trace = Tracer(lineup.call_id, call.now, mouth.emit if agent.protocol_trace else None)
        self.orders = EngineOrders(self.responses, self.flags, self.trace, call.now)
        self.greeting: Greeting | None = None
        if machine.settings.first_message:
            self.greeting = Greeting(self, self._first_message(machine.settings.first_message))
        self.feed: EngineFeed | None = None
        self.begun_by_engine = False
        self._tasks: CallTasks | None = None
        self._events = EngineEvents(self)
        self._has_talked = False
        self._failures = 0
        self._sessions = 0
        #: the agent turn that goes on with a response the engine begins by itself
        self.continues: int | None = None
        self._continues_until = 0.0
        self._turn_session = 0
        self._gives_format = machine.playout.format
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def _first_message(self, text: str) -> FirstMessageSettings:
        agent, flags = self.lineup.agent, self.flags
        return FirstMessageSettings(
            text,
            guards=flags.ack,
            requests=flags.client_interrupt,
            native=flags.native_greeting,
            waits_for_ack=agent.greeting_ack == "wait",
            ack_timeout_s=agent.greeting_ack_timeout_ms / 1000,
            retries=agent.greeting_retries,
            has_fallback=self.lineup.voice.tts is not None,
        )

    def open(self, heard: AudioFormat) -> EngineFeed:
        """Where the caller's audio goes, which comes as `heard`."""
        self.feed = self.orders.feed = EngineFeed(heard, self.lineup.call_id, self._broken)
        return self.feed

    def _broken(self, engine: RealtimeEngine) -> None:
        """It takes no audio: close it, of which its receiver learns."""
        self.start_task("engine closing", close_provider("engine", engine))

    def run_in(self, tasks: CallTasks) -> None:
        """The call begins."""
        assert self.feed is not None
        self._tasks = tasks
        tasks.start("engine", self._run())
        tasks.start("engine sender", self.feed.run())

    def start_task(self, name: str, body: Coroutine[Any, Any, None]) -> None:
        """Run beside the media until it returns."""
        assert self._tasks is not None
        self._tasks.start(name, body)

    def cancel_task(self, name: str) -> None:
        """Cancel a task; harmless when it has ended."""
        if self._tasks is not None:
            self._tasks.cancel(name)

    # -- the session with the engine

    async def _run(self) -> None:
        """The receiving task: connect, receive, and again when the session is lost, until that is given up."""
        while True:
            error = await self._converse()
            was_connected, self.orders.engine = self.orders.engine is not None, None
            if self.call.is_ending:
                return
            self._lost(was_connected)
            if not self._may_renew() or not await self.lineup.heal("realtime", error, spoken=False):
                self.lineup.engine_is_lost()
                return
            await asyncio.sleep(RENEW_AFTER_S[min(self._failures, len(RENEW_AFTER_S) - 1)])
            self._failures += 1
            await self.lineup.rebuild("realtime")

    async def _converse(self) -> Exception:
        """One session, from its connection to its end; returns why it ended."""
        try:
            unanswered = [Message("user", text) for text in self.items.untaken()]
            history: Sequence[Message] = (*self.machine.conversation.history, *unanswered)
            if self.greeting is not None:
                history = self.greeting.remembered(history)
            engine = await self.lineup.connect_engine(history)
            self._connected(engine)
            async for event in engine.receive():
                if event.kind == "closed":
                    return ProviderDisconnected(
                        f"the engine closed the session: {event.detail or 'no reason'}"
                    )
                self._events.take(event)
                if len(event.audio) > self._gives().bytes_for_ms(LONG_EVENT_MS):
                    await asyncio.sleep(0)
        except Exception as failure:  # whatever a plugin raises is healed alike (LC-12)
            return failure
        return ProviderDisconnected("the engine ended its session")

    def _connected(self, engine: RealtimeEngine) -> None:
        assert self.feed is not None
        self.orders.engine = engine
        self._sessions += 1
        takes, self._gives_format = engine.audio_formats()
        self.feed.attach(engine, takes)
        if self.greeting is None:
            self.feed.release()
        else:
            self.greeting.connected()
        self.orders.ask_next()
        if self._sessions > 1:
            self._events.answer_what_was_lost()
        self.arm()

    def _lost(self, was_connected: bool) -> None:
        """The session is gone, or could not be made."""
        assert self.feed is not None
        self.feed.detach()
        if self.feed.repeats:
            self.items.said_again()
        self.responses.lost()
        greets = self.greeting is not None and self.greeting.protects
        if self.greeting is not None and was_connected:
            self.greeting.lost()
        elif self.greeting is not None and (self._sessions or self._failures):
            self.greeting.unreachable()  # one new connection was made, in vain (RT-11)
        reply = self.machine.reply
        if reply is not None and not greets and not self._is_made(reply.reply):
            self.finish_turn(reply.reply)
        self.arm()

    def _may_renew(self) -> bool:
        """Whether a lost session can be made anew: with its history, or while there is none."""
        return self.flags.reconnect or not self._has_talked

    def recovered(self) -> None:
        """The engine has made a response: its failures so far do not count any more."""
        self._failures = 0
        self.lineup.recovered("realtime")

    def heard(self) -> None:
        """The engine shows that it has heard the caller."""
        if self.feed is not None:
            self.feed.heard()

    def _gives(self) -> AudioFormat:
        return self._gives_format

    def format_may_have_changed(self) -> None:
        """An acknowledgement says how the engine takes and gives audio (RT-19)."""
        engine = self.orders.engine
        if engine is not None and self.feed is not None:
            takes, self._gives_format = engine.audio_formats()
            self.feed.takes(takes)

    # -- what the session machine asks for

    def start(self, action: StartReply, moments: ReplyMeter) -> None:
        """Make an agent turn; one that the engine began by itself is made already."""
        self.speech.moments = moments
        self._turn_begins()
        if self.begun_by_engine:
            return
        if action.kind == "keys":
            self.call.speak(action, moments)
        elif action.kind == "greeting" and self.greeting is not None:
            self.greeting.start(action.reply)
        elif action.user_turn is not None:
            self.orders.request(Request(action.reply))
        elif self.flags.client_interrupt:
            self.orders.request(Request(action.reply, action.text))
        elif self.lineup.voice.tts is not None:
            self.call.speak(action, moments)
            self.orders.remember(action.text)
        else:
            logger.warning("the engine cannot be asked to say a text, and there is no voice: %r", action.text)
            self.finish_turn(action.reply)
        self.arm()

    def _turn_begins(self) -> None:
        """An agent turn begins."""
        self.continues = None
        self.tools.rounds = self.speech.tool_rounds = 0
        self._turn_session = self._sessions

    def cancel(self, turn: int) -> None:
        """An agent turn was given up: stop making it, and cut it where the caller stopped hearing it (RT-17)."""
        responses = [*self.responses.of_turn(turn), *self.responses.waiting()]
        self.tools.cancel(turn)
        self.responses.give_up(turn)
        for response in responses:
            response.dropped = True
            if not response.done and not response.stopped_by_engine:
                self.orders.cancel_response(response.response_id)
        for item, heard_ms in self.speech.cut(responses):
            self.orders.truncate(item, heard_ms)
        self.responses.forget(turn)
        self.arm()

    def observe(self, event: str, data: object) -> None:
        """The machine told the call's observers something: here, that an agent turn has come to its end."""
        if isinstance(data, TurnReport):
            self._turn_over(data)
        elif event == "keys_pressed":
            self._events.next_waiting()
            self.arm()

    def _turn_over(self, report: TurnReport) -> None:
        if self.greeting is not None and report.turn == self.greeting.turn:
            self.responses.forget_greeting()
            self.greeting.turn_over(report)
        else:
            self._has_talked = True
            if self._turn_session != self._sessions and report.heard_text:
                self.orders.remember(report.heard_text)  # the session it was said in is gone
        self.responses.forget(report.turn)
        if not report.interrupted:
            self._events.next_waiting()
        self.arm()

    def under_way(self) -> tuple[str, ...]:
        """The agent turn that is being made, as the name of a task (see `CallWatchdog`)."""
        reply = self.machine.reply
        if reply is None:
            return ()
        greets = self.greeting is not None and self.greeting.turn == reply.reply and self.greeting.protects
        return (f"reply {reply.reply}",) if greets or self._is_made(reply.reply) else ()

    def _is_made(self, turn: int) -> bool:
        """Whether more of an agent turn is to come."""
        return self.continues == turn or self.tools.running == turn or self.responses.expects(turn)

    # -- the greeting's

    def begin_again(self) -> None:
        """Empty playout and carrier; the agent turn starts anew."""
        self.call.apply(self.machine.begin_again(self.now()))

    def finish_turn(self, turn: int) -> None:
        """The agent turn has all its audio."""
        self.call.apply(self.machine.reply_made(turn, self.now()))

    def speak(self, action: StartReply) -> None:
        """Say a text with the fallback voice."""
        moments = self.speech.moments
        assert moments is not None
        self.call.speak(action, moments)

    # -- tools

    def reassure(self, turn: int, message: str) -> None:
        """Have the agent say this while the tools run (RT-21)."""
        if self.flags.client_interrupt:
            self.orders.request(Request(turn, message))

    def tools_finished(self, turn: int, results: Sequence[ToolResult]) -> None:
        """Hand over all results, then have the agent go on with its turn (RT-20)."""
        self.speech.tool_rounds = self.tools.rounds
        self.orders.send_results(results)
        reply = self.machine.reply
        if reply is None or reply.reply != turn:
            return
        if self.mouth.ending:  # the agent has said goodbye
            self.finish_turn(turn)
        elif self.flags.client_interrupt:
            self.orders.request(Request(turn))
        else:
            self.continues, self._continues_until = turn, self.now() + BEGIN_S
        self.arm()

    def late_results(self, results: Sequence[ToolResult]) -> None:
        """Results of tools whose turn was given up (TL-08): the engine learns of them, and is asked for nothing."""
        self.orders.send_results(results)

    # -- time

    def arm(self) -> None:
        """Look again when something may have to be done."""
        moments = [self.responses.deadline(), None if self.machine.engine_decides else self.items.deadline()]
        if self.greeting is not None:
            moments.append(self.greeting.deadline())
        if self.continues is not None:
            moments.append(self._continues_until)
        due = min((one for one in moments if one is not None), default=None)
        if due is None or self.call.is_ending or (self._timer is not None and self._due <= due):
            return  # a look that comes too early does no harm
        self.close()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - self.now()), self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        if self.call.is_ending:
            return
        if self.greeting is not None:
            self.greeting.time_passed()
        if self.continues is not None and self.now() >= self._continues_until:
            turn, self.continues = self.continues, None
            self.finish_turn(turn)
        self._events.time_passed(self.now())
        self.arm()

    def close(self) -> None:
        """Look no more: the call is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
