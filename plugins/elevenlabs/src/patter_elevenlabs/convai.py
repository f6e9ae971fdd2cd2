"""An agent of Conversational AI as the engine of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from patter import net
from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import ProviderAuthError, ProviderDisconnected, ProviderError, ProviderTimeout
from patter.providers.hosted_engine import HostedEngine
from patter.providers.vendor_json import part, text, typed_object
from patter.providers.vendor_socket import close_code
from patter.redaction import redact
from patter_elevenlabs.convai_messages import (
    audio_chunk,
    format_of,
    history_update,
    initiation,
    number,
    tool_result,
)
from patter_elevenlabs.convai_reading import ConversationReader, error_code

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

    from patter.providers.context import ProviderContext
    from patter.providers.realtime import RealtimeEvent, RealtimeSession
    from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig

PROVIDER: Final = "elevenlabs-convai"
#: time to the metadata of a conversation, in s
METADATA_S: Final = 10.0
#: a message with a long piece of uncompressed audio, in bytes
LONGEST_MESSAGE: Final = 4 << 20
#: a call that the agent has ended is expected to end within this, in s
CALL_END_S: Final = 30.0

_METADATA: Final = "conversation_initiation_metadata"
_MESSAGES_BEFORE: Final = 64
_HINTS: Final = {
    "override_error": "allow it in the agent's security settings, or do not set it (hosted_prompt keeps its prompt)",
    "missing_dynamic_variable": "set dynamic_variables",
}


class ElevenLabsConvai(HostedEngine[ConversationReader]):
    """One conversation with an agent; it is connected when the agent's metadata are there (RT-22).

    The formats are µ-law both ways, until the metadata say otherwise: they are settings of the agent (RT-19). A lost
    conversation cannot be resumed: it is made anew and told what was said.
    """

    def __init__(self, config: ElevenLabsConvaiConfig, context: ProviderContext) -> None:
        super().__init__(PROVIDER, (MULAW_8K, MULAW_8K))
        self._config = config
        self._environment = context.environment
        self._over = asyncio.Event()

    def __repr__(self) -> str:
        return f"<ElevenLabsConvai {self._config.agent_id}>"

    # -- the session

    async def _dial(self, session: RealtimeSession) -> ClientConnection:
        return await net.connect_websocket(
            self._config.socket_url,
            headers=self._config.headers,
            provider=PROVIDER,
            longest_message=LONGEST_MESSAGE,
        )

    async def _begin(self, socket: ClientConnection, session: RealtimeSession) -> ConversationReader:
        """Wait for the metadata, before which no audio may be sent, and pass on what came before them (RT-15)."""
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(METADATA_S):
                await socket.send(json.dumps(initiation(self._config, session)))
                metadata, early = await self._metadata(socket)
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
        reader = ConversationReader(session, self._formats[1], now, name)
        for message in early:
            self._early.extend(reader.read(message, now))
        return reader

    async def _metadata(self, socket: ClientConnection) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        """The metadata, and what came before them, in order."""
        early: list[Mapping[str, Any]] = []
        while True:
            message = typed_object(await socket.recv())
            if message is None:
                continue
            kind = message["type"]
            if kind == _METADATA:
                return part(message, f"{_METADATA}_event"), early
            if kind in ("error", "client_error"):
                raise self._failure(message)
            if kind == "ping":
                await self._answer(socket, message)
            elif len(early) < _MESSAGES_BEFORE:
                early.append(message)

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
        self._over.set()
        await super().close()

    # -- to the agent

    def _audio_message(self, chunk: bytes) -> str:
        return audio_chunk(chunk)

    def _tool_result(self, call_id: str, output: str) -> Mapping[str, Any]:
        return tool_result(call_id, output)

    async def _send(self, message: str | bytes) -> None:
        """Nobody is told of a lost connection when the agent itself has ended the call."""
        reader = self._reader
        try:
            await super()._send(message)
        except ProviderDisconnected:
            if reader is None or not reader.ends_call:
                raise

    # -- from the agent

    async def _read(
        self, socket: ClientConnection, reader: ConversationReader, raw: str | bytes
    ) -> Iterable[RealtimeEvent]:
        message = typed_object(raw)
        if message is not None and message["type"] == "ping":
            await self._answer(socket, message)
            return ()
        return reader.read(message, asyncio.get_running_loop().time()) if message is not None else ()

    async def _end(
        self, reader: ConversationReader, closed: ConnectionClosed
    ) -> AsyncIterator[RealtimeEvent]:
        """A call that the agent has ended is left to end by itself."""
        clock = asyncio.get_running_loop().time
        if reader.ends_call:
            while not self._over.is_set() and (deadline := reader.deadline) is not None:
                await self._until_over(deadline - clock())
                for event in reader.expire(clock()):
                    yield event
            await self._until_over(CALL_END_S)
        async for event in super()._end(reader, closed):
            yield event

    async def _until_over(self, seconds: float) -> None:
        """Until `close()`, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._over.wait()

    async def _answer(self, socket: ClientConnection, message: Mapping[str, Any]) -> None:
        from websockets.exceptions import ConnectionClosed

        event_id = number(part(message, "ping_event"), "event_id")
        if event_id is not None:
            with suppress(ConnectionClosed):  # what came with the close is still to be read
                await socket.send(json.dumps({"type": "pong", "event_id": event_id}))

    # -- failures

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
        code = close_code(closed)
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
