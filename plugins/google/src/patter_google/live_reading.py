"""The vendor's messages as Patter's events: pure, driven by the caller's clock.

Audio comes faster than it plays, and until it would have been played the vendor may still call its turn interrupted. So a
response is open here until then, and its audio is passed on a little ahead of its time: a response neither looks silent
before it is over, nor has more of it to be taken back than was sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from patter.audio.formats import PCM16_24K
from patter.providers.llm import ToolCall
from patter.providers.paced_audio import PacedAudio
from patter.providers.realtime import RealtimeEvent, ResponseStatus
from patter.providers.vendor_json import LONGEST_TEXT, as_arguments, part, text
from patter_google import live_messages as messages
from patter_google.live_caller import CallerText
from patter_google.live_usage import usage_of

#: a response that is complete is over so long before its last audio was played, in s: core has to play that still
LEAD_S: Final = 0.1
#: a response that is not called complete is over when nothing of it has come for so long after its audio, in s
QUIET_S: Final = 3.0
#: words that came before the audio they belong to are kept so long, in s
EARLY_TEXT_S: Final = 2.0
#: function calls that wait for their results; the oldest is forgotten beyond this
MOST_CALLS: Final = 64
#: what a session says of its end without a time, in s
_LEAVE_S: Final = 5.0
#: reasons for the end of a turn that are none to worry about
_USUAL_ENDS: Final = frozenset({"", "TURN_COMPLETE_REASON_UNSPECIFIED", "NEED_MORE_INPUT"})


@dataclass(slots=True)
class _Response:
    id: str
    said: str = ""
    #: nothing more of it comes
    complete: bool = False
    reason: str = ""


class LiveReader:
    """One session, over all its connections. Times are seconds of one clock that never goes back.

    `name` begins the ids of its responses, which have to differ from those of every other session of a call.

    Attributes:
        calls: name by id of the function calls that wait for a result.
        handle: what the session is resumed with; "" while it cannot be.
        leave_by: when the vendor closes the connection; None while it has not said so.
        continues: the model was given results, and goes on by itself.
        turn_runs: the model has begun a turn that the vendor has not ended.
    """

    def __init__(self, name: str = "response") -> None:
        self.calls: dict[str, str] = {}
        self.handle = ""
        self.leave_by: float | None = None
        self.continues = False
        self.turn_runs = False
        self._name = name
        self._caller = CallerText(name)
        self._open: _Response | None = None
        self._responses = 0
        self._muted = False
        self._early_text = ""
        self._early_at = 0.0
        self._paced = PacedAudio(PCM16_24K, 0.0)

    # -- what the engine asks

    @property
    def is_idle(self) -> bool:
        """Whether neither a response nor a function call is under way."""
        return self._open is None and not self.turn_runs and not self.calls

    @property
    def deadline(self) -> float | None:
        """When `expire()` is to be called; None for never."""
        moments = [self._caller.deadline]
        if self._open is not None:
            moments.append(self._over_at())
        moments.append(self._paced.next_at)
        return min((one for one in moments if one is not None), default=None)

    def _over_at(self) -> float:
        assert self._open is not None
        return self._paced.plays_until + (-LEAD_S if self._open.complete else QUIET_S)

    def give_up(self, response_id: str, now: float) -> list[RealtimeEvent]:
        """We want no more of that response, whatever still comes of it."""
        if self._open is None or self._open.id != response_id:
            return []
        self._muted = self.turn_runs and not self._open.complete
        return list(self._done("cancelled", now, "client_cancelled"))

    def empty(self) -> list[RealtimeEvent]:
        """A response without anything: what was asked for cannot be had now."""
        response_id = self._next_id()
        return [
            RealtimeEvent("response_started", response_id=response_id),
            RealtimeEvent("response_done", response_id=response_id, status="completed"),
        ]

    # -- the clock

    def expire(self, now: float) -> Iterator[RealtimeEvent]:
        """Pass on the audio whose time has come, and end what is over."""
        yield from self._caller.expire(now)
        for piece in self._paced.due(now):
            yield self._heard(piece)
        response = self._open
        if response is not None and now >= self._over_at():
            usual = response.reason in _USUAL_ENDS
            yield from self._done("completed" if usual else "incomplete", now, response.reason)

    def end(self, now: float) -> Iterator[RealtimeEvent]:
        """The connection is lost. What came is passed on; a response that was under way is not over by that."""
        yield from self._caller.settle(now)
        for piece in self._paced.rest():
            yield self._heard(piece)

    # -- messages

    def read(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        """The events of one message, which may say several things at once; none for one that says nothing to Patter."""
        if "usageMetadata" in message:
            usage = usage_of(part(message, "usageMetadata"))
            yield RealtimeEvent("usage", usage=usage, response_id=self._open.id if self._open else None)
        if "sessionResumptionUpdate" in message:
            self._resumable(part(message, "sessionResumptionUpdate"))
        if isinstance(message.get("goAway"), dict) and self.leave_by is None:
            self.leave_by = now + messages.seconds(message["goAway"].get("timeLeft"), _LEAVE_S)
        yield from self._content(part(message, "serverContent"), now)
        calls = messages.parts(part(message, "toolCall"), "functionCalls")
        if calls:
            yield from self._function_calls(calls, now)
        ids = part(message, "toolCallCancellation").get("ids")
        for call_id in ids if isinstance(ids, list) else ():
            if isinstance(call_id, str):
                self.calls.pop(call_id, None)

    def _resumable(self, update: Mapping[str, Any]) -> None:
        handle = text(update, "newHandle", messages.LONGEST_HANDLE)
        if handle and update.get("resumable") is True:
            self.handle = handle

    def _content(self, content: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        yield from self._caller.read(
            part(content, "inputTranscription"), now, answered=self._open is not None
        )
        if content.get("interrupted") is True:
            yield from self._interrupted(now)
        else:
            yield from self._model_turn(content, now)
        complete = content.get("turnComplete") is True
        if complete:
            self.turn_runs = self._muted = False
        if self._open is not None and (complete or content.get("generationComplete") is True):
            self._open.complete = True
            self._open.reason = self._open.reason or text(content, "turnCompleteReason", 100)
            yield from self.expire(now)

    def _model_turn(self, content: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        turn = messages.parts(part(content, "modelTurn"), "parts")
        words = text(part(content, "outputTranscription"), "text")
        if turn:
            self.turn_runs = True
        if self._muted:
            return
        for one in turn:
            if one.get("thought") is not True and "inlineData" in one:
                yield from self._audio(messages.spoken(part(one, "inlineData")), now)
        if words:
            yield from self._said(words, now)

    def _audio(self, audio: bytes, now: float) -> Iterator[RealtimeEvent]:
        """Half a sample waits for the other half."""
        audio = self._paced.whole(audio)
        if not audio:
            return
        yield from self._begin(now)
        self._paced.add(audio, now)
        yield from self.expire(now)

    def _said(self, words: str, now: float) -> Iterator[RealtimeEvent]:
        """Words of the agent; those that come before their audio wait for it, those that come too late go with nothing."""
        response = self._open
        if response is None:
            self._early_text = (self._early_text + words)[:LONGEST_TEXT]
            self._early_at = now
            return
        response.said = (response.said + words)[:LONGEST_TEXT]
        yield RealtimeEvent("transcript_output", text=words, response_id=response.id, item_id=response.id)

    def _interrupted(self, now: float) -> Iterator[RealtimeEvent]:
        self._muted = False
        if self._open is not None:
            yield RealtimeEvent("interrupted", response_id=self._open.id, detail="interrupted")
            yield from self._done("cancelled", now, "interrupted")
        self._early_text = ""

    def _function_calls(self, calls: list[Mapping[str, Any]], now: float) -> Iterator[RealtimeEvent]:
        """They end the response: the model waits for the results, and what it says then is a response of its own."""
        found: list[ToolCall] = []
        for one in calls:
            call_id = text(one, "id", messages.LONGEST_NAME)
            name = text(one, "name", messages.LONGEST_NAME)
            if call_id and name and call_id not in self.calls and len(self.calls) < MOST_CALLS:
                self.calls[call_id] = name
                found.append(ToolCall(call_id, name, as_arguments(one.get("args"))))
        self.turn_runs = True
        if self._muted:
            for call in found:
                del self.calls[call.id]
            return
        if not found:
            return
        yield from self._begin(now)
        for call in found:
            assert self._open is not None
            yield RealtimeEvent("function_call", call=call, response_id=self._open.id)
        yield from self._done("completed", now)

    # -- responses

    def _next_id(self) -> str:
        self._responses += 1
        return f"{self._name}-{self._responses}"

    def _begin(self, now: float) -> Iterator[RealtimeEvent]:
        """A response begins with its first audio or call, unless it has begun; the caller's words come before it."""
        response = self._open
        if response is not None and not response.complete:
            return
        if response is not None:
            yield from self._done("completed", now)
        yield from self._caller.settle(now)
        self.continues = False
        response = self._open = _Response(self._next_id())
        self._paced.plays_until = now
        yield RealtimeEvent("response_started", response_id=response.id, item_id=response.id)
        words, self._early_text = self._early_text, ""
        if words and now - self._early_at <= EARLY_TEXT_S:
            yield from self._said(words, now)

    def _heard(self, audio: bytes) -> RealtimeEvent:
        assert self._open is not None
        return RealtimeEvent("audio", audio=audio, response_id=self._open.id, item_id=self._open.id)

    def _done(self, status: ResponseStatus, now: float, detail: str = "") -> Iterator[RealtimeEvent]:
        if self._open is None:
            return
        for piece in self._paced.rest():
            if status != "cancelled":
                yield self._heard(piece)
        response, self._open = self._open, None
        self._paced.response_over()
        self._paced.plays_until = now
        if response.said.strip():
            yield RealtimeEvent(
                "transcript_output",
                text=response.said.strip(),
                final=True,
                response_id=response.id,
                item_id=response.id,
            )
        detail = "" if detail in _USUAL_ENDS else detail
        yield RealtimeEvent("response_done", response_id=response.id, status=status, detail=detail)
