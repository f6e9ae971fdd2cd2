"""A call of Ultravox as the engine of a phone call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from patter import net
from patter.audio.formats import MULAW_8K, AudioFormat, Encoding
from patter.errors import ProviderDisconnected, ProviderError, ProviderTimeout
from patter.providers.realtime import RealtimeEngine, RealtimeEvent, RealtimeSession
from patter.redaction import redact
from patter_ultravox.messages import call_request, join_url, parsed, tool_result
from patter_ultravox.reading import CallReader

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

    from patter.providers.context import ProviderContext
    from patter_ultravox.config import UltravoxConfig

logger = logging.getLogger(__name__)

PROVIDER: Final = "ultravox"
#: a long piece of uncompressed audio, in bytes
LONGEST_MESSAGE: Final = 4 << 20
#: time for the close handshake, in s
CLOSE_S: Final = 0.8

_LONGEST_ANSWER: Final = 256 * 1024
_WARMUP_S: Final = 5.0


class Ultravox(RealtimeEngine):
    """One call: made over HTTP, then joined over a WebSocket.

    The vendor decides about turns and interruptions. It begins to speak when the call is joined, and a call can be
    joined once, so nothing is joined beforehand; `warmup()` opens the connection over which the call is made.
    """

    def __init__(self, config: UltravoxConfig, context: ProviderContext) -> None:
        self._config = config
        self._context = context
        carrier = context.carrier_format or MULAW_8K
        self._formats = (
            AudioFormat(Encoding.PCM16, config.input_rate or carrier.rate),
            AudioFormat(Encoding.PCM16, config.output_rate or carrier.rate),
        )
        self._socket: ClientConnection | None = None
        self._reader: CallReader | None = None
        self._ready = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<Ultravox {self._config.model}>"

    def audio_formats(self) -> tuple[AudioFormat, AudioFormat]:
        """PCM at the carrier's rate, both ways, unless rates are configured; the vendor has no µ-law on its socket."""
        return self._formats

    # -- the session

    async def warmup(self) -> None:
        """Open a connection by asking for the list of models, which costs nothing.

        Raises `ProviderAuthError` for a key that does not work; anything else is left to the first call.
        """
        url = f"{self._config.base_url}/models"
        try:
            async with (
                asyncio.timeout(_WARMUP_S),
                self._http().get(url, headers=self._headers, allow_redirects=False) as response,
            ):
                await net.read_at_most(response, _LONGEST_ANSWER)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            logger.info("warming up %s failed: %s", PROVIDER, type(error).__name__)
            return
        if response.status in (401, 403):
            raise self._refused(response, b"")

    async def connect(self, session: RealtimeSession) -> None:
        """Make a call and join it.

        Raises:
            ProviderAuthError: the key is refused.
            RateLimitedError: too many calls at once.
            ProviderTimeout: no call, or no socket, in time.
            ProviderError: the call was refused; `vendor_code` is the HTTP status.
        """
        if self._closed:
            raise self._lost("the engine was closed before it was connected")
        if session.patter_decides:
            logger.warning(
                "%s decides about interruptions and replies itself; strategies have no effect", PROVIDER
            )
        await self._leave()
        url = await self._create(call_request(self._config, session, self._formats))
        socket = await net.connect_websocket(url, provider=PROVIDER, longest_message=LONGEST_MESSAGE)
        self._joined(socket)

    def _joined(self, socket: ClientConnection) -> None:
        if self._closed:
            socket.transport.abort()
            raise self._lost("the engine was closed while it was connecting")
        self._socket = socket
        now, name = asyncio.get_running_loop().time(), self._context.environment.new_id("response")
        gives, carrier = self._formats[1], self._context.carrier_format or MULAW_8K
        self._reader = CallReader(gives, now, name, resampled=gives.rate != carrier.rate)
        self._ready = True

    async def _create(self, body: dict[str, Any]) -> str:
        """Make a call; the address at which it is joined, once, and which therefore is a secret."""
        url = f"{self._config.base_url}/calls"
        try:
            async with (
                asyncio.timeout(self._config.create_s),
                self._http().post(url, json=body, headers=self._headers, allow_redirects=False) as response,
            ):
                raw = await net.read_at_most(response, _LONGEST_ANSWER)
        except TimeoutError:
            raise ProviderTimeout(
                f"{PROVIDER}: no call was made within {self._config.create_s:g} s", provider=PROVIDER
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(f"no connection: {type(error).__name__}") from None
        if response.status not in (200, 201):
            raise self._refused(response, raw)
        joined_at = join_url(_json(raw), encrypted=self._config.base_url.startswith("https:"))
        if joined_at is None:
            raise ProviderError(
                f"{PROVIDER} made a call without saying where to join it",
                provider=PROVIDER,
                vendor_code="no_join_url",
            )
        return joined_at

    async def close(self) -> None:
        """Hang up. Idempotent."""
        self._closed = True
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

    # -- to the vendor

    async def send_audio(self, chunk: bytes) -> None:
        """A frame of the caller's audio; nothing after `close()`. Raises `ProviderDisconnected` without a connection."""
        if chunk:
            await self._send(chunk)

    async def send_tool_result(self, call_id: str, output: str) -> None:
        """Answer a tool call, at once: the vendor waits for it, and speaks then."""
        reader = self._reader
        if reader is None or call_id not in reader.calls:
            return
        del reader.calls[call_id]
        await self._send(json.dumps(tool_result(call_id, output)))

    async def _send(self, message: str | bytes) -> None:
        from websockets.exceptions import ConnectionClosed

        if self._closed:
            return
        socket, reader = self._socket, self._reader
        if socket is None or reader is None:
            raise self._lost("connect() it first")
        try:
            await socket.send(message)
        except ConnectionClosed:
            if self._reader is reader:
                raise self._lost("the connection is lost") from None

    # -- from the vendor

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
                found = await self._next(socket, reader, clock)
            except ConnectionClosed as closed:
                if self._reader is not reader:
                    return
                for event in reader.end(clock(), orderly=_code(closed) == "1000"):
                    yield event
                yield RealtimeEvent("closed", detail=_code(closed))
                return
            for event in found:
                if self._reader is not reader:
                    return
                yield event

    async def _next(
        self, socket: ClientConnection, reader: CallReader, clock: Callable[[], float]
    ) -> Iterable[RealtimeEvent]:
        """What the next message says, or the passing of time."""
        try:
            async with asyncio.timeout_at(reader.deadline):
                raw = await socket.recv()
        except TimeoutError:
            return reader.expire(clock())
        if isinstance(raw, bytes):
            return reader.read_audio(raw, clock())
        message = parsed(raw)
        return reader.read(message, clock()) if message is not None else ()

    # -- HTTP

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-API-Key": self._config.key}

    def _http(self) -> aiohttp.ClientSession:
        if self._closed:
            raise self._lost("the engine was closed")
        return self._context.shared.get("ultravox/session", net.session)

    # -- failures

    def _lost(self, what: str) -> ProviderDisconnected:
        return ProviderDisconnected(f"{PROVIDER}: {what}", provider=PROVIDER)

    def _refused(self, response: aiohttp.ClientResponse, raw: bytes) -> ProviderError:
        said = redact(raw[:2_000].decode("utf-8", "replace"), [self._config.key])
        hint = "; check ULTRAVOX_API_KEY" if response.status in (401, 403) else ""
        return net.status_error(
            response.status,
            f"{PROVIDER} answered HTTP {response.status}: {said or 'no reason given'}{hint}",
            provider=PROVIDER,
            retry_after=response.headers.get("Retry-After"),
        )


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _code(closed: ConnectionClosed) -> str:
    return str(closed.rcvd.code) if closed.rcvd is not None else "connection lost"
