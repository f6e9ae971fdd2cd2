"""What an engine says, and what becomes of it: each event goes to the machines in the step in which it arrives."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from patter.call.realtime_responses import MOST_CALLS, Response
from patter.call.session_state import State
from patter.errors import ProviderError, ProviderTimeout
from patter.providers.realtime import RealtimeEvent
from patter.providers.stt import Final

if TYPE_CHECKING:
    from patter.call.realtime_bridge import EngineBridge
    from patter.providers.realtime import ResponseStatus

logger = logging.getLogger(__name__)

#: orders whose refusal changes nothing: what they were about is over already
HARMLESS = ("cancel", "truncate")


class EngineEvents:
    """Takes the events of one call's engine."""

    def __init__(self, bridge: EngineBridge) -> None:
        self._bridge = bridge
        self._machine = bridge.machine
        self._handlers = {
            "audio": self._audio,
            "transcript_input": self._caller_text,
            "transcript_output": self._agent_text,
            "function_call": self._function_call,
            "speech_started": self._speech_started,
            "speech_stopped": self._speech_stopped,
            "session_ready": self._session_ready,
            "response_started": self._response_started,
            "response_done": self._response_done,
            "interrupted": self._interrupted,
            "usage": self._usage,
            "error": self._error,
        }

    def take(self, event: RealtimeEvent) -> None:
        """An event of the engine; one of a kind that is not known is dropped."""
        handler = self._handlers.get(event.kind)
        if handler is not None:
            handler(event)
            self._bridge.arm()

    @property
    def _protects(self) -> bool:
        greeting = self._bridge.greeting
        return greeting is not None and greeting.protects

    # -- the caller

    def _speech_started(self, event: RealtimeEvent) -> None:
        bridge, t = self._bridge, self._bridge.now()
        if self._protects:  # it has heard nothing of the caller, and must not stop its own greeting (RT-06)
            bridge.trace("speech_started_while_protected")
            return
        bridge.items.started(event.item_id, t)
        bridge.call.apply(self._machine.speech_started(t))

    def _speech_stopped(self, event: RealtimeEvent) -> None:
        bridge, t = self._bridge, self._bridge.now()
        if self._protects:
            return
        bridge.items.stopped(event.item_id, t)
        bridge.call.apply(self._machine.speech_ended(t))

    def _caller_text(self, event: RealtimeEvent) -> None:
        bridge, machine, t = self._bridge, self._machine, self._bridge.now()
        bridge.heard()
        if not event.final:
            text = bridge.items.piece(event.item_id, event.text, t)
            bridge.call.apply(machine.interim(text, t))
            return
        late = bridge.items.was_given(event.item_id)
        turn = bridge.items.final(event.item_id, event.text, t)
        if machine.engine_decides:
            bridge.call.apply(machine.caller_said(event.text.strip(), t))
            if turn is not None:
                machine.turn_text(turn, bridge.items.text_of(turn), t)
        elif late and event.text.strip():
            machine.turns.hold(event.text.strip(), triggers=False)  # it was answered unread
        else:
            self._commit(t)

    def _commit(self, t: float) -> None:
        """What the caller said, in the order of speech (RT-16), to the machine that decides about turns (RT-24)."""
        call, machine = self._bridge.call, self._machine
        for text in self._bridge.items.ready(t):
            if text is None:
                call.apply(machine.answers("", t))
            else:
                call.apply(machine.final(Final(text), t))

    # -- the agent

    def _response_started(self, event: RealtimeEvent) -> None:
        response = self._response(event, announced=True)
        if response is not None:
            response.announced = True

    def _response(self, event: RealtimeEvent, *, announced: bool = False) -> Response | None:
        """The response that an event belongs to, which may begin with it; None for one of which nothing is wanted."""
        response = self._bridge.responses.of(event.response_id, self._bridge.now(), new=announced)
        if response is not None and not response.begun:
            response.begun = True
            self._begins(response)
        return response

    def _begins(self, response: Response) -> None:
        bridge = self._bridge
        if response.dropped:
            bridge.orders.cancel_response(response.response_id)
        elif response.greeting:
            assert bridge.greeting is not None
            bridge.greeting.started(response)
        elif response.turn is not None or self._is_native_greeting(response):
            pass
        elif self._protects:
            response.dropped = (
                True  # it has heard nothing to answer: an attempt to greet that was given up begins late
            )
            bridge.orders.cancel_response(response.response_id)
        else:
            self._give_floor(response)

    def _is_native_greeting(self, response: Response) -> bool:
        """Whether an engine that greets by itself does so now (RT-23)."""
        greeting = self._bridge.greeting
        if greeting is None or not self._bridge.flags.native_greeting or not greeting.is_made:
            return False
        response.turn, response.greeting, response.text = greeting.turn, True, greeting.text
        greeting.started(response)
        return True

    def _give_floor(self, response: Response) -> None:
        """A response that the engine begins by itself becomes an agent turn, once the agent has nothing else to say."""
        bridge, machine, t = self._bridge, self._machine, self._bridge.now()
        bridge.heard()
        if machine.state in (State.IDLE, State.DRAINING, State.ENDED):
            response.dropped = True
            bridge.orders.cancel_response(response.response_id)
            return
        reply = machine.reply
        if reply is not None:
            if bridge.continues == reply.reply:
                response.turn, bridge.continues = reply.reply, None
            return
        turn = machine.turns.count + 1
        answers = bridge.items.take(turn)
        if not answers and not bridge.flags.turn_events:
            bridge.items.expect(turn)
            answers = True
        text, awaited = bridge.items.text_of(turn), bridge.items.is_awaited(turn)
        bridge.begun_by_engine = True
        bridge.call.apply(machine.response_began(text, t, answers=answers, awaited=awaited))
        bridge.begun_by_engine = False
        assert machine.reply is not None
        response.turn = machine.reply.reply
        waiting, response.waiting = response.waiting, []
        for event in waiting:
            self._of_turn(response, event)

    def answer_what_was_lost(self) -> None:
        """What the caller said to a session that was lost before it answered is in the history of this one."""
        bridge, machine, t = self._bridge, self._machine, self._bridge.now()
        if not (bridge.items.untaken() and bridge.flags.client_interrupt and machine.engine_decides):
            return
        if machine.state is State.LISTENING:
            turn = machine.turns.count + 1
            bridge.items.take(turn)
            bridge.call.apply(machine.answers(bridge.items.text_of(turn), t))

    def next_waiting(self) -> None:
        """The agent has nothing to say: a response that waited for that is heard now."""
        if self._machine.reply is not None:
            return
        for response in self._bridge.responses.waiting():
            self._give_floor(response)
            return

    def _audio(self, event: RealtimeEvent) -> None:
        self._deliver(event)

    def _agent_text(self, event: RealtimeEvent) -> None:
        self._deliver(event)

    def _function_call(self, event: RealtimeEvent) -> None:
        response = self._response(event)
        if response is not None and event.call is not None and len(response.calls) < MOST_CALLS:
            response.calls.append(event.call)

    def _deliver(self, event: RealtimeEvent) -> None:
        response = self._response(event)
        if response is None or response.dropped:
            return
        if response.turn is None:
            response.waiting.append(event)
        else:
            self._of_turn(response, event)

    def _of_turn(self, response: Response, event: RealtimeEvent) -> None:
        """An event of a response that has the floor."""
        bridge = self._bridge
        if response.dropped:
            return
        if event.kind == "transcript_output":
            bridge.speech.text(response, event)
        elif event.kind == "audio" and event.audio:
            if response.greeting and bridge.greeting is not None:
                bridge.greeting.audio(response)
            if not bridge.speech.audio(response, event):
                response.dropped = True
        elif event.kind == "response_done":
            self._complete(response, event)

    def _response_done(self, event: RealtimeEvent) -> None:
        bridge = self._bridge
        bridge.recovered()
        if bridge.responses.known(event.response_id) is None and bridge.responses.asked is None:
            return  # of one that is over, or never began
        response = self._response(event)
        if response is not None:
            self._over(response, event)

    def _over(self, response: Response, event: RealtimeEvent) -> None:
        """Nothing more of a response comes."""
        bridge = self._bridge
        bridge.responses.over(response)
        if response.greeting and not response.dropped:
            assert bridge.greeting is not None
            bridge.speech.finish(response, whole=event.status == "completed")
            if event.status == "cancelled":
                bridge.trace("cancelled", {"protected": self._protects, "by": event.detail})
            bridge.greeting.done(response, event)
        elif response.turn is None and not response.dropped:
            response.waiting.append(event)
        else:
            self._of_turn(response, event)
        bridge.orders.ask_next()

    def _complete(self, response: Response, event: RealtimeEvent) -> None:
        """All of a response is here."""
        bridge, turn = self._bridge, response.turn
        assert turn is not None
        bridge.speech.finish(response, whole=event.status == "completed")
        if event.status == "cancelled":
            bridge.trace("cancelled", {"protected": False, "by": event.detail})
            self._stopped(response)
            return
        if event.status == "failed":
            bridge.lineup.engine_failed(ProviderError(f"a response failed: {event.detail or 'no reason'}"))
        if response.calls:
            bridge.tools.start(turn, response.calls)
        elif bridge.tools.running != turn and not bridge.responses.expects(turn):
            bridge.finish_turn(turn)

    def _interrupted(self, event: RealtimeEvent) -> None:
        bridge = self._bridge
        response = bridge.responses.known(event.response_id)
        if response is None or response.dropped:
            return
        if response.greeting:
            assert bridge.greeting is not None
            bridge.greeting.cancelled(response, event.detail)
        else:
            self._stopped(response)

    def _stopped(self, response: Response) -> None:
        """The engine stopped a response by itself, which is followed at once (RT-17)."""
        bridge, machine = self._bridge, self._machine
        response.stopped_by_engine = True
        if response.turn is None:
            response.dropped = True
        elif machine.reply is not None and machine.reply.reply == response.turn:
            bridge.call.apply(machine.engine_interrupted(bridge.now()))

    # -- the rest

    def _session_ready(self, event: RealtimeEvent) -> None:
        bridge = self._bridge
        bridge.format_may_have_changed()
        if event.echo is None:
            return
        bridge.trace("turn_detection", event.echo.values)
        if bridge.greeting is not None:
            bridge.greeting.echo(event.echo)

    def _usage(self, event: RealtimeEvent) -> None:
        if event.usage is not None:
            self._bridge.emit("realtime_usage", event.usage)

    def _error(self, event: RealtimeEvent) -> None:
        bridge = self._bridge
        if event.request == "guard" and bridge.greeting is not None:
            bridge.greeting.refused(event)
        elif event.request == "response":
            self._not_asked(event)
        elif event.request in HARMLESS:
            logger.debug("the engine refused a %s: %s", event.request, event.detail)
        else:
            about = f"{event.detail} {event.parameter}".strip() or "no reason"
            bridge.lineup.engine_failed(ProviderError(f"the engine reports an error: {about}"))

    def _not_asked(self, event: RealtimeEvent) -> None:
        """The engine refused to begin a response."""
        bridge = self._bridge
        request = bridge.responses.refused()
        if request is None or request.cancelled:
            bridge.orders.ask_next()
        elif request.greeting:
            assert bridge.greeting is not None
            bridge.greeting.refused(event)
        elif bridge.responses.is_busy and not request.again:
            request.again = True
            bridge.responses.next = bridge.responses.next or request
        else:
            bridge.lineup.engine_failed(ProviderError(f"it refused to answer: {event.detail or 'no reason'}"))
            bridge.finish_turn(request.turn)

    def _ended_unsaid(self, response: Response) -> None:
        """A response whose end does not come: it was cancelled, it has stalled, or the engine tells of no ends."""
        bridge, status = self._bridge, "completed"
        if response.cancelled_at is not None:
            status = "cancelled"
        elif response.response_id is not None or response.announced:
            status = "incomplete"
            bridge.lineup.engine_failed(ProviderTimeout("nothing more came of a response"))
            bridge.orders.cancel_response(response.response_id)
        self._over(response, RealtimeEvent("response_done", status=cast("ResponseStatus", status)))

    def time_passed(self, t: float) -> None:
        """Look at the clock."""
        bridge = self._bridge
        if not self._machine.engine_decides:
            self._commit(t)
        for response in bridge.responses.overdue(t):
            self._ended_unsaid(response)
        request = bridge.responses.unanswered(t)
        if request is not None and not request.cancelled and not request.greeting:
            bridge.lineup.engine_failed(ProviderTimeout("it did not begin to answer in time"))
            bridge.finish_turn(request.turn)
        if request is not None:
            bridge.orders.ask_next()
