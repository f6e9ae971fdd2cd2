"""The server's end of one connection: what goes out, in order, and what is still to happen on it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ending:
    """How the connection ends, after all that was sent before; without a code it breaks off."""

    code: int | None
    reason: str = ""


class SimulatedWire:
    """What any session sends through.

    Attributes:
        number: of the connection, from 1.
        received: the client's messages but for appended audio, with their times.
        sent: the events that it was sent, with their times.
        outgoing: what is still to be sent.
        close_code: with what the connection was closed, once it is.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.received: list[tuple[float, dict[str, Any]]] = []
        self.sent: list[tuple[float, dict[str, Any]]] = []
        self.outgoing: asyncio.Queue[dict[str, Any] | Ending] = asyncio.Queue()
        self.close_code: int | None = None
        self._loop = asyncio.get_running_loop()
        self._ids = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._mute = False

    @property
    def instructed(self) -> list[dict[str, Any]]:
        """The client's messages without their times."""
        return [message for _, message in self.received]

    def end(self, how: Ending) -> None:
        """End the connection after what was sent."""
        self.outgoing.put_nowait(how)
        self._mute = True

    def stop(self) -> None:
        """Nothing more happens."""
        self._mute = True
        for task in self._tasks:
            task.cancel()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def new_id(self, kind: str) -> str:
        """An id that no other connection uses."""
        self._ids += 1
        return f"{kind}_{self.number}x{self._ids:04d}"

    def emit(self, kind: str, **body: Any) -> None:
        """Send an event as it stands now."""
        if not self._mute:
            event = {"type": kind, "event_id": self.new_id("event"), **copy.deepcopy(body)}
            self.sent.append((self._loop.time(), event))
            self.outgoing.put_nowait(event)

    def error(self, code: str, text: str, param: str | None = None, event_id: Any = None) -> None:
        """Send an error; the session goes on."""
        kind = "server_error" if code == "server_error" else "invalid_request_error"
        error = {"type": kind, "code": code, "message": text, "param": param, "event_id": event_id}
        self.emit("error", error=error)

    def later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something after a while, unless the connection has ended by then."""

        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = self._loop.call_later(seconds, run)
        self._timers.add(timer)
        return timer
