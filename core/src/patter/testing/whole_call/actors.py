"""What the caller, the carrier and the application do in a whole call: one method for each event of a script."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from patter.call.call import Call
from patter.call.session_state import State
from patter.errors import ProviderDisconnected
from patter.providers.carrier import CallStatus, StatusReport
from patter.providers.stt import Final, Interim, SpeechStarted, STTEvent
from patter.testing.simulation.record import Quiet
from patter.testing.whole_call.line import ODD_MESSAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from patter.testing.whole_call.played_call import PlayedCall


#: events of which the engine is not told in the same step; a trace shows them when they happen
UNTOLD = frozenset(
    {
        *("freeze", "stall", "drop", "digit", "odd_message", "odd_mark", "recogniser_fails"),
        *("transfer", "keys", "hang_up_by_application"),
    }
)


class Actors:
    """They act on one call."""

    def __init__(self, call: PlayedCall) -> None:
        self._call = call
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(self) -> list[asyncio.TimerHandle]:
        """Set a timer for everything that the script holds."""
        loop, script = self._call.loop, self._call.script
        timers = [loop.call_at(t, self._act, what, argument) for t, what, argument in script.events]
        timers += [loop.call_at(t, self.report, status) for t, status in script.statuses]
        timers.append(loop.call_at(script.hangs_up_at, self.hang_up))
        return timers

    def _act(self, what: str, argument: Any) -> None:
        if what in UNTOLD:
            self._call.note(20, 0, "%s %r", what, argument)
        getattr(self, f"on_{what}")(argument)

    def on_speech_started(self, _: None) -> None:
        """The caller makes a sound; without a detector the recogniser says so."""
        if self._call.line is not None:
            self._call.line.loud = True
        if not self._call.script.barge_in.has_vad:
            self._recognise(SpeechStarted())

    def on_speech_ended(self, _: None) -> None:
        """Silence."""
        if self._call.line is not None:
            self._call.line.loud = False

    def on_interim(self, text: str) -> None:
        """A partial."""
        self._recognise(Interim(text))

    def on_final(self, text: str) -> None:
        """A final."""
        self._recognise(Final(text))

    def on_recogniser_fails(self, how: Literal["ends", "raises"]) -> None:
        """Its connection breaks."""
        self._recognise(None if how == "ends" else ProviderDisconnected("the recogniser broke off"))

    def _recognise(self, event: STTEvent | Exception | None) -> None:
        if self._call.recogniser is not None:
            self._call.recogniser.tell(event)

    def _by_application(self, what: str, argument: Any, act: Callable[[Call], None]) -> None:
        if self._call.call is not None:
            self._call.note_cause(what, argument)
            act(self._call.call)
            self._call.cause = "time"

    def on_interrupt(self, _: None) -> None:
        """The application stops the agent."""
        self._by_application("interrupt", None, Call.interrupt)

    def on_commit_turn(self, _: None) -> None:
        """The application ends the caller's turn."""
        self._by_application("commit_turn", None, Call.commit_turn)

    def on_announce(self, text: str) -> None:
        """The application says something."""
        self._by_application("announce", text, lambda call: call.say(text))

    def on_end_call(self, reason: str) -> None:
        """The application ends the call after what is being said."""
        self._by_application("end_call", reason, lambda call: call.end(reason))

    def on_hang_up_by_application(self, _: None) -> None:
        """The application hangs up."""
        self._begin(lambda call: call.hangup())

    def on_transfer(self, number: str) -> None:
        """The application hands the caller over."""
        self._begin(lambda call: call.transfer(number))

    def on_keys(self, digits: str) -> None:
        """The application presses keys."""

        async def press(call: Call) -> None:
            self._call.note_cause("keys", digits)
            self._call.keys_pressed(digits)
            await call.send_dtmf(digits)
            self._call.cause = "time"

        self._begin(press)

    def _begin(self, body: Callable[[Call], Coroutine[Any, Any, None]]) -> None:
        """The application does something that takes time."""
        if self._call.call is not None:
            self._start(body(self._call.call))

    def _start(self, body: Coroutine[Any, Any, None]) -> None:
        task = self._call.loop.create_task(body, name="application")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def on_digit(self, digit: str) -> None:
        """The caller presses a key."""
        if self._call.line is not None:
            self._call.line.press(digit)

    def on_odd_message(self, number: int) -> None:
        """The carrier sends what nobody understands."""
        if self._call.line is not None:
            self._call.line.send(ODD_MESSAGES[number])

    def on_odd_mark(self, name: str) -> None:
        """A mark comes back that is none of ours, or comes back again."""
        if self._call.line is not None and name not in self._call.line.marks:
            self._call.line.echo(name)

    def on_freeze(self, seconds: float) -> None:
        """The process does nothing for a while."""
        for call in self._call.exchange.playing.values():
            call.record.disturbed = call.record.frozen = True
            call.record.freezes.append((self._call.t, self._call.t + seconds))
        self._call.loop.stand_still(seconds)

    def on_stall(self, seconds: float) -> None:
        """The carrier's socket takes nothing for a while."""
        if self._call.line is not None and not self._call.line.stalled:
            self._call.line.stall(seconds)
            self._call.record.disturbed = True
            self._call.record.stalls.append((self._call.t, self._call.t + seconds))

    def on_drop(self, _: None) -> None:
        """The connection is lost."""
        if self._call.line is not None:
            self._call.line.drop()

    def report(self, status: str) -> None:
        """The carrier reports on the call."""
        self._call.note(21, 0, "the carrier reports: %s", status)
        report = StatusReport(self._call.far_end.carrier_call_id, CallStatus(status))
        self._call.exchange.hosts[self._call.carrier_name].call_status(report)

    def hang_up(self) -> None:
        """The caller's side ends the call."""
        call, ending = self._call, self._call.script.ending
        if call.script.quiet_s and call.session is not None:
            call.record.when_quiet = Quiet(call.machine.state)
        call.was_draining = call.session is not None and call.machine.state is State.DRAINING
        call.note(10, 0, "the caller's side ends it: %s", ending)
        if ending == "application" and call.call is not None and not call.call.ended:
            self.on_hang_up_by_application(None)
        if ending == "drop and status":
            self.report("completed")
        if ending == "shutdown":
            self._start(call.exchange.phone.switchboard.drain(within_s=5.0))
            return
        if call.line is not None and ending in ("stop", "stop and drop"):
            call.line.stop()
        if call.line is not None and ending != "stop":
            call.line.drop()
