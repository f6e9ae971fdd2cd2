"""An agent of Conversational AI as the engine of a call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from patter import net
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import ProviderAuthError, ProviderDisconnected, ProviderError, ProviderTimeout
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeSession
from patter.providers.vendor_json import part, text
from patter.redaction import redact
from patter_elevenlabs.convai_messages import (
    audio_chunk,
    format_of,
    history_update,
    initiation,
    number,
    parsed,
    tool_result,
)
from patter_elevenlabs.convai_reading import ConversationReader, error_code

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

    from patter.providers.context import ProviderContext
    from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig

logger = logging.getLogger(__name__)

PROVIDER: Final = "elevenlabs-convai"
#: time to the metadata of a conversation, in s
METADATA_S: Final = 10.0
#: a message with a long piece of uncompressed audio, in bytes
LONGEST_MESSAGE: Final = 4 << 20
#: a call that the agent has ended is expected to end within this, in s
CALL_END_S: Final = 30.0
#: time for the close handshake, in s
CLOSE_S: Final = 0.8

_METADATA: Final = "conversation_initiation_metadata"
_MESSAGES_BEFORE: Final = 64
_HINTS: Final = {
    "override_error": "allow it in the agent's security settings, or do not set it (hosted_prompt keeps its prompt)",
    "missing_dynamic_variable": "set dynamic_variables",
}


class ElevenLabsConvai(RealtimeEngine):
    """One conversation with a hosted agent.

    The vendor decides about turns and interruptions. It begins to speak and to bill when the socket is open, so a
    connection cannot be parked; it has no session to resume, so a lost one is made anew and told what was said.
    """

    def __init__(self, config: ElevenLabsConvaiConfig, context: ProviderContext) -> None:
        self._config = config
        self._environment = context.environment
        self._formats = (MULAW_8K, MULAW_8K)
        self._socket: ClientConnection | None = None
        self._reader: ConversationReader | None = None
        self._early: deque[Mapping[str, Any]] = deque()
        self._ready = False
        self._over = asyncio.Event()
        self._closed = False

    def __repr__(self) -> str:
        return f"<ElevenLabsConvai {self._config.agent_id}>"

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """µ-law both ways, until the agent's metadata says otherwise: they are settings of the agent (RT-19)."""
        return self._formats

    # -- the session

    async def connect(self, session: RealtimeSession) -> None:
        """Begin a conversation and wait for its metadata, before which no audio may be sent (RT-22).

        Raises:
            ProviderAuthError: the key or the agent's id is refused.
            ProviderTimeout: no socket or no metadata in time.
            ProviderError: the agent does not allow an override, or lacks a variable; `vendor_code` says which.
        """
        if self._closed:
            raise self._lost("the engine was closed before it was connected")
        if session.patter_decides:
            logger.warning(
                "%s decides about interruptions and replies itself; strategies have no effect", PROVIDER
            )
        await self._leave()
        socket = await net.connect_websocket(
            self._config.socket_url,
            headers=self._config.headers,
            provider=PROVIDER,
            longest_message=LONGEST_MESSAGE,
        )
        self._socket = socket
        try:
            if self._closed:
                raise self._lost("the engine was closed while it was connecting")
            await self._begin(socket, session)
        except BaseException:
            await self._leave()
            raise

    async def _begin(self, socket: ClientConnection, session: RealtimeSession) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(METADATA_S):
                await socket.send(json.dumps(initiation(self._config, session)))
                metadata = await self._metadata(socket)
                history = history_update(session)
                if history is not None:
                    await socket.send(json.dumps(history))
        except TimeoutError:
            raise ProviderTimeout(
                f"{PROVIDER}: no metadata of the conversation within {METADATA_S:g} s", provider=PROVIDER
            ) from None
        except ConnectionClosed as closed:
            raise self._refused(closed) from None
        self._formats = (
            self._format(metadata, "user_input_audio_format"),
            self._format(metadata, "agent_output_audio_format"),
        )
        now, name = asyncio.get_running_loop().time(), self._environment.new_id("response")
        self._reader = ConversationReader(session, self._formats[1], now, name)
        self._ready = True

    async def _metadata(self, socket: ClientConnection) -> Mapping[str, Any]:
        """The metadata; what comes before it is kept for later, in order (RT-15)."""
        self._early.clear()
        while True:
            message = parsed(await socket.recv())
            if message is None:
                continue
            kind = message["type"]
            if kind == _METADATA:
                return part(message, f"{_METADATA}_event")
            if kind in ("error", "client_error"):
                raise self._failure(message)
            if kind == "ping":
                await self._answer(socket, message)
            elif len(self._early) < _MESSAGES_BEFORE:
                self._early.append(message)

    def _format(self, metadata: Mapping[str, Any], name: str) -> AudioFormat:
        found = format_of(metadata, name)
        if found is None:
            raise ProviderError(
                f"{PROVIDER}: the agent's {name} is none that is known; set it to ulaw_8000 in the agent",
                provider=PROVIDER,
                vendor_code="unknown_format",
            )
        return found

    async def close(self) -> None:
        """End the conversation. Idempotent."""
        self._closed = True
        self._over.set()
        await self._leave()

    async def _leave(self) -> None:
        socket, self._socket, self._reader, self._ready = self._socket, None, None, False
        if socket is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await socket.close()
        except TimeoutError:
            pass
        finally:  # also when this is cancelled
            socket.transport.abort()

    # -- to the agent

    async def send_audio(self, chunk: bytes) -> None:
        """A frame of the caller's audio; nothing after `close()`. Raises `ProviderDisconnected` without a connection."""
        if chunk:
            await self._send(audio_chunk(chunk))

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """Answer a tool call, at once: the agent waits for it. One that it does not wait for is not sent."""
        reader = self._reader
        if reader is None or call_id not in reader.calls:
            return
        del reader.calls[call_id]
        await self._send(json.dumps(tool_result(call_id, output)))

    async def _send(self, message: str) -> None:
        from websockets.exceptions import ConnectionClosed

        if self._closed:
            return
        socket, reader = self._socket, self._reader
        if socket is None or reader is None:
            raise self._lost("connect() it first")
        try:
            await socket.send(message)
        except ConnectionClosed:
            if self._reader is reader and not reader.ends_call:
                raise self._lost("the connection is lost") from None

    # -- from the agent

    async def receive(self) -> AsyncIterator[RealtimeEvent]:
        """See `RealtimeEngine.receive`. Raises `ProviderDisconnected` before `connect()`."""
        from websockets.exceptions import ConnectionClosed

        socket, reader = self._socket, self._reader
        if self._closed:
            return
        if socket is None or reader is None:
            raise self._lost("connect() it first")
        ready, self._ready = self._ready, False
        if ready:
            yield RealtimeEvent("session_ready")
        clock = asyncio.get_running_loop().time
        while self._reader is reader:
            try:
                message = await self._next(socket, reader)
            except ConnectionClosed as closed:
                async for event in self._end(reader, closed):
                    yield event
                return
            found = reader.expire(clock()) if message is None else reader.read(message, clock())
            for event in found:
                if self._reader is not reader:
                    return
                yield event

    async def _end(
        self, reader: ConversationReader, closed: ConnectionClosed
    ) -> AsyncIterator[RealtimeEvent]:
        """What there is to say of a socket that is closed; a call that the agent has ended is left to end by itself."""
        clock = asyncio.get_running_loop().time
        if reader.ends_call:
            while not self._over.is_set() and (deadline := reader.deadline) is not None:
                await self._until_over(deadline - clock())
                for event in reader.expire(clock()):
                    yield event
            await self._until_over(CALL_END_S)
        if self._reader is not reader:
            return
        orderly = closed.rcvd is not None and closed.rcvd.code == 1000
        for event in reader.end(clock(), orderly=orderly):
            yield event
        yield RealtimeEvent("closed", detail=reader.reason or _close_code(closed))

    async def _until_over(self, seconds: float) -> None:
        """Until `close()`, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._over.wait()

    async def _next(self, socket: ClientConnection, reader: ConversationReader) -> Mapping[str, Any] | None:
        """The next message, pings answered; None when it is time for `expire()`, or for what is no message."""
        if self._early:
            return self._early.popleft()
        try:
            async with asyncio.timeout_at(reader.deadline):
                message = parsed(await socket.recv())
        except TimeoutError:
            return None
        if message is not None and message["type"] == "ping":
            await self._answer(socket, message)
            return None
        return message

    async def _answer(self, socket: ClientConnection, message: Mapping[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        event_id = number(part(message, "ping_event"), "event_id")
        if event_id is not None:
            with suppress(ConnectionClosed):  # what came with the close is still to be read
                await socket.send(json.dumps({"type": "pong", "event_id": event_id}))

    # -- failures

    def _lost(self, what: str) -> ProviderDisconnected:
        return ProviderDisconnected(f"{PROVIDER}: {what}", provider=PROVIDER)

    def _failure(self, message: Mapping[str, Any]) -> ProviderError:
        """An error in place of the metadata."""
        kind = error_code(message)
        fields = part(message, "error_event")
        key = self._config.api_key.get_secret_value() if self._config.api_key is not None else ""
        said = redact(text(fields, "message") or text(fields, "reason"), [key] if key else [])
        hint = f"; {_HINTS[kind]}" if kind in _HINTS else ""
        return ProviderError(
            f"{PROVIDER} refused the conversation with {kind}: {said or 'no reason given'}{hint}",
            provider=PROVIDER,
            vendor_code=kind,
        )

    def _refused(self, closed: ConnectionClosed) -> ProviderError:
        """A close in place of the metadata."""
        code = _close_code(closed)
        if code == "1008":
            return ProviderAuthError(
                f"{PROVIDER} refused the conversation: check ELEVENLABS_API_KEY, agent_id, and that the agent allows what "
                "this call changes of it",
                provider=PROVIDER,
                vendor_code=code,
            )
        return ProviderDisconnected(
            f"{PROVIDER} closed the conversation before it began ({code})",
            provider=PROVIDER,
            vendor_code=code,
        )


def _close_code(closed: ConnectionClosed) -> str:
    return str(closed.rcvd.code) if closed.rcvd is not None else "connection lost"
