"""The vendor's messages as Patter's events: pure, driven by the caller's clock.

The classic protocol does not say when a response ends, only when one is interrupted. A response is open here from its
first text or audio until all of its audio would have been played if it had been played as it came: that long the vendor
itself takes it for speaking, and may interrupt it. Audio comes much faster than it plays; it is passed on a little ahead
of its time, so that a response does not look silent before it is over.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.providers.llm import ToolCall
from patter.providers.realtime import RealtimeEvent, RealtimeUsage, ResponseStatus
from patter_elevenlabs.convai_messages import LONGEST_NAME, as_arguments, audio_of, code, number, part, text

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.realtime import RealtimeSession

logger = logging.getLogger(__name__)

#: what an agent says later than this, in s, is no greeting
GREETING_S: Final = 3.0
#: a response goes on, though all of its audio has been played, while its last audio is not older than this, in s
QUIET_S: Final = 0.7
#: how long a response may be nothing but text, in s; longer than core waits for a greeting (RT-22)
TEXT_ALONE_S: Final = 5.0
#: the longest piece of audio that is passed on at once, in ms
SLICE_MS: Final = 500
#: audio is passed on so long before it is to be played, in s
AHEAD_S: Final = 2.0
#: silence that is put behind audio in another rate than the carrier's, or its last samples would wait in the resampler
#: until the response is over, in ms
PAD_MS: Final = 40
#: so long before the audio ends, in s, and so long after the last of it came
PAD_S: Final = 0.1
PAUSE_S: Final = 0.2
#: audio that is kept back; beyond this it is passed on early, in s
MOST_KEPT_S: Final = 120.0
#: tool calls that wait for their results; the oldest is forgotten beyond this
MOST_CALLS: Final = 64

_END_CALL: Final = "end_call"
_Reader = Callable[[Mapping[str, Any], float], Iterable[RealtimeEvent]]


@dataclass(slots=True)
class _Response:
    id: str
    begun: float
    has_audio: bool = False
    #: its audio has silence behind it
    padded: bool = False
    text_id: int | None = None
    has_text: bool = False
    #: the vendor says that nothing more comes
    complete: bool = False


class ConversationReader:
    """One conversation. Times are seconds of one clock that never goes back.

    `name` begins the ids of its responses, which have to differ from those of every other conversation of the call.

    Attributes:
        calls: the tool calls that wait for a result.
        ends_call: the agent has ended the conversation, and the call's own tool was called to end the call.
        reason: why the vendor is about to close, in its own word; "" while it is not.
    """

    def __init__(
        self, session: RealtimeSession, gives: AudioFormat, now: float, name: str = "response"
    ) -> None:
        self.calls: dict[str, None] = {}
        self.ends_call = False
        self.reason = ""
        self._session = session
        self._name = name
        self._gives = gives
        self._resampled = gives.rate != session.carrier_format.rate
        self._began = self._billed_until = now
        self._open: _Response | None = None
        self._responses = 0
        #: events up to this one were interrupted
        self._cut = 0
        self._half = b""
        #: until when all audio so far plays
        self._plays_until = now
        #: when the last of it came
        self._came_at = now
        #: audio of the open response, with the time from which it plays
        self._kept: deque[tuple[float, bytes]] = deque()
        self._greeting = "" if session.history or "{{" in session.first_message else session.first_message
        self._readers: dict[str, _Reader] = {
            "audio": self._audio,
            "agent_response": self._agent_response,
            "agent_chat_response_part": self._response_part,
            "agent_response_complete": self._complete,
            "user_transcript": self._user_transcript,
            "interruption": self._interruption,
            "client_tool_call": self._tool_call,
            "agent_tool_response": self._tool_response,
            "error": self._error,
            "client_error": self._error,
        }

    @property
    def deadline(self) -> float | None:
        """When `expire()` is to be called; None for never."""
        over, response = self._over_at(), self._open
        if over is None or response is None:
            return None
        if self._kept:
            return min(over, self._kept[0][0] - AHEAD_S)
        return self._pad_at() if response.has_audio and not response.padded else over

    def _pad_at(self) -> float:
        return max(self._plays_until - PAD_S, self._came_at + PAUSE_S)

    def _over_at(self) -> float | None:
        """When the open response is over, if nothing more of it comes."""
        response = self._open
        if response is None:
            return None
        if not response.has_audio:
            return response.begun + TEXT_ALONE_S
        return self._plays_until if response.complete else max(self._plays_until, self._came_at + QUIET_S)

    def read(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        """The events of one message; none for a message that says nothing to Patter."""
        reader = self._readers.get(message["type"])
        if reader is not None:
            yield from reader(message, now)

    def expire(self, now: float) -> Iterator[RealtimeEvent]:
        """Pass on the audio whose time has come, and end the response when all of it has."""
        most = self._plays_until - MOST_KEPT_S
        while self._kept and self._kept[0][0] <= max(now + AHEAD_S, most):
            yield self._heard(self._kept.popleft()[1])
        yield from self._pad(now)
        over = self._over_at()
        if over is not None and now >= over:
            yield from self._done("completed", now)

    def end(self, now: float, *, orderly: bool) -> Iterator[RealtimeEvent]:
        """The socket is closed. What came is passed on; a response that was under way is over only by an orderly end."""
        if orderly:
            yield from self._done("completed", now)
        while self._kept:
            yield self._heard(self._kept.popleft()[1])

    # -- the agent

    def _audio(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "audio_event")
        if self._was_cut(number(fields, "event_id")):
            return
        audio = self._whole(audio_of(fields))
        if not audio:
            return
        yield from self._begin(now)
        self._opened.has_audio, self._opened.padded = True, not self._resampled
        self._came_at = now
        step = self._gives.bytes_for_ms(SLICE_MS)
        for start in range(0, len(audio), step):
            piece = audio[start : start + step]
            begins = max(self._plays_until, now)
            self._kept.append((begins, piece))
            self._plays_until = begins + self._gives.duration_ms(len(piece)) / 1000
        yield from self.expire(now)

    def _pad(self, now: float) -> Iterator[RealtimeEvent]:
        response = self._open
        if response is None or not response.has_audio or response.padded or self._kept:
            return
        if now >= self._pad_at():
            response.padded = True
            yield self._heard(self._gives.silence(self._gives.rate * PAD_MS // 1000))

    def _heard(self, audio: bytes) -> RealtimeEvent:
        response = self._opened
        return RealtimeEvent("audio", audio=audio, response_id=response.id, item_id=response.id)

    def _agent_response(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "agent_response_event")
        said, event_id = text(fields, "agent_response").strip(), number(fields, "event_id")
        if not said or self._was_cut(event_id):
            return
        if self._open is not None and self._open.has_text:
            if event_id is not None and event_id == self._open.text_id:
                return
            yield from self._done("completed", now)
        yield from self._begin(now)
        response = self._opened
        response.has_text, response.text_id = True, event_id
        yield from self._check_greeting(said, now)
        yield RealtimeEvent(
            "transcript_output", text=said, final=True, response_id=response.id, item_id=response.id
        )

    def _response_part(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "text_response_part")
        piece = text(fields, "text")
        if self._was_cut(number(fields, "event_id")):
            return
        if fields.get("type") == "start" and self._open is not None and self._open.has_text:
            yield from self._done("completed", now)
        if not piece or (self._open is not None and self._open.has_text):
            return
        yield from self._begin(now)
        response = self._opened
        yield RealtimeEvent("transcript_output", text=piece, response_id=response.id, item_id=response.id)

    def _complete(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None and self._open.has_audio:
            self._open.complete = True
            yield from self.expire(now)

    def _interruption(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        event_id = number(part(message, "interruption_event"), "event_id")
        if event_id is not None:
            self._cut = max(self._cut, event_id)
        if self._open is not None:
            yield RealtimeEvent("interrupted", response_id=self._open.id, detail="interruption")
            self._kept.clear()
            self._plays_until = now
            yield from self._done("cancelled", now, "interruption")

    # -- the caller, tools and failures

    def _user_transcript(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "user_transcription_event")
        said, event_id = text(fields, "user_transcript").strip(), number(fields, "event_id")
        if said:
            item = f"{self._name}-user-{event_id}" if event_id is not None else None
            yield RealtimeEvent("transcript_input", text=said, final=True, item_id=item)

    def _tool_call(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "client_tool_call")
        name, call_id = (
            text(fields, "tool_name", LONGEST_NAME),
            text(fields, "tool_call_id", LONGEST_NAME),
        )
        if not name or not call_id or call_id in self.calls:
            return
        self.calls[call_id] = None
        while len(self.calls) > MOST_CALLS:
            del self.calls[next(iter(self.calls))]
        yield from self._call(ToolCall(call_id, name, as_arguments(fields.get("parameters"))))

    def _call(self, call: ToolCall) -> Iterator[RealtimeEvent]:
        """Belongs to what the agent is saying; while it says nothing, it is a response of its own."""
        if self._open is not None:
            yield RealtimeEvent("function_call", call=call, response_id=self._open.id)
            return
        self._responses += 1
        response = f"{self._name}-{self._responses}"
        yield RealtimeEvent("response_started", response_id=response, item_id=response)
        yield RealtimeEvent("function_call", call=call, response_id=response)
        yield RealtimeEvent("response_done", response_id=response, status="completed")

    def _tool_response(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        """The agent has ended the conversation with a tool of the vendor: the call's own tool ends the call."""
        fields = part(message, "agent_tool_response")
        if fields.get("tool_name") != _END_CALL or fields.get("tool_type") != "system":
            return
        if fields.get("is_error") is True or fields.get("is_called") is False:
            return
        self.reason = _END_CALL
        call_id = text(fields, "tool_call_id", LONGEST_NAME)
        if call_id and any(tool.name == _END_CALL for tool in self._session.tools):
            self.ends_call = True
            yield from self._call(ToolCall(call_id, _END_CALL, "{}"))

    def _error(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        self.reason = error_code(message)
        yield RealtimeEvent("error", detail=self.reason)

    # -- responses

    @property
    def _opened(self) -> _Response:
        assert self._open is not None
        return self._open

    def _begin(self, now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None:
            return
        self._responses += 1
        self._open = _Response(f"{self._name}-{self._responses}", now)
        yield RealtimeEvent("response_started", response_id=self._open.id, item_id=self._open.id)

    def _done(self, status: ResponseStatus, now: float, detail: str = "") -> Iterator[RealtimeEvent]:
        if self._open is None:
            return
        while self._kept:
            yield self._heard(self._kept.popleft()[1])
        response, self._open = self._opened, None
        self._half = b""
        seconds, self._billed_until = now - self._billed_until, now
        yield RealtimeEvent("usage", usage=RealtimeUsage(seconds=seconds), response_id=response.id)
        yield RealtimeEvent("response_done", response_id=response.id, status=status, detail=detail)

    def _was_cut(self, event_id: int | None) -> bool:
        return event_id is not None and event_id <= self._cut

    def _whole(self, audio: bytes) -> bytes:
        """Whole samples; what is over waits for the next piece."""
        audio = self._half + audio
        whole = len(audio) // self._gives.bytes_per_sample * self._gives.bytes_per_sample
        self._half = audio[whole:]
        return audio[:whole]

    def _check_greeting(self, said: str, now: float) -> Iterator[RealtimeEvent]:
        """An agent that begins with something else was not allowed to have its first message changed (RT-22)."""
        asked, self._greeting = self._greeting, ""
        if asked and now - self._began < GREETING_S and _letters(asked) != _letters(said):
            logger.warning(
                "the agent began with a message of its own: allow the override of its first message in its settings"
            )
            yield RealtimeEvent("error", detail="first_message_not_applied", request="session")


def error_code(message: Mapping[str, Any]) -> str:
    """What the vendor calls a failure."""
    fields = part(message, "error_event") or part(message, "client_error_event")
    return code(fields.get("error_type"))


def _letters(said: str) -> str:
    return re.sub(r"\W|_", "", said).casefold()
