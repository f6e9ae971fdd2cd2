"""Connections to addresses that a tool, webhook or MCP server names (SC-07).

A name is resolved once for each connection, every address that comes back is checked, and the connection goes to one of
those: nobody can answer differently at the second look. Redirects are not followed. On a loop with a network of its own,
such as the virtual one of `patter.testing`, names are not resolved, so only what the URL itself says is checked.

aiohttp and websockets are imported with this module; import it where it is first needed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from patter import net
from patter.errors import InputError, ProviderDisconnected, ProviderTimeout
from patter.outbound_addresses import check_address, check_url, is_allowed

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

#: gives the addresses of a host: family and IP address of each
LookUp = Callable[[str, int, socket.AddressFamily], Awaitable[list[tuple[socket.AddressFamily, str]]]]


async def look_up(
    host: str, port: int, family: socket.AddressFamily
) -> list[tuple[socket.AddressFamily, str]]:
    """The addresses of a host as the system's resolver gives them. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    return [(one[0], str(one[4][0])) for one in found]


class CheckedResolver(AbstractResolver):
    """Resolves names to public addresses alone, but for hosts on the allow-list.

    One address that is not public refuses the name, whatever the others are: such a name is either an attack or a
    mistake.
    """

    def __init__(self, allow_hosts: Sequence[str] = (), *, look_up: LookUp = look_up) -> None:
        self._allow_hosts = tuple(allow_hosts)
        self._look_up = look_up

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host, all of them checked.

        Raises:
            InputError: one of them is not public.
            OSError: the host has no address.
        """
        found = await self._look_up(host, port, family)
        if not found:
            raise OSError(f"{host} has no address")
        if not is_allowed(host, self._allow_hosts):
            for _, address in found:
                check_address(host, address)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=one_family,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one_family, address in found
        ]

    async def close(self) -> None:
        """Nothing to release."""


class OutboundSession:
    """An HTTP session for URLs that are not trusted; make it on the loop that will use it, and close it.

    Args:
        allow_hosts: hosts that are reached wherever they are.
        total_s: longest request with its answer, in s; None for streams.
        look_up: how names are resolved; the system's resolver unless given.
    """

    def __init__(
        self, allow_hosts: Sequence[str] = (), *, total_s: float | None = None, look_up: LookUp = look_up
    ) -> None:
        self._allow_hosts = tuple(allow_hosts)
        connector = None
        if getattr(asyncio.get_running_loop(), "network", None) is None:
            # no cache: an address is as old as its check
            connector = aiohttp.TCPConnector(
                resolver=CheckedResolver(allow_hosts, look_up=look_up),
                use_dns_cache=False,
                limit=net.CONNECTIONS,
                keepalive_timeout=net.KEEP_ALIVE_S,
                ssl=net.ssl_context(),
            )
        self._http = net.session(connector=connector, total_s=total_s)

    async def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        """Send a request; the answer's head, to be used in ``async with``. A redirect is an answer like any other.

        Raises:
            InputError: the address is refused.
            aiohttp.ClientError, TimeoutError: as `aiohttp.ClientSession.request`.
        """
        target = check_url(url, self._allow_hosts)
        return await self._http.request(method, target.url, data=body, headers=headers, allow_redirects=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


async def read_bounded(response: aiohttp.ClientResponse, longest: int) -> bytes:
    """The body of an answer, decompressed. Raises `InputError` once it is longer than `longest` bytes."""
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > longest:
            response.close()
            raise InputError(f"the answer is longer than {longest} bytes")
    return bytes(body)


async def connect_websocket(
    url: str,
    allow_hosts: Sequence[str] = (),
    *,
    headers: Mapping[str, str] | None = None,
    connect_s: float = net.CONNECT_S,
    look_up: LookUp = look_up,
) -> ClientConnection:
    """A WebSocket to a URL that is not trusted; else as `patter.net.connect_websocket`, whose errors it has.

    Raises:
        InputError: the address is refused.
    """
    target = check_url(url, allow_hosts, schemes=("ws", "wss"))
    address = None
    if target.address is None and getattr(asyncio.get_running_loop(), "network", None) is None:
        resolver = CheckedResolver(allow_hosts, look_up=look_up)
        try:
            async with asyncio.timeout(connect_s):
                address = (await resolver.resolve(target.host, target.port))[0]["host"]
        except TimeoutError:
            raise ProviderTimeout(f"{target.host} was not resolved within {connect_s:g} s") from None
        except OSError:
            raise ProviderDisconnected(f"{target.host} has no address") from None
    return await net.connect_websocket(target.url, headers=headers, connect_s=connect_s, address=address)
