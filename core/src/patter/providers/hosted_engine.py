"""Engines that are a whole agent at their vendor's, over one WebSocket: all that is not the vendor's own.

A plugin's class dials, begins the conversation, and says what a message is; what messages mean is in its
`HostedAgentReader`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from patter.errors import ProviderDisconnected
from patter.providers.hosted_agent import HostedAgentReader
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeSession
from patter.providers.vendor_socket import close_code, close_socket

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

    from patter.audio.formats import AudioFormat

logger = logging.getLogger(__name__)

Reader = TypeVar("Reader", bound=HostedAgentReader[Any])


class HostedEngine(RealtimeEngine, Generic[Reader]):
    """One conversation with a hosted agent. `connect()` may be called again when it was lost, with its history.

    The vendor decides about turns and interruptions, and begins to speak and to bill when the conversation begins, so
    that none can be parked.

    Args:
        provider: name of the provider, which errors carry.
        formats: format it takes and format it gives; a conversation that has begun may have set `_formats` to others.
    """

    def __init__(self, provider: str, formats: tuple[AudioFormat, AudioFormat]) -> None:
        self._provider = provider
        self._formats = formats
        self._socket: ClientConnection | None = None
        self._reader: Reader | None = None
        #: what `receive()` tells before anything else
        self._early: deque[RealtimeEvent] = deque()
        self._closed = False

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """See `RealtimeEngine.audio_formats`."""
        return self._formats

    # -- what a vendor has of its own

    @abstractmethod
    async def _dial(self, session: RealtimeSession) -> ClientConnection:
        """The socket of a new conversation. Raises `ProviderError`."""

    @abstractmethod
    async def _begin(self, socket: ClientConnection, session: RealtimeSession) -> Reader:
        """Begin the conversation over its socket, which is closed if this fails. Raises `ProviderError`."""

    @abstractmethod
    async def _read(
        self, socket: ClientConnection, reader: Reader, raw: str | bytes
    ) -> Iterable[RealtimeEvent]:
        """The events of a message; what has to be answered at once is."""

    @abstractmethod
    def _tool_result(self, call_id: str, output: str) -> Mapping[str, Any]:
        """The message that answers a tool call."""

    def _audio_message(self, chunk: bytes) -> str | bytes:
        """The message that a frame of the caller's audio is sent in; the audio itself by default."""
        return chunk

    # -- the session

    async def connect(self, session: RealtimeSession) -> None:
        """Begin a conversation, in place of the one there was.

        Raises:
            ProviderAuthError: the key is refused.
            RateLimitedError: there is no quota, or too many conversations at once.
            ProviderTimeout: no conversation in time.
            ProviderDisconnected: there is no connection, or the engine was closed.
            ProviderError: the conversation was refused for another reason; `vendor_code` says which.
        """
        if self._closed:
            raise self._lost("the engine was closed before it was connected")
        if session.patter_decides:
            logger.warning(
                "%s decides about interruptions and replies itself; strategies have no effect", self._provider
            )
        await self._leave()
        socket = self._socket = await self._dial(session)
        try:
            if self._closed:
                raise self._lost("the engine was closed while it was connecting")
            self._early.append(RealtimeEvent("session_ready"))
            self._reader = await self._begin(socket, session)
        except BaseException:
            await self._leave()
            raise

    async def close(self) -> None:
        """End the conversation. Idempotent."""
        self._closed = True
        await self._leave()

    async def _leave(self) -> None:
        socket, self._socket, self._reader = self._socket, None, None
        self._early.clear()
        if socket is not None:
            await close_socket(socket)

    def _lost(self, what: str) -> ProviderDisconnected:
        return ProviderDisconnected(f"{self._provider}: {what}", provider=self._provider)

    # -- to the agent

    async def send_audio(self, chunk: bytes) -> None:
        """A frame of the caller's audio; nothing after `close()`. Raises `ProviderDisconnected` without a connection."""
        if chunk:
            await self._send(self._audio_message(chunk))

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """Answer a tool call, at once: the agent waits for it. One that it does not wait for is not sent."""
        reader = self._reader
        if reader is None or call_id not in reader.calls:
            return
        del reader.calls[call_id]
        await self._send(json.dumps(self._tool_result(call_id, output)))

    async def _send(self, message: str | bytes) -> None:
        """Nothing after `close()`. Raises `ProviderDisconnected` without a connection."""
        from websockets.exceptions import ConnectionClosed

        if self._closed:
            return
        socket, reader = self._current()
        try:
            await socket.send(message)
        except ConnectionClosed:
            if self._reader is reader:
                raise self._lost("the connection is lost") from None

    def _current(self) -> tuple[ClientConnection, Reader]:
        if self._socket is None or self._reader is None:
            raise self._lost("connect() it first")
        return self._socket, self._reader

    # -- from the agent

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """See `RealtimeEngine.receive`. Raises `ProviderDisconnected` before `connect()`."""
        from websockets.exceptions import ConnectionClosed

        if self._closed:
            return
        socket, reader = self._current()
        while self._reader is reader:
            if self._early:
                yield self._early.popleft()
                continue
            try:
                found = await self._next(socket, reader)
            except ConnectionClosed as closed:
                async for event in self._end(reader, closed):
                    yield event
                return
            for event in found:
                if self._reader is not reader:
                    return
                yield event

    async def _next(self, socket: ClientConnection, reader: Reader) -> Iterable[RealtimeEvent]:
        """What the next message says, or the passing of time."""
        try:
            async with asyncio.timeout_at(reader.deadline):
                raw = await socket.recv()
        except TimeoutError:
            return reader.expire(asyncio.get_running_loop().time())
        return await self._read(socket, reader, raw)

    async def _end(self, reader: Reader, closed: ConnectionClosed) -> AsyncIterator[RealtimeEvent]:
        """What there is to say of a socket that is closed, unless it was closed here."""
        if self._reader is reader:
            for event in reader.end(asyncio.get_running_loop().time(), close_code(closed)):
                yield event
