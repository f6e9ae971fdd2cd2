"""The media connection of one call over aiohttp's server-side WebSocket."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import WSMsgType, web

from patter.call.connection import CarrierConnection

logger = logging.getLogger(__name__)

#: Longest message that is taken, in bytes of UTF-8; longer ones are dropped.
LONGEST_MESSAGE = 1024 * 1024
#: Beyond this, in bytes, the connection is closed with 1009 (CC-05).
LONGEST_TOLERATED = 4 * 1024 * 1024
#: How long the peer has to answer our close, in seconds.
CLOSE_TIMEOUT_S = 1.0


class WebSocketConnection(CarrierConnection):
    """A `CarrierConnection` over aiohttp's server-side WebSocket; it has no task or timer of its own."""

    def __init__(self, name: str) -> None:
        # No deflate: audio in base64 gains nothing by it. aiohttp refuses sizes from `max_msg_size` on.
        self._socket = web.WebSocketResponse(
            compress=False, max_msg_size=LONGEST_TOLERATED + 1, timeout=CLOSE_TIMEOUT_S
        )
        self._transport: asyncio.Transport | None = None
        self._name = name
        self._gone = True

    def can_open(self, request: web.Request) -> bool:
        """Whether the request is a WebSocket upgrade that can be accepted."""
        try:
            return self._socket.can_prepare(request).ok
        except ValueError:  # of a key that is no ASCII, which aiohttp lets through
            return False

    async def open(self, request: web.Request) -> web.WebSocketResponse:
        """Accept the upgrade. When the client is gone by then, the connection is one that has ended."""
        try:
            await self._socket.prepare(request)
        except ConnectionError:
            return self._socket
        self._transport = request.transport
        self._gone = self._transport is None
        return self._socket

    @property
    def close_code(self) -> int | None:
        """The code the connection was closed with; 1006 if it broke off."""
        return self._socket.close_code

    async def receive_text(self) -> str | None:
        """The next message; see `CarrierConnection.receive_text`."""
        while not self._gone:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                text: str = message.data
                # At most 4 bytes to a character, so that most messages need not be encoded to be measured.
                if len(text) * 4 <= LONGEST_MESSAGE or len(text.encode()) <= LONGEST_MESSAGE:
                    return text
                logger.warning("%s: dropped a media message of %d characters", self._name, len(text))
            elif message.type is WSMsgType.BINARY:
                logger.warning(
                    "%s: dropped a binary media message of %d bytes", self._name, len(message.data)
                )
            else:
                if self._socket.close_code == 1009:
                    logger.warning("%s: closed a media connection: message above 4 MiB", self._name)
                self._gone = True
        return None

    async def send_text(self, text: str) -> None:
        """Send a message; see `CarrierConnection.send_text`."""
        if self._gone:
            return
        try:
            await self._socket.send_str(text)
        except ConnectionError:
            # The reader learns it too, and it is the reader that ends the call.
            return

    def unsent_bytes(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close; see `CarrierConnection.close`."""
        if self._transport is None or self._socket.closed:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode()[:120])
        except TimeoutError:
            self._transport.abort()
