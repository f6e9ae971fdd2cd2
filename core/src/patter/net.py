"""The one way to open HTTP sessions and WebSockets to providers. `patter.outbound` is for addresses that are not trusted.

Limits and time-outs are the same everywhere, redirects are not followed (a key would travel with them), cookies are
not kept (a pooled session holds no state of a call), and errors come out as `patter.errors` without the address's
secrets. On a loop that brings a network of its own, such as the virtual one of `patter.testing`, everything dials there.

aiohttp and websockets are imported when they are first needed.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from patter.errors import (
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from websockets.asyncio.client import ClientConnection

_sockets = logging.getLogger("patter.net.sockets")

#: time to a connected and encrypted socket, in s
CONNECT_S: Final = 5.0
#: an idle HTTP connection is kept for the next request this long, in s
KEEP_ALIVE_S: Final = 60.0
#: connections of one HTTP session
CONNECTIONS: Final = 256
#: longest message of a WebSocket, in bytes
LONGEST_MESSAGE: Final = 1 << 20
#: messages received but not read, before the peer is slowed down
MESSAGES_AHEAD: Final = 64

_LONGEST_HEADER = 16 * 1024


def session(
    *,
    connector: aiohttp.BaseConnector | None = None,
    headers: Mapping[str, str] | None = None,
    connect_s: float = CONNECT_S,
    read_s: float = 60.0,
    total_s: float | None = None,
) -> aiohttp.ClientSession:
    """An HTTP session; call it on the loop that will use it, and close it.

    Args:
        connector: how to dial; None dials through the loop's own network if it has one, else the real one.
        headers: sent with every request; no secrets, since a session may be shared.
        connect_s: time to a connection, in s.
        read_s: longest silence within an answer, in s.
        total_s: longest request, in s; None for streams, which have no end of their own.
    """
    import aiohttp

    return aiohttp.ClientSession(
        connector=connector or _connector(),
        headers=headers,
        timeout=aiohttp.ClientTimeout(
            total=total_s, connect=connect_s, sock_connect=connect_s, sock_read=read_s
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
        trust_env=False,
    )


def _connector() -> aiohttp.BaseConnector:
    import aiohttp

    network = getattr(asyncio.get_running_loop(), "network", None)
    if network is not None:
        made: aiohttp.BaseConnector = network.connector(limit=CONNECTIONS)
        return made
    return aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S, ssl=ssl_context())


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """The client's TLS settings: made once, because loading the root certificates takes longer than a handshake."""
    import ssl

    return ssl.create_default_context()


async def connect_websocket(  # noqa: PLR0913 - each is one property of the connection
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] | None = None,
    provider: str = "",
    connect_s: float = CONNECT_S,
    longest_message: int = LONGEST_MESSAGE,
    address: str | None = None,
) -> ClientConnection:
    """A connected WebSocket, without compression, with pings every 20 s and a close that takes at most 1 s.

    Args:
        url: ``ws://`` or ``wss://``; trusted, and never quoted in an error but for its host.
        headers: of the upgrade request.
        subprotocols: offered in this order.
        provider: the reference that errors carry.
        connect_s: time until the socket is open, in s.
        longest_message: a longer message closes the socket, in bytes.
        address: the IP address to dial in place of resolving the URL's host.

    Raises:
        ProviderAuthError: the server answered 401 or 403.
        RateLimitedError: it answered 429.
        ProviderTimeout: it did not answer in time.
        ProviderDisconnected: there is no connection, or another answer.
    """
    from websockets.exceptions import InvalidHandshake, InvalidURI

    host = urlsplit(url).hostname or "an address without a host"
    options: dict[str, Any] = {"ssl": ssl_context()} if url.lower().startswith("wss:") else {}
    if address is not None:
        options["host"] = address
    try:
        connection: ClientConnection = await _dialling()(
            url,
            additional_headers=dict(headers or {}),
            subprotocols=subprotocols,
            compression=None,
            proxy=None,
            open_timeout=connect_s,
            ping_interval=20,
            ping_timeout=20,
            close_timeout=1,
            max_size=longest_message,
            max_queue=MESSAGES_AHEAD,
            logger=WithoutDetails(_sockets),
            **options,
        )
    except TimeoutError:
        raise ProviderTimeout(
            f"{host} did not open the socket within {connect_s:g} s", provider=provider
        ) from None
    except (InvalidHandshake, InvalidURI) as error:
        raise _refused(host, provider, error) from None
    except OSError as error:
        raise ProviderDisconnected(
            f"cannot connect to {host}: {type(error).__name__}", provider=provider
        ) from None
    return connection


class WithoutDetails(logging.LoggerAdapter[logging.Logger]):
    """A logger for websockets, which at DEBUG writes down addresses, headers and messages: keys and what callers say."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is given
        """Nothing below INFO, however the program logs."""
        return level > logging.DEBUG and super().isEnabledFor(level)


async def read_at_most(response: aiohttp.ClientResponse, size: int) -> bytes:
    """The body of an answer, cut at so many bytes."""
    body = b""
    while len(body) < size and (chunk := await response.content.read(size - len(body))):
        body += chunk
    return body


def import_websockets() -> None:
    """Import what `connect_websocket` needs, so that no call waits for that (PW-20)."""
    _dialling()


@functools.cache
def _dialling() -> Any:
    from websockets.asyncio.client import connect

    class WithoutRedirects(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc

    return WithoutRedirects


def _refused(host: str, provider: str, error: Exception) -> ProviderError:
    from websockets.exceptions import InvalidStatus

    if not isinstance(error, InvalidStatus):
        return ProviderDisconnected(
            f"{host} is no WebSocket server: {type(error).__name__}", provider=provider
        )
    response = error.response
    return status_error(
        response.status_code,
        f"{host} refused the socket with HTTP {response.status_code}",
        provider=provider,
        retry_after=response.headers.get("Retry-After"),
        otherwise=ProviderDisconnected,
    )


def status_error(
    status: int,
    message: str,
    *,
    provider: str = "",
    vendor_code: str | None = None,
    retry_after: str | None = None,
    otherwise: type[ProviderError] = ProviderError,
) -> ProviderError:
    """The exception for an HTTP status; `message` must be free of secrets.

    401 and 403 are `ProviderAuthError`, 429 `RateLimitedError`, 408 and 504 `ProviderTimeout`, all else `otherwise`.
    """
    code = vendor_code or str(status)
    if status == 429:
        wait = parse_retry_after(retry_after)
        return RateLimitedError(message, provider=provider, vendor_code=code, retry_after_s=wait)
    kinds: dict[int, type[ProviderError]] = {
        401: ProviderAuthError,
        403: ProviderAuthError,
        408: ProviderTimeout,
        504: ProviderTimeout,
    }
    return kinds.get(status, otherwise)(message, provider=provider, vendor_code=code)


def parse_retry_after(value: str | None) -> float | None:
    """The seconds of a ``Retry-After`` header; None for none, for a date and for nonsense."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86_400 else None
