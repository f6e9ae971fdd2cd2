"""The vendor's messages as Patter's events: pure, driven by the caller's clock.

The classic protocol does not say when a response ends, only when one is interrupted. A response is open here from its
first text or audio until all of its audio would have been played if it had been played as it came: that long the vendor
itself takes it for speaking, and may interrupt it. Audio comes much faster than it plays; it is passed on a little ahead
of its time, so that a response does not look silent before it is over.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from patter.providers.hosted_agent import HostedAgentReader, HostedResponse
from patter.providers.llm import ToolCall
from patter.providers.realtime import RealtimeEvent
from patter.providers.vendor_json import as_arguments, part, text
from patter_elevenlabs.convai_messages import LONGEST_NAME, audio_of, code, number

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.realtime import RealtimeSession

logger = logging.getLogger(__name__)

#: what an agent says later than this, in s, is no greeting
GREETING_S: Final = 3.0
_END_CALL: Final = "end_call"


@dataclass(slots=True)
class _Response(HostedResponse):
    text_id: int | None = None
    has_text: bool = False


class ConversationReader(HostedAgentReader[_Response]):
    """One conversation; see `HostedAgentReader`.

    Attributes:
        ends_call: the agent has ended the conversation, and the call's own tool was called to end the call.
        reason: why the vendor is about to close, in its own word; "" while it is not.
    """

    def __init__(
        self, session: RealtimeSession, gives: AudioFormat, now: float, name: str = "response"
    ) -> None:
        super().__init__(_Response, gives, now, name, resampled=gives.rate != session.carrier_format.rate)
        self.ends_call = False
        self.reason = ""
        self._session = session
        self._began = now
        #: events up to this one were interrupted
        self._cut = 0
        self._greeting = "" if session.history or "{{" in session.first_message else session.first_message
        self._readers = {
            "audio": self._spoken,
            "agent_response": self._agent_response,
            "agent_chat_response_part": self._response_part,
            "agent_response_complete": self._complete,
            "user_transcript": self._user_transcript,
            "interruption": self._cut_off,
            "client_tool_call": self._tool_call,
            "agent_tool_response": self._tool_response,
            "error": self._error,
            "client_error": self._error,
        }

    def end(self, now: float, code: str) -> Iterator[RealtimeEvent]:
        """See `HostedAgentReader.end`; what the vendor said of the end says more than the code."""
        for event in super().end(now, code):
            yield replace(event, detail=self.reason or code) if event.kind == "closed" else event

    # -- the agent

    def _spoken(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "audio_event")
        if self._was_cut(number(fields, "event_id")):
            return
        audio = self._audio.whole(audio_of(fields))
        if audio:
            yield from self._add_audio(audio, now)

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

    def _cut_off(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        event_id = number(part(message, "interruption_event"), "event_id")
        if event_id is not None:
            self._cut = max(self._cut, event_id)
        yield from self._interrupted("interruption", now)

    # -- the caller, tools and failures

    def _user_transcript(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "user_transcription_event")
        said, event_id = text(fields, "user_transcript").strip(), number(fields, "event_id")
        if said:
            item = f"{self._name}-user-{event_id}" if event_id is not None else None
            yield RealtimeEvent("transcript_input", text=said, final=True, item_id=item)

    def _tool_call(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        fields = part(message, "client_tool_call")
        yield from self._waits_for(
            ToolCall(
                text(fields, "tool_call_id", LONGEST_NAME),
                text(fields, "tool_name", LONGEST_NAME),
                as_arguments(fields.get("parameters")),
            )
        )

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

    def _was_cut(self, event_id: int | None) -> bool:
        return event_id is not None and event_id <= self._cut

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
