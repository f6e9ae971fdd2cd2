"""An aiohttp connector for the memory network. Nothing else in this package imports aiohttp for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

    from patter.testing.memory_network import MemoryNetwork


class MemoryConnector(aiohttp.BaseConnector):
    """Lets an `aiohttp.ClientSession` dial in a `MemoryNetwork`, HTTP and WebSocket alike::

        async with aiohttp.ClientSession(connector=MemoryConnector(network)) as session:
            async with session.get("https://api.example/v1/models") as response:
                ...

    ``https`` and ``wss`` addresses are dialled without encryption, on port 443 unless they say otherwise; proxies
    are left out. Make it on the loop that it will be used on.

    Args:
        network: where to dial.
        options: those of `aiohttp.BaseConnector`. Idle connections are kept until the session closes, because
            aiohttp would measure their age by the real clock; give `keepalive_timeout` to change that.
    """

    def __init__(self, network: MemoryNetwork, **options: Any) -> None:
        options.setdefault("keepalive_timeout", None)
        super().__init__(**options)
        self._network = network

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        try:
            async with asyncio.timeout(timeout.sock_connect):
                _, protocol = await self._network.create_connection(self._factory, req.url.raw_host, req.port)
        except TimeoutError:
            raise
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol
