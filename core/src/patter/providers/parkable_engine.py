"""Engines whose open session can wait for a call: a live session and a parked one are the same object, a link."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

from patter.errors import ProviderDisconnected
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeSession
from patter.providers.vendor_socket import close_socket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class SessionLink(ABC):
    """An open session, with all that belongs to it.

    Attributes:
        session: what it was opened with.
        events: what was read, or decided here, and not yet fetched, in order.
        over: whether the session has ended.
    """

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: deque[RealtimeEvent] = deque()
        self.over = False
        self._socket: ClientConnection | None = None
        self._closed = False

    @abstractmethod
    async def _read(self) -> None:
        """Wait for the next message, or for the clock, and put what there is to say of it into `events`."""

    @property
    def is_open(self) -> bool:
        """Whether the connection is up."""
        socket = self._socket
        return not (self._closed or self.over) and socket is not None and socket.state.name == "OPEN"

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """The events of the session; ends with `closed`, or quietly by `close()`."""
        while True:
            while self.events:
                yield self.events.popleft()
            if self.over or self._closed:
                return
            await self._read()

    async def write(self, raw: str) -> None:
        """Send a text; nothing once the session is lost, which is an event of its own."""
        from websockets.exceptions import ConnectionClosed

        if self._socket is None or self.over:
            return
        with suppress(ConnectionClosed):
            await self._socket.send(raw)

    async def close(self) -> None:
        """End the session, within 1 s. Idempotent."""
        self._closed = True
        self.events.clear()
        await self._release()

    async def _release(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await close_socket(socket)


Link = TypeVar("Link", bound=SessionLink)


class ParkableEngine(RealtimeEngine, Generic[Link]):
    """One call's engine. `connect()` may be called again when the session was lost, with its history (RT-11).

    Args:
        provider: name of the provider, which errors carry.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._link: Link | None = None
        self._closed = False

    @abstractmethod
    async def _open(self, session: RealtimeSession) -> Link:
        """Open a session. Raises `ProviderError`."""

    async def connect(self, session: RealtimeSession) -> None:
        """Open a session, in place of the one there was. Raises `ProviderError`."""
        await self._use(await self.open_parked_connection(session))

    async def open_parked_connection(self, session: RealtimeSession) -> Link:
        """A session opened as `connect()` opens it, for `adopt_websocket()`. Raises `ProviderError`."""
        if self._closed:
            raise self._lost("the engine was closed")
        return await self._open(session)

    async def adopt_websocket(self, handle: Link) -> None:
        """Use a parked session as it is; nothing is sent. Closes another one that it had.

        Raises `ProviderDisconnected` for one that is no longer open.
        """
        if handle is self._link:
            return
        if self._closed or not handle.is_open:
            raise self._lost("the parked connection is closed")
        await self._use(handle)

    async def _use(self, link: Link) -> None:
        before, self._link = self._link, link
        if before is not None:
            await before.close()
        if self._closed:  # while it was being opened
            await link.close()
            raise self._lost("the engine was closed while it was connecting")

    async def close(self) -> None:
        """End the session and `receive()`. Idempotent."""
        self._closed = True
        if self._link is not None:
            await self._link.close()

    def _current(self) -> Link:
        if self._link is None:
            raise self._lost("the engine is not connected")
        return self._link

    def _lost(self, what: str) -> ProviderDisconnected:
        return ProviderDisconnected(f"{self._provider}: {what}", provider=self._provider)
