"""A call of Ultravox as the engine of a phone call."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from patter import net
from patter.audio.formats import MULAW_8K, AudioFormat, Encoding
from patter.errors import ProviderError, ProviderTimeout
from patter.providers.hosted_engine import HostedEngine
from patter.providers.vendor_json import typed_object
from patter.redaction import redact
from patter_ultravox.messages import call_request, join_url, tool_result
from patter_ultravox.reading import CallReader

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from patter.providers.context import ProviderContext
    from patter.providers.realtime import RealtimeEvent, RealtimeSession
    from patter_ultravox.config import UltravoxConfig

logger = logging.getLogger(__name__)

PROVIDER: Final = "ultravox"
#: a long piece of uncompressed audio, in bytes
LONGEST_MESSAGE: Final = 4 << 20

_LONGEST_ANSWER: Final = 256 * 1024
_WARMUP_S: Final = 5.0


class Ultravox(HostedEngine[CallReader]):
    """One call: made over HTTP, then joined over a WebSocket, once.

    The formats are PCM at the carrier's rate, both ways, unless rates are configured; the vendor has no µ-law on its
    socket. `warmup()` opens the connection over which the call is made.
    """

    def __init__(self, config: UltravoxConfig, context: ProviderContext) -> None:
        carrier = context.carrier_format or MULAW_8K
        takes = AudioFormat(Encoding.PCM16, config.input_rate or carrier.rate)
        gives = AudioFormat(Encoding.PCM16, config.output_rate or carrier.rate)
        super().__init__(PROVIDER, (takes, gives))
        self._config = config
        self._context = context
        self._resampled = gives.rate != carrier.rate

    def __repr__(self) -> str:
        return f"<Ultravox {self._config.model}>"

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

    async def _dial(self, session: RealtimeSession) -> ClientConnection:
        url = await self._create(call_request(self._config, session, self._formats))
        return await net.connect_websocket(url, provider=PROVIDER, longest_message=LONGEST_MESSAGE)

    async def _begin(self, socket: ClientConnection, session: RealtimeSession) -> CallReader:
        now, name = asyncio.get_running_loop().time(), self._context.environment.new_id("response")
        return CallReader(self._formats[1], now, name, resampled=self._resampled)

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

    # -- to the vendor

    def _tool_result(self, call_id: str, output: str) -> Mapping[str, Any]:
        return tool_result(call_id, output)

    # -- from the vendor

    async def _read(
        self, socket: ClientConnection, reader: CallReader, raw: str | bytes
    ) -> Iterable[RealtimeEvent]:
        now = asyncio.get_running_loop().time()
        if isinstance(raw, bytes):
            return reader.read_audio(raw, now)
        message = typed_object(raw)
        return reader.read(message, now) if message is not None else ()

    # -- HTTP

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-API-Key": self._config.key}

    def _http(self) -> aiohttp.ClientSession:
        if self._closed:
            raise self._lost("the engine was closed")
        return self._context.shared.get("ultravox/session", net.session)

    # -- failures

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
