"""The responses of an engine: which are under way, whose they are, and which one may be asked for. Pure.

An engine makes one response at a time in the conversation: a further one is asked for when the one before it is over.
Times in s.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.audio.convert import Converter
    from patter.call.agent_speech import SpokenSentence
    from patter.providers.llm import ToolCall
    from patter.providers.realtime import RealtimeEvent

#: the end of a response that was cancelled is waited for this long, in s
CANCELLED_S = 3.0
#: a response that was asked for must begin within this, in s
BEGIN_S = 15.0
#: a response of which nothing comes for this long has stalled, in s
STALLED_S = 10.0
#: audio that belongs to no response is over when none comes for this long, in s
QUIET_S = 0.5
#: ids of responses that are over and still known, so that what comes late of one is dropped
MOST_IDS = 256
#: function calls of one response
MOST_CALLS = 32


@dataclass(slots=True, eq=False)
class Request:
    """A response that Patter asks for: for which agent turn, and the exact text to say, "" for an answer."""

    turn: int
    text: str = ""
    greeting: bool = False
    cancelled: bool = False
    again: bool = False
    asked_at: float = 0.0


@dataclass(slots=True, eq=False)
class Response:
    """One response. `turn` is None while it waits for the floor, with its events in `waiting`."""

    response_id: str | None
    turn: int | None = None
    greeting: bool = False
    #: what was asked to be said, where the engine tells no text
    text: str = ""
    begun: bool = False
    announced: bool = False
    sentences: dict[str, SpokenSentence] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    calls: list[ToolCall] = field(default_factory=list)
    waiting: list[RealtimeEvent] = field(default_factory=list)
    converter: Converter | None = None
    dropped: bool = False
    done: bool = False
    stopped_by_engine: bool = False
    cancelled_at: float | None = None
    heard_from: float = 0.0


class Responses:
    """The responses of one session.

    Attributes:
        asked: what was asked for and has not begun.
        next: what is to be asked for once nothing is under way.
    """

    def __init__(self) -> None:
        self.asked: Request | None = None
        self.next: Request | None = None
        self._active: dict[str | None, Response] = {}
        self._over: deque[str] = deque(maxlen=MOST_IDS)
        self.said: list[Response] = []

    @property
    def is_busy(self) -> bool:
        """Whether a response is under way, or about to be."""
        return self.asked is not None or bool(self._active)

    def active(self) -> list[Response]:
        """Those that are under way."""
        return list(self._active.values())

    # -- asking

    def ask(self, request: Request, t: float) -> bool:
        """Whether to ask for it now; else it is the next one, in place of another that waited."""
        if self.is_busy:
            self.next = request
            return False
        self.asked, request.asked_at = request, t
        return True

    def take_next(self, t: float) -> Request | None:
        """What is to be asked for now."""
        request = self.next
        if request is None or self.is_busy:
            return None
        self.next = None
        self.asked, request.asked_at = request, t
        return request

    def refused(self) -> Request | None:
        """The engine refused what was asked for last."""
        request, self.asked = self.asked, None
        return request

    def forget_greeting(self) -> None:
        """A greeting that was asked for and has not begun is given up: what begins next is another response."""
        if self.asked is not None and self.asked.greeting:
            self.asked = None
        if self.next is not None and self.next.greeting:
            self.next = None

    def expects(self, turn: int) -> bool:
        """Whether a response for that agent turn is under way, asked for or next."""
        asked = any(
            one is not None and one.turn == turn and not one.cancelled for one in (self.asked, self.next)
        )
        return asked or any(one.turn == turn and not one.dropped for one in self._active.values())

    # -- what the engine says

    def of(self, response_id: str | None, t: float, *, new: bool = False) -> Response | None:
        """The response with that id, which begins if it is not known; None for one that is over.

        Without an id it is the latest, unless `new` says that another one begins.
        """
        found = None if new and response_id is None else self.known(response_id)
        if found is not None:
            found.heard_from = t
            return found
        if response_id is not None and response_id in self._over:
            return None
        before = self._active.get(response_id)
        if before is not None:
            self.over(before)
        response = self._active[response_id] = Response(response_id, heard_from=t)
        request, self.asked = self.asked, None
        if request is not None:
            response.turn, response.greeting, response.text = request.turn, request.greeting, request.text
            response.dropped = request.cancelled
        self.said.append(response)
        return response

    def known(self, response_id: str | None) -> Response | None:
        """The response with that id that is under way; without an id, the latest."""
        if response_id is None and self._active:
            return list(self._active.values())[-1]
        return self._active.get(response_id)

    def over(self, response: Response) -> None:
        """A response is over: nothing more of it comes."""
        response.done = True
        for key in [key for key, one in self._active.items() if one is response]:
            del self._active[key]
        if response.response_id is not None:
            self._over.append(response.response_id)

    def lost(self) -> None:
        """The session is gone, and what it was making; what was asked for is asked for again in the next one."""
        for response in self.active():
            self.over(response)
        if self.asked is not None and not self.asked.cancelled and not self.asked.greeting:
            self.next = self.next or self.asked
        self.asked = None

    # -- turns

    def of_turn(self, turn: int) -> list[Response]:
        """The responses of an agent turn so far, in order."""
        return [one for one in self.said if one.turn == turn]

    def waiting(self) -> list[Response]:
        """Those that wait for the floor, in order."""
        return [one for one in self.said if one.turn is None and not one.dropped]

    def forget(self, turn: int) -> None:
        """An agent turn is over and done with."""
        self.said = [one for one in self.said if one.turn != turn and not (one.dropped and one.done)]

    def give_up(self, turn: int) -> None:
        """Nothing is asked for on behalf of that agent turn any more."""
        if self.next is not None and self.next.turn == turn:
            self.next = None
        if self.asked is not None and self.asked.turn == turn:
            self.asked.cancelled = True

    # -- time

    def deadline(self) -> float | None:
        """When `overdue` may have something new."""
        moments = [self.asked.asked_at + BEGIN_S] if self.asked is not None else []
        moments += [due for one in self._active.values() if (due := self._due(one)) is not None]
        return min(moments, default=None)

    def _due(self, one: Response) -> float | None:
        if one.cancelled_at is not None:
            return one.cancelled_at + CANCELLED_S
        named = one.response_id is not None or one.announced
        return one.heard_from + (STALLED_S if named else QUIET_S)

    def overdue(self, t: float) -> list[Response]:
        """Those whose end did not come, or is known by their silence alone."""
        return [one for one in self._active.values() if (due := self._due(one)) is not None and t >= due]

    def unanswered(self, t: float) -> Request | None:
        """What was asked for and has not begun in time."""
        if self.asked is None or t < self.asked.asked_at + BEGIN_S:
            return None
        return self.refused()
