"""One connection to the engine, live or parked: its socket and all that belongs to the session behind it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from patter import net
from patter.audio.formats import AudioFormat
from patter.errors import ProviderDisconnected, ProviderError, ProviderTimeout
from patter.providers.parkable_engine import SessionLink
from patter.providers.realtime import RealtimeEvent, RealtimeSession
from patter_openai import realtime_messages as messages
from patter_openai.realtime_errors import EXPIRED, PROVIDER, close_detail, opening_error
from patter_openai.realtime_events import EventReader, ServerMessage, parsed

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

    from patter_openai.realtime_config import OpenAIRealtimeConfig

#: a response that was called cancelled is over after this, in s, whether or not the server says so
CANCELLED_S: Final = 1.0


class RealtimeLink(SessionLink):
    """An open session. What parking returns is one of these, and adopting it is to use it.

    Attributes:
        reader: what the server's events mean.
    """

    def __init__(
        self,
        socket: ClientConnection,
        session: RealtimeSession,
        config: OpenAIRealtimeConfig,
        reader: EventReader,
    ) -> None:
        super().__init__(session)
        self.reader = reader
        self._socket = socket
        self._config = config
        self._sent = 0
        self._cancelled_until: float | None = None

    def __repr__(self) -> str:
        return f"<RealtimeLink {self._config.model}{'' if self.is_open else ', closed'}>"

    @classmethod
    async def open(
        cls, config: OpenAIRealtimeConfig, session: RealtimeSession, audio_format: AudioFormat
    ) -> Self:
        """Connect, send the settings and the history, and wait until the session is there.

        The settings do not wait for the server's first word: they are under way while it comes.

        Raises:
            ProviderAuthError: the key is refused, at the upgrade or after it.
            RateLimitedError: there is no quota, or too many sessions.
            ProviderTimeout: no session within `connect_s`.
            ProviderDisconnected: there is no connection.
            ProviderError: the server refused the session for another reason.
        """
        deadline = asyncio.get_running_loop().time() + config.connect_s
        socket = await net.connect_websocket(
            config.socket_url,
            headers={"Authorization": f"Bearer {config.key}"} if config.key else {},
            provider=PROVIDER,
            connect_s=config.connect_s,
        )
        link = cls(socket, session, config, EventReader(audio_format))
        try:
            async with asyncio.timeout_at(deadline):
                await link._set_up(socket, audio_format)
        except TimeoutError:
            socket.transport.abort()
            raise ProviderTimeout(
                f"the engine opened no session within connect_s={config.connect_s:g}", provider=PROVIDER
            ) from None
        except BaseException:
            socket.transport.abort()
            raise
        return link

    async def _set_up(self, socket: ClientConnection, audio_format: AudioFormat) -> None:
        await self.send("session", messages.session_update(self._config, self.session, audio_format))
        for message in self.session.history:
            for item in messages.conversation_items(message):
                await self.send("history", item)
        from websockets.exceptions import ConnectionClosed

        while not self.reader.ready:
            try:
                text = await socket.recv()
            except ConnectionClosed as closed:
                raise self._lost(closed) from None
            refusal = _refusal(text)
            if refusal is not None:
                raise opening_error(refusal)
            self.events.extend(self.reader.read(text))

    # -- sending

    async def send(self, request: str, message: messages.ClientMessage) -> None:
        """Send a message whose failure is to be told as that of `request`; nothing once the connection is lost."""
        self._sent += 1
        await self.write(messages.dumped({**message, "event_id": f"{request}-{self._sent}"}))

    # -- receiving

    async def _read(self) -> None:
        """Wait for the next message and put its events into `events`; at the end, that of the connection."""
        from websockets.exceptions import ConnectionClosed

        assert self._socket is not None
        try:
            async with asyncio.timeout_at(self._cancelled_until):
                text = await self._socket.recv()
        except TimeoutError:
            self.events.extend(self.reader.give_up_waiting())
            self._cancelled_until = None
        except ConnectionClosed as closed:
            self._ended(close_detail(*_close_of(closed)))
        else:
            self.events.extend(self.reader.read(text))
            self._watch_cancelled()
            if self.reader.fatal:
                self._ended(self.reader.fatal)
                await self._release()

    def _watch_cancelled(self) -> None:
        if not self.reader.waits:
            self._cancelled_until = None
        elif self._cancelled_until is None:
            self._cancelled_until = asyncio.get_running_loop().time() + CANCELLED_S

    def _ended(self, detail: str) -> None:
        self.over = True
        if not self._closed:  # by us, it ends quietly
            detail = EXPIRED if self.reader.last_code == EXPIRED else detail
            self.events.append(RealtimeEvent("closed", detail=detail))

    def _lost(self, closed: ConnectionClosed) -> ProviderError:
        code, reason = _close_of(closed)
        detail = close_detail(code, reason)
        return ProviderDisconnected(
            f"the engine closed the connection: {detail}", provider=PROVIDER, vendor_code=str(code or "")
        )


def _refusal(text: str | bytes) -> ServerMessage | None:
    """The error that a server sends in place of a session."""
    message = parsed(text)
    return message if message is not None and message.get("type") == "error" else None


def _close_of(closed: ConnectionClosed) -> tuple[int | None, str]:
    frame = closed.rcvd
    return (None, "") if frame is None else (frame.code, frame.reason)
