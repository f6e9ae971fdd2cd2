"""The vendor's messages as Patter's events: pure, driven by the caller's clock.

No message says that a response is over: only the state that the agent is in, and which audio is to be dropped. Audio comes
faster than it plays, up to the buffer that the client promised. A response is open here from its first text or audio until
all of its audio would have been played if it had been played as it came, since until then it may be interrupted. Audio is
passed on a little ahead of its time, so that a response does not look silent before it is over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from patter.providers.llm import ToolCall
from patter.providers.realtime import RealtimeEvent, RealtimeUsage, ResponseStatus
from patter_ultravox.messages import LONGEST_NAME, LONGEST_TEXT, as_arguments, text

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat

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

_Reader = Callable[[Mapping[str, Any], float], Iterable[RealtimeEvent]]


@dataclass(slots=True)
class _Response:
    id: str
    begun: float
    has_audio: bool = False
    #: its audio has silence behind it
    padded: bool = False
    #: which utterance it is; None until the vendor says so
    ordinal: int | None = None
    said: str = ""
    has_final: bool = False
    #: the agent no longer speaks, so that nothing more comes
    complete: bool = False


class CallReader:
    """One call. Times are seconds of one clock that never goes back.

    `resampled` says that its audio has another rate than the carrier's. `name` begins the ids of its responses, which have to differ from those of every other call of the engine.

    Attributes:
        calls: the tool calls that wait for a result.
    """

    def __init__(
        self, gives: AudioFormat, now: float, name: str = "response", *, resampled: bool = False
    ) -> None:
        self.calls: dict[str, None] = {}
        self._gives = gives
        self._resampled = resampled
        self._name = name
        self._billed_until = now
        self._open: _Response | None = None
        self._responses = 0
        #: utterances up to this one are over
        self._over = -1
        self._half = b""
        #: until when all audio so far plays
        self._plays_until = now
        #: when the last of it came
        self._came_at = now
        #: audio of the open response, with the time from which it plays
        self._kept: deque[tuple[float, bytes]] = deque()
        self._readers: dict[str, _Reader] = {
            "state": self._state,
            "transcript": self._transcript,
            "client_tool_invocation": self._tool_call,
            "playback_clear_buffer": self._clear,
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
        response.has_audio, response.padded, response.complete = True, not self._resampled, False
        self._came_at = now
        step = self._gives.bytes_for_ms(SLICE_MS)
        for start in range(0, len(audio), step):
            piece = audio[start : start + step]
            begins = max(self._plays_until, now)
            self._kept.append((begins, piece))
            self._plays_until = begins + self._gives.duration_ms(len(piece)) / 1000
        yield from self.expire(now)

    def expire(self, now: float) -> Iterator[RealtimeEvent]:
        """Pass on the audio whose time has come, and end the response when all of it has."""
        most = self._plays_until - MOST_KEPT_S
        while self._kept and self._kept[0][0] <= max(now + AHEAD_S, most):
            yield self._heard(self._kept.popleft()[1])
        yield from self._pad(now)
        over = self._over_at()
        if over is not None and now >= over:
            yield from self._done("completed", now)

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

    def end(self, now: float, *, orderly: bool) -> Iterator[RealtimeEvent]:
        """The socket is closed. What came is passed on; a response that was under way is over only by an orderly end."""
        if orderly:
            yield from self._done("completed", now)
        while self._kept:
            yield self._heard(self._kept.popleft()[1])

    # -- data messages

    def _state(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None and self._open.has_audio:
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
                yield RealtimeEvent(
                    "transcript_input", text=said, final=True, item_id=f"{self._name}-user-{ordinal}"
                )

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
        name, call_id = text(message, "toolName", LONGEST_NAME), text(message, "invocationId", LONGEST_NAME)
        if not name or not call_id or call_id in self.calls:
            return
        self.calls[call_id] = None
        while len(self.calls) > MOST_CALLS:
            del self.calls[next(iter(self.calls))]
        yield from self._call(ToolCall(call_id, name, as_arguments(message.get("parameters"))))

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

    def _clear(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None:
            yield RealtimeEvent("interrupted", response_id=self._open.id, detail="playback_clear_buffer")
            self._kept.clear()
            self._plays_until = now
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
        self._open = _Response(f"{self._name}-{self._responses}", now)
        yield RealtimeEvent("response_started", response_id=self._open.id, item_id=self._open.id)

    def _done(self, status: ResponseStatus, now: float, detail: str = "") -> Iterator[RealtimeEvent]:
        if self._open is None:
            return
        while self._kept:
            yield self._heard(self._kept.popleft()[1])
        response, self._open = self._opened, None
        self._half = b""
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
