"""From the server's events to normalised ones (RT-15). Pure; what is malformed is passed over, what is long is cut."""

from __future__ import annotations

import binascii
import json
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final, cast, get_args

from patter.audio.formats import AudioFormat
from patter.providers.llm import ToolCall
from patter.providers.realtime import (
    RealtimeEvent,
    RealtimeEventKind,
    RealtimeUsage,
    ResponseStatus,
    SettingsEcho,
)
from patter_openai.realtime_errors import BENIGN_CODES, FATAL_CODES
from patter_openai.realtime_formats import known_format

logger = logging.getLogger(__name__)

#: one piece of audio is at most so long in base64: 8 s of PCM
LONGEST_AUDIO: Final = 512 * 1024
_LONGEST_TEXT: Final = 64 * 1024
_LONGEST_ID: Final = 200
#: responses and items that are remembered; one is enough in a call where nothing overtakes anything
_REMEMBERED: Final = 128
_MOST_TOKENS: Final = 10**9
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")
_STATUSES: Final = frozenset(get_args(ResponseStatus))

ServerMessage = dict[str, Any]


class Response:
    """A response that is being made."""

    __slots__ = ("cancelled", "id", "item_id", "silenced", "told")

    def __init__(self, response_id: str) -> None:
        self.id = response_id
        self.item_id: str | None = None
        #: some server said that it is cancelled, and has yet to say that it is done
        self.cancelled = False
        #: we cancelled it
        self.silenced = False
        #: its cancellation by the engine was reported
        self.told = False


class EventReader:
    """Reads the events of one connection.

    Attributes:
        formats: what the session takes and gives; the server's word counts (RT-19).
        ready: whether the session is open.
        fatal: the code of an error after which the session is of no more use.
        last_code: the code of the last error.
    """

    def __init__(self, audio_format: AudioFormat) -> None:
        self.formats = (audio_format, audio_format)
        self.ready = False
        self.fatal = ""
        self.last_code = ""
        self._initial_formats = self.formats
        self._complaints: set[str] = set()
        self._responses: OrderedDict[str, Response] = OrderedDict()
        self._done: OrderedDict[str, None] = OrderedDict()
        self._audio_bytes: OrderedDict[str, int] = OrderedDict()
        self._readers: dict[str, Callable[[ServerMessage], Iterator[RealtimeEvent]]] = {
            "session.created": self._session,
            "session.updated": self._session,
            "input_audio_buffer.speech_started": self._speech("speech_started"),
            "input_audio_buffer.speech_stopped": self._speech("speech_stopped"),
            "conversation.item.input_audio_transcription.delta": self._heard_piece,
            "conversation.item.input_audio_transcription.completed": self._heard,
            "conversation.item.input_audio_transcription.failed": self._not_heard,
            "response.created": self._started,
            "response.output_item.added": self._item,
            "response.output_audio.delta": self._audio,
            "response.output_audio_transcript.delta": self._said_piece,
            "response.output_audio_transcript.done": self._said,
            "response.output_item.done": self._item_done,
            "response.cancelled": self._cancelled,
            "response.canceled": self._cancelled,
            "response.done": self._response_done,
            "error": self._error,
        }

    def read(self, text: str | bytes) -> list[RealtimeEvent]:
        """The normalised events of one message; none for a message that says nothing to a call."""
        message = parsed(text)
        if message is None:
            self._complain("the engine sent what is no message")
            return []
        reader = self._readers.get(_id(message.get("type")) or "")
        return [] if reader is None else list(reader(message))

    def _complain(self, text: str, *values: str) -> None:
        """Once a connection, so that no server can fill the log."""
        level = logging.DEBUG if text in self._complaints else logging.WARNING
        self._complaints.add(text)
        logger.log(level, text, *values)

    # -- what the engine asks

    @property
    def waits(self) -> bool:
        """Whether a response was called cancelled and its end is still to come."""
        return any(response.cancelled for response in self._responses.values())

    def give_up_waiting(self) -> list[RealtimeEvent]:
        """The end of the responses that were called cancelled, where the server never said that they are done."""
        overdue = [response for response in self._responses.values() if response.cancelled]
        return [self._end(response, "cancelled", "turn_detected") for response in overdue]

    def silence(self, response_id: str) -> None:
        """We cancel that response: what is still under way of its audio is not wanted."""
        response = self._responses.get(response_id)
        if response is not None:
            response.silenced = True

    def received_ms(self, item_id: str) -> int | None:
        """How much audio of an item came in, in whole ms; None for an unknown item."""
        count = self._audio_bytes.get(item_id)
        return None if count is None else int(self.formats[1].duration_ms(count))

    # -- the session

    def _session(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        session = _dict(message.get("session"))
        audio = _dict(session.get("audio"))
        heard, spoken = _dict(audio.get("input")), _dict(audio.get("output"))
        takes, gives = known_format(heard.get("format")), known_format(spoken.get("format"))
        if message["type"] == "session.created":
            self.ready = True
            self._initial_formats = (takes or self.formats[0], gives or self.formats[1])
        else:
            self.formats = (takes or self.formats[0], gives or self.formats[1])
        values = _dict(heard.get("turn_detection"))
        flags = (values.get("create_response"), values.get("interrupt_response"))
        # Only what shows both flags false counts (RT-03).
        echo = SettingsEcho(guarded=flags == (False, False), values=values)
        yield RealtimeEvent("session_ready", echo=echo)

    # -- the caller

    def _speech(self, kind: RealtimeEventKind) -> Callable[[ServerMessage], Iterator[RealtimeEvent]]:
        def read(message: ServerMessage) -> Iterator[RealtimeEvent]:
            yield RealtimeEvent(kind, item_id=_id(message.get("item_id")))

        return read

    def _heard_piece(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        text = _text(message.get("delta"))
        if text:
            yield RealtimeEvent("transcript_input", text=text, item_id=_id(message.get("item_id")))

    def _heard(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        text = _text(message.get("transcript"))
        yield RealtimeEvent("transcript_input", text=text, final=True, item_id=_id(message.get("item_id")))

    def _not_heard(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        """Nobody has to wait for these words any longer."""
        code = _id(_dict(message.get("error")).get("code")) or "unknown"
        self._complain("the caller's words were not transcribed: %s", code)
        yield RealtimeEvent("transcript_input", final=True, item_id=_id(message.get("item_id")))

    # -- responses

    def _started(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        yield from self._open(_id(_dict(message.get("response")).get("id")))[1]

    def _open(self, response_id: str | None) -> tuple[Response | None, list[RealtimeEvent]]:
        """The response of that id, begun now if it is new; None once it is done."""
        if response_id is None or response_id in self._done:
            return None, []
        response = self._responses.get(response_id)
        if response is not None:
            return response, []
        response = self._responses[response_id] = Response(response_id)
        _forget_oldest(self._responses)
        return response, [RealtimeEvent("response_started", response_id=response_id)]

    def _item(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        response, events = self._open(_id(message.get("response_id")))
        yield from events
        item = _dict(message.get("item"))
        if response is not None and response.item_id is None and item.get("type") == "message":
            response.item_id = _id(item.get("id"))

    def _audio(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        response, events = self._open(_id(message.get("response_id")))
        yield from events
        if response is None or response.cancelled or response.silenced:
            return  # late pieces of what was cancelled
        audio = _decoded(message.get("delta"))
        if audio is None:
            yield RealtimeEvent("error", detail="invalid_audio")
            return
        item_id = _id(message.get("item_id")) or ""
        self._audio_bytes[item_id] = self._audio_bytes.get(item_id, 0) + len(audio)
        _forget_oldest(self._audio_bytes)
        yield RealtimeEvent("audio", audio=audio, response_id=response.id, item_id=item_id or None)

    def _said_piece(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        text = _text(message.get("delta"))
        return self._transcript(message, text, final=False) if text else iter(())

    def _said(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        return self._transcript(message, _text(message.get("transcript")), final=True)

    def _transcript(self, message: ServerMessage, text: str, *, final: bool) -> Iterator[RealtimeEvent]:
        response, events = self._open(_id(message.get("response_id")))
        yield from events
        if response is not None:
            yield RealtimeEvent(
                "transcript_output",
                text=text,
                final=final,
                response_id=response.id,
                item_id=_id(message.get("item_id")),
            )

    def _item_done(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        """A function call that is complete; one of a cancelled response is not."""
        response, events = self._open(_id(message.get("response_id")))
        yield from events
        item = _dict(message.get("item"))
        if response is None or item.get("type") != "function_call" or item.get("status") == "incomplete":
            return
        call_id, name = _id(item.get("call_id")), _id(item.get("name"))
        if call_id and name:
            call = ToolCall(call_id, name, _text(item.get("arguments")) or "{}")
            yield RealtimeEvent("function_call", call=call, response_id=response.id)

    def _cancelled(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        """Some servers say so before the response is done (RT-09)."""
        response_id = _id(message.get("response_id")) or _id(_dict(message.get("response")).get("id"))
        response, events = self._open(response_id)
        yield from events
        if response is not None:
            response.cancelled = True
            yield from self._interruption(response, "turn_detected")

    def _response_done(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        done = _dict(message.get("response"))
        response, events = self._open(_id(done.get("id")))
        yield from events
        if response is None:
            return
        details = _dict(done.get("status_details"))
        status = _status(done.get("status"))
        detail = _id(details.get("reason")) or ""
        if done.get("usage"):
            usage = _usage(_dict(done["usage"]))
            yield RealtimeEvent("usage", usage=usage, response_id=response.id)
        if status == "cancelled" and detail != "client_cancelled":
            yield from self._interruption(response, detail)
        if status == "failed":
            detail = _id(_dict(details.get("error")).get("code")) or detail or "server_error"
        yield self._end(response, status, detail)

    def _interruption(self, response: Response, by: str) -> Iterator[RealtimeEvent]:
        if not (response.told or response.silenced):
            response.told = True
            yield RealtimeEvent("interrupted", response_id=response.id, detail=by)

    def _end(self, response: Response, status: ResponseStatus, detail: str) -> RealtimeEvent:
        self._responses.pop(response.id, None)
        self._done[response.id] = None
        _forget_oldest(self._done)
        return RealtimeEvent(
            "response_done",
            response_id=response.id,
            item_id=response.item_id,
            status=status,
            detail=detail,
        )

    # -- errors

    def _error(self, message: ServerMessage) -> Iterator[RealtimeEvent]:
        """An error; `request` is what we asked for with the message that it answers."""
        error = _dict(message.get("error"))
        code = _id(error.get("code")) or _id(error.get("type")) or "unknown"
        if code in BENIGN_CODES:
            return
        self.last_code = code
        if code in FATAL_CODES:
            self.fatal = code
        request = (_id(error.get("event_id")) or "").partition("-")[0]
        if request == "session":
            # The server keeps all that it began with, its formats too.
            self.formats = self._initial_formats
        parameter = _id(error.get("param")) or ""
        yield RealtimeEvent("error", detail=code, parameter=parameter, request=request)


# -- what may be anything


def parsed(text: str | bytes) -> ServerMessage | None:
    """A message of the server; None for what is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _id(value: Any) -> str | None:
    """An identifier or a code; None for none, for nonsense and for one that no vendor would make."""
    usable = isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable()
    return value if usable else None


def _text(value: Any) -> str:
    """Spoken or written text, without the half characters that JSON can spell and nobody can send on."""
    if not isinstance(value, str):
        return ""
    value = value[:_LONGEST_TEXT]
    return value if value.isascii() else _HALF_CHARACTER.sub("\ufffd", value)


def _decoded(value: Any) -> bytes | None:
    if not isinstance(value, str) or len(value) > LONGEST_AUDIO:
        return None
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError:
        return None


def _status(value: Any) -> ResponseStatus:
    if value == "canceled":
        return "cancelled"
    known = isinstance(value, str) and value in _STATUSES
    return cast("ResponseStatus", value) if known else "failed"


def _count(value: Any) -> int:
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if counted else 0


def _usage(usage: dict[str, Any]) -> RealtimeUsage:
    """Tokens by kind. Where a server tells no kinds, all are audio, as nearly all of a call's are."""
    given, made = _dict(usage.get("input_token_details")), _dict(usage.get("output_token_details"))
    cached = given.get("cached_tokens_details")
    kinds = _dict(cached)
    return RealtimeUsage(
        input_text=_count(given.get("text_tokens")),
        input_audio=_count(given.get("audio_tokens") if given else usage.get("input_tokens")),
        output_text=_count(made.get("text_tokens")),
        output_audio=_count(made.get("audio_tokens") if made else usage.get("output_tokens")),
        cached_text=_count(kinds.get("text_tokens")) if kinds else None,
        cached_audio=_count(kinds.get("audio_tokens")) if kinds else None,
        cached_total=0 if kinds else _count(given.get("cached_tokens")),
    )


def _forget_oldest(table: OrderedDict[str, Any]) -> None:
    while len(table) > _REMEMBERED:
        table.popitem(last=False)
