"""One session with the engine, live or parked: its socket, which may be replaced, and all that belongs to it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, Self

from patter import net
from patter.errors import ProviderDisconnected, ProviderError, ProviderTimeout
from patter.providers.parkable_engine import SessionLink
from patter.providers.realtime import RealtimeEvent, RealtimeSession
from patter.providers.vendor_json import json_object
from patter.providers.vendor_socket import close_code
from patter_google import live_messages as messages
from patter_google.live_errors import PROVIDER, opening_error
from patter_google.live_reading import LiveReader

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from patter_google.live_config import GeminiLiveConfig

#: a message with a long piece of uncompressed audio, in bytes
LONGEST_MESSAGE: Final = 4 << 20
#: the vendor's answers to pings may take 30 s, so that a socket is given up later than others, in s
PONG_S: Final = 60.0
#: a session that is to be resumed is left so long before the vendor would close it, in s
LEAVE_EARLY_S: Final = 1.5
#: messages that wait while a session is resumed; audio beyond this is lost
MOST_WAITING: Final = 1_500

_MESSAGES_BEFORE: Final = 64


class LiveLink(SessionLink):
    """An open session. What parking returns is one of these, and adopting it is to use it.

    Attributes:
        reader: what the server's messages mean.
        turn_is_open: whether the server was told, in this connection, that the caller's turn begins.
    """

    def __init__(self, config: GeminiLiveConfig, session: RealtimeSession, name: str) -> None:
        super().__init__(session)
        self.reader = LiveReader(name)
        self.turn_is_open = False
        self._config = config
        self._receiving: asyncio.Task[str | bytes] | None = None
        self._waiting: deque[str] | None = None
        self._told = asyncio.Event()

    def __repr__(self) -> str:
        return f"<LiveLink {self._config.model}{'' if self.is_open else ', closed'}>"

    # -- opening

    @classmethod
    async def open(cls, config: GeminiLiveConfig, session: RealtimeSession, name: str) -> Self:
        """Connect, send the settings, wait for their acknowledgement, and tell what was said before.

        Raises:
            ProviderAuthError: the key is refused.
            RateLimitedError: there is no quota.
            ProviderTimeout: no session within `connect_s`.
            ProviderDisconnected: there is no connection.
            ProviderError: a setting is refused.
        """
        link = cls(config, session, name)
        await link._connect("")
        link.events.append(RealtimeEvent("session_ready"))
        return link

    async def _connect(self, handle: str) -> None:
        config = self._config
        deadline = asyncio.get_running_loop().time() + config.connect_s
        socket = await net.connect_websocket(
            config.socket_url,
            headers={"x-goog-api-key": config.key},
            provider=PROVIDER,
            connect_s=config.connect_s,
            longest_message=LONGEST_MESSAGE,
        )
        socket.ping_timeout = PONG_S
        try:
            async with asyncio.timeout_at(deadline):
                early = await self._set_up(socket, handle)
        except TimeoutError:
            socket.transport.abort()
            raise ProviderTimeout(
                f"{PROVIDER} opened no session within connect_s={config.connect_s:g}", provider=PROVIDER
            ) from None
        except BaseException:
            socket.transport.abort()
            raise
        if self._closed:
            socket.transport.abort()
            raise ProviderDisconnected("the engine was closed while it was connecting", provider=PROVIDER)
        self._socket = socket
        self._take(early)

    async def _set_up(self, socket: ClientConnection, handle: str) -> list[str | bytes]:
        """Returns the messages that came before the acknowledgement, which are read after it (RT-15)."""
        from websockets.exceptions import ConnectionClosed

        early: list[str | bytes] = []
        try:
            await socket.send(messages.dumped(messages.setup(self._config, self.session, handle)))
            while True:
                raw = await socket.recv()
                message = json_object(raw)
                if len(early) < _MESSAGES_BEFORE:
                    early.append(raw)
                if message is not None and "setupComplete" in message:
                    break
            said = None if handle else messages.history(self._config, self.session)
            if said is not None:
                await socket.send(messages.dumped(said))
        except ConnectionClosed as closed:
            raise opening_error(closed, self._config.key) from None
        return early

    def _take(self, raws: list[str | bytes]) -> None:
        now = asyncio.get_running_loop().time()
        for raw in raws:
            message = json_object(raw)
            if message is not None:
                self.events.extend(self.reader.read(message, now))

    # -- sending

    async def send(self, message: messages.ClientMessage) -> None:
        """Send a message; nothing once the session is lost, which is an event of its own."""
        await self.write(messages.dumped(message))

    async def write(self, raw: str) -> None:
        """Send a text; it waits while the session is resumed."""
        if self._waiting is not None:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(raw)
            return
        await super().write(raw)

    def tell(self, events: list[RealtimeEvent]) -> None:
        """Events of our own making, for `receive()`."""
        self.events.extend(events)
        self._told.set()

    # -- receiving

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """The events of the session; ends with `closed`, or quietly by `close()`."""
        try:
            async for event in super().receive():
                yield event
        finally:
            self._stop_receiving()

    async def _read(self) -> None:
        """Wait for a message, for something of our own, or for the clock, and put the events into `events`."""
        from websockets.exceptions import ConnectionClosed

        loop = asyncio.get_running_loop()
        if self._must_leave(loop.time()):
            await self._resume()
            return
        raw: str | bytes | None = None
        try:
            raw = await self._next()
        except ConnectionClosed as closed:
            self._ended(close_code(closed))
            return
        if raw is not None:
            self._take([raw])
        self.events.extend(self.reader.expire(loop.time()))

    async def _next(self) -> str | bytes | None:
        """The next message; None when there is something else to do."""
        assert self._socket is not None
        receiving = self._receiving
        if receiving is None:
            receiving = self._receiving = asyncio.ensure_future(self._socket.recv())
        told = asyncio.ensure_future(self._told.wait())
        try:
            await asyncio.wait(
                (receiving, told), timeout=self._patience(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            told.cancel()
        self._told.clear()
        if not receiving.done() or self._closed:
            return None
        self._receiving = None
        return receiving.result()

    def _patience(self) -> float | None:
        moments = [self.reader.deadline]
        if self.reader.leave_by is not None and self.reader.handle:
            moments.append(self.reader.leave_by - LEAVE_EARLY_S)
        due = min((one for one in moments if one is not None), default=None)
        return None if due is None else max(0.0, due - asyncio.get_running_loop().time())

    def _stop_receiving(self) -> None:
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            receiving.add_done_callback(_looked_at)
            receiving.cancel()

    # -- resuming

    def _must_leave(self, now: float) -> bool:
        """Whether the connection is to be replaced now: between two responses, or when there is no more time."""
        leave_by = self.reader.leave_by
        if leave_by is None or not self.reader.handle:
            return False
        return self.reader.is_idle or now >= leave_by - LEAVE_EARLY_S

    async def _resume(self) -> None:
        """Go on in a new connection. The old one is closed before: the vendor resumes no session that is in use."""
        self._waiting = deque()
        self._stop_receiving()
        self.reader.leave_by = None
        self.reader.turn_runs = self.turn_is_open = False
        try:
            await self._release()
            await self._connect(self.reader.handle)
        except ProviderError as error:
            self._ended(f"not resumed: {type(error).__name__}")
            return
        while self._waiting:
            waiting, self._waiting = self._waiting, deque()
            for raw in waiting:
                await super().write(raw)
        self._waiting = None

    # -- the end

    def _ended(self, detail: str) -> None:
        self.over = True
        self._waiting = None
        if not self._closed:  # by us, it ends quietly
            self.events.extend(self.reader.end(asyncio.get_running_loop().time()))
            self.events.append(RealtimeEvent("closed", detail=detail))

    async def close(self) -> None:
        """End the session, within 1 s. Idempotent."""
        self._told.set()
        await super().close()


def _looked_at(receiving: asyncio.Task[str | bytes]) -> None:
    """Nobody is told of a failure that came while the task was given up."""
    if not receiving.cancelled():
        receiving.exception()
