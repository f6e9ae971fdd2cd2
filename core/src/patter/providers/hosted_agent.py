"""What engines have in common that are whole agents at their vendor's: when a response of theirs is over. Pure.

Such a vendor says at best that nothing more comes. A response is open here from its first text or audio until all of its
audio would have been played if it had been played as it came, for until then it may be interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from patter.providers.paced_audio import PacedAudio
from patter.providers.realtime import RealtimeEvent, RealtimeUsage, ResponseStatus

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.llm import ToolCall

#: a response goes on, though all of its audio has been played, while its last audio is not older than this, in s
QUIET_S: Final = 0.7
#: how long a response may be nothing but text, in s; longer than core waits for a greeting (RT-22)
TEXT_ALONE_S: Final = 5.0
#: silence that is put behind audio in another rate than the carrier's, or its last samples would wait in the resampler
#: until the response is over, in ms
PAD_MS: Final = 40
#: so long before the audio ends, in s, and so long after the last of it came
PAD_S: Final = 0.1
PAUSE_S: Final = 0.2
#: tool calls that wait for their results; the oldest is forgotten beyond this
MOST_CALLS: Final = 64
#: the code with which a socket is closed when all has been said
ORDERLY: Final = "1000"

#: reads one kind of message at a time of the clock
MessageReader = Callable[[Mapping[str, Any], float], Iterable[RealtimeEvent]]


@dataclass(slots=True)
class HostedResponse:
    """What a hosted agent is saying; `padded` when its audio has silence behind it, `complete` when nothing more comes."""

    id: str
    begun: float
    has_audio: bool = False
    padded: bool = False
    complete: bool = False


Response = TypeVar("Response", bound=HostedResponse)


class HostedAgentReader(Generic[Response]):
    """One conversation with a hosted agent; a plugin's own class reads the messages into it.

    Args:
        response: makes a response of an id and the time at which it begins.
        gives: format of the agent's audio; `resampled` when the carrier has another rate.
        now: the time, in s of one clock that never goes back, as all times here.
        name: begins the ids of its responses, which have to differ from those of every other session of the call.

    Attributes:
        calls: the tool calls that wait for a result.
    """

    def __init__(
        self,
        response: Callable[[str, float], Response],
        gives: AudioFormat,
        now: float,
        name: str,
        *,
        resampled: bool,
    ) -> None:
        self.calls: dict[str, None] = {}
        self._make_response = response
        self._gives = gives
        self._name = name
        self._resampled = resampled
        self._billed_until = now
        self._open: Response | None = None
        self._responses = 0
        #: when the last audio came
        self._came_at = now
        self._audio = PacedAudio(gives, now)
        self._readers: dict[str, MessageReader] = {}

    # -- the clock

    @property
    def deadline(self) -> float | None:
        """When `expire()` is to be called; None for never."""
        over, response = self._over_at(), self._open
        if over is None or response is None:
            return None
        next_at = self._audio.next_at
        if next_at is not None:
            return min(over, next_at)
        return self._pad_at() if response.has_audio and not response.padded else over

    def _pad_at(self) -> float:
        return max(self._audio.plays_until - PAD_S, self._came_at + PAUSE_S)

    def _over_at(self) -> float | None:
        """When the open response is over, if nothing more of it comes."""
        response, plays_until = self._open, self._audio.plays_until
        if response is None:
            return None
        if not response.has_audio:
            return response.begun + TEXT_ALONE_S
        return plays_until if response.complete else max(plays_until, self._came_at + QUIET_S)

    def expire(self, now: float) -> Iterator[RealtimeEvent]:
        """Pass on the audio whose time has come, and end the response when all of it has."""
        for piece in self._audio.due(now):
            yield self._heard(piece)
        yield from self._pad(now)
        over = self._over_at()
        if over is not None and now >= over:
            yield from self._done("completed", now)

    def _pad(self, now: float) -> Iterator[RealtimeEvent]:
        response = self._open
        if response is None or not response.has_audio or response.padded or not self._audio.is_empty:
            return
        if now >= self._pad_at():
            response.padded = True
            yield self._heard(self._gives.silence(self._gives.rate * PAD_MS // 1000))

    # -- messages

    def read(self, message: Mapping[str, Any], now: float) -> Iterator[RealtimeEvent]:
        """The events of one message, which has a type; none for a message that says nothing to Patter."""
        reader = self._readers.get(message["type"])
        if reader is not None:
            yield from reader(message, now)

    def end(self, now: float, code: str) -> Iterator[RealtimeEvent]:
        """The socket was closed with that code, and so is the session.

        What came is passed on; a response that was under way is over only by an orderly end.
        """
        if code == ORDERLY:
            yield from self._done("completed", now)
        for piece in self._audio.rest():
            yield self._heard(piece)
        yield RealtimeEvent("closed", detail=code)

    def _add_audio(self, audio: bytes, now: float) -> Iterator[RealtimeEvent]:
        """Whole samples of the agent's audio have come, and with them a response may begin."""
        yield from self._begin(now)
        self._opened.has_audio, self._opened.padded = True, not self._resampled
        self._came_at = now
        self._audio.add(audio, now)
        yield from self.expire(now)

    def _heard(self, audio: bytes) -> RealtimeEvent:
        response = self._opened
        return RealtimeEvent("audio", audio=audio, response_id=response.id, item_id=response.id)

    def _waits_for(self, call: ToolCall) -> Iterator[RealtimeEvent]:
        """The agent called a tool and waits for its result; nothing for a call that was told already."""
        if not call.name or not call.id or call.id in self.calls:
            return
        self.calls[call.id] = None
        while len(self.calls) > MOST_CALLS:
            del self.calls[next(iter(self.calls))]
        yield from self._call(call)

    def _call(self, call: ToolCall) -> Iterator[RealtimeEvent]:
        """Belongs to what the agent is saying; while it says nothing, it is a response of its own."""
        if self._open is not None:
            yield RealtimeEvent("function_call", call=call, response_id=self._open.id)
            return
        response = self._next_id()
        yield RealtimeEvent("response_started", response_id=response, item_id=response)
        yield RealtimeEvent("function_call", call=call, response_id=response)
        yield RealtimeEvent("response_done", response_id=response, status="completed")

    def _interrupted(self, detail: str, now: float) -> Iterator[RealtimeEvent]:
        """The vendor stopped the agent; `detail` is what it calls that."""
        if self._open is None:
            return
        yield RealtimeEvent("interrupted", response_id=self._open.id, detail=detail)
        self._audio.drop(now)
        yield from self._done("cancelled", now, detail)

    # -- responses

    @property
    def _opened(self) -> Response:
        assert self._open is not None
        return self._open

    def _next_id(self) -> str:
        self._responses += 1
        return f"{self._name}-{self._responses}"

    def _begin(self, now: float) -> Iterator[RealtimeEvent]:
        if self._open is not None:
            return
        self._open = self._make_response(self._next_id(), now)
        yield RealtimeEvent("response_started", response_id=self._open.id, item_id=self._open.id)

    def _done(self, status: ResponseStatus, now: float, detail: str = "") -> Iterator[RealtimeEvent]:
        if self._open is None:
            return
        for piece in self._audio.rest():
            yield self._heard(piece)
        response, self._open = self._opened, None
        self._audio.response_over()
        yield from self._last_words(response)
        seconds, self._billed_until = now - self._billed_until, now
        yield RealtimeEvent("usage", usage=RealtimeUsage(seconds=seconds), response_id=response.id)
        yield RealtimeEvent("response_done", response_id=response.id, status=status, detail=detail)

    def _last_words(self, response: Response) -> Iterable[RealtimeEvent]:
        """What is still to be told of a response that is over."""
        return ()
