"""The vendor's messages as Patter's events: pure, driven by the caller's clock.

No message says that a response is over: only the state that the agent is in, and which audio is to be dropped. Audio comes
faster than it plays, up to the buffer that the client promised. A response is open here from its first text or audio until
all of its audio would have been played if it had been played as it came, since until then it may be interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.providers.llm import ToolCall
from patter.providers.realtime import RealtimeEvent, RealtimeUsage, ResponseStatus
from patter_ultravox.messages import LONGEST_NAME, LONGEST_TEXT, text

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat

#: how long after its last audio was to be played a response may still go on, in s
QUIET_S: Final = 0.5
#: how long a response may be nothing but text, in s; longer than core waits for a greeting (RT-22)
TEXT_ALONE_S: Final = 5.0
#: tool calls that wait for their results; the oldest is forgotten beyond this
MOST_CALLS: Final = 64

_Reader = Callable[[Mapping[str, Any], float], Iterable[RealtimeEvent]]


@dataclass(slots=True)
class _Response:
    id: str
    begun: float
    #: until when its audio plays; None before there is any
    plays_until: float | None = None
    #: which utterance it is; None until the vendor says so
    ordinal: int | None = None
    said: str = ""
    has_final: bool = False
    #: the agent no longer speaks, so that nothing more comes
    complete: bool = False

    def deadline(self) -> float:
        if self.plays_until is None:
            return self.begun + TEXT_ALONE_S
        return self.plays_until + (0.0 if self.complete else QUIET_S)


class CallReader:
    """One call. Times are seconds of one clock that never goes back.

    Attributes:
        calls: the tool calls that wait for a result.
    """

    def __init__(self, gives: AudioFormat, now: float) -> None:
        self.calls: dict[str, None] = {}
        self._gives = gives
        self._billed_until = now
        self._open: _Response | None = None
        self._responses = 0
        #: utterances up to this one are over
        self._over = -1
        self._half = b""
        self._readers: dict[str, _Reader] = {
            "state": self._state,
            "transcript": self._transcript,
            "client_tool_invocation": self._tool_call,
            "playback_clear_buffer": self._clear,
        }

    @property
    def deadline(self) -> float | None:
        """When `expire()` is to be called; None for never."""
        return self._open.deadline() if self._open is not None else None

    def read(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        """The events of one data message; none for a message that says nothing to Patter."""
        reader = self._readers.get(message["type"])
        if reader is not None:
            yield from reader(message, now)

    def read_audio(self, audio: bytes, now: float) -> Iterator[RealtimeEvent]:
        """The events of a piece of audio; half a sample waits for the other half."""
        audio = self._half + audio
        whole = len(audio) // self._gives.bytes_per_sample * self._gives.bytes_per_sample
        audio, self._half = audio[:whole], audio[whole:]
        if not audio:
            return
        yield from self._begin(now)
        response = self._opened
        began = response.plays_until if response.plays_until is not None else now
        response.plays_until = max(began, now) + self._gives.duration_ms(len(audio)) / 1000
        response.complete = False
        yield RealtimeEvent("audio", audio=audio, response_id=response.id, item_id=response.id)

    def expire(self, now: float) -> Iterator[RealtimeEvent]:
        """End the response whose time has come."""
        if self._open is not None and now >= self._open.deadline():
            yield from self._done("completed", now)

    def end(self, now: float, *, orderly: bool) -> Iterator[RealtimeEvent]:
        """The socket is closed: an open response is as complete as the close was orderly."""
        status: ResponseStatus = "completed" if orderly else "failed"
        yield from self._done(status, now, "" if orderly else "connection lost")

    # -- data messages

    def _state(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None and self._open.plays_until is not None:
            self._open.complete = message.get("state") in ("idle", "listening", "thinking")
            yield from self.expire(now)

    def _transcript(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        ordinal = message.get("ordinal")
        if type(ordinal) is not int or not 0 <= ordinal < 1 << 53:
            return
        final = message.get("final") is True
        if message.get("role") == "agent":
            yield from self._agent_transcript(message, ordinal, final, now)
        elif message.get("role") == "user" and final:
            said = (text(message, "text") or text(message, "delta")).strip()
            if said:
                yield RealtimeEvent("transcript_input", text=said, final=True, item_id=f"user-{ordinal}")

    def _agent_transcript(
        self, message: Mapping[str, Any], ordinal: int, final: bool, now: float
    ) -> Iterator[RealtimeEvent]:
        if ordinal <= self._over:
            return
        if self._open is not None and self._open.ordinal is not None:
            if ordinal < self._open.ordinal:
                return
            if ordinal > self._open.ordinal:
                yield from self._done("completed", now)
        whole, piece = text(message, "text"), text(message, "delta")
        if self._open is None and not whole and not piece:
            return
        yield from self._begin(now)
        response = self._opened
        response.ordinal = ordinal
        if response.has_final:
            return
        if whole:
            # What grows is told by what was added; what was changed is told at the end alone.
            piece = whole[len(response.said) :] if whole.startswith(response.said) else ""
        response.said = (whole or response.said + piece)[:LONGEST_TEXT]
        if final:
            response.has_final = True
            piece = response.said.strip()
        if piece:
            yield RealtimeEvent(
                "transcript_output", text=piece, final=final, response_id=response.id, item_id=response.id
            )

    def _tool_call(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        """Belongs to no response: the vendor waits for the result, whatever has been said."""
        name, call_id = text(message, "toolName", LONGEST_NAME), text(message, "invocationId", LONGEST_NAME)
        if not name or not call_id or call_id in self.calls:
            return
        self.calls[call_id] = None
        while len(self.calls) > MOST_CALLS:
            del self.calls[next(iter(self.calls))]
        parameters = message.get("parameters")
        arguments = json.dumps(parameters if isinstance(parameters, dict) else {})
        yield RealtimeEvent("function_call", call=ToolCall(call_id, name, arguments))

    def _clear(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None:
            yield RealtimeEvent("interrupted", response_id=self._open.id, detail="playback_clear_buffer")
            yield from self._done("cancelled", now, "playback_clear_buffer")

    # -- responses

    @property
    def _opened(self) -> _Response:
        assert self._open is not None
        return self._open

    def _begin(self, now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None:
            return
        self._responses += 1
        self._open = _Response(f"response-{self._responses}", now)
        yield RealtimeEvent("response_started", response_id=self._open.id, item_id=self._open.id)

    def _done(self, status: ResponseStatus, now: float, detail: str = "") -> Iterator[RealtimeEvent]:
        response, self._open = self._open, None
        self._half = b""
        if response is None:
            return
        if response.ordinal is not None:
            self._over = max(self._over, response.ordinal)
        if response.said.strip() and not response.has_final:
            yield RealtimeEvent(
                "transcript_output",
                text=response.said.strip(),
                final=True,
                response_id=response.id,
                item_id=response.id,
            )
        seconds, self._billed_until = now - self._billed_until, now
        yield RealtimeEvent("usage", usage=RealtimeUsage(seconds=seconds), response_id=response.id)
        yield RealtimeEvent("response_done", response_id=response.id, status=status, detail=detail)
