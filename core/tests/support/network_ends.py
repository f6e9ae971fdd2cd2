"""Two ends of a connection in the memory network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from patter.testing.memory_network import MemoryNetwork
from patter.testing.memory_transport import MemoryTransport
from patter.testing.virtual_loop import VirtualTimeLoop, run_virtual

HOST = "vendor.example"


def now() -> float:
    return asyncio.get_running_loop().time()


class Recorder(asyncio.Protocol):
    """Writes down everything that its transport tells it, with the time."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.events: list[tuple[float, str]] = []
        self.data = b""
        self.chunks: list[bytes] = []
        self.lost: BaseException | None = None
        self.keep_open = keep_open
        self.transport: Any = None

    def note(self, event: str) -> None:
        self.events.append((now(), event))

    @property
    def names(self) -> list[str]:
        return [event for _, event in self.events]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.chunks.append(data)
        self.note("data")

    def eof_received(self) -> bool:
        self.note("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc
        self.note("lost")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")


async def pair(
    network: MemoryNetwork, *, keep_open: bool = False
) -> tuple[Recorder, Recorder, MemoryTransport, MemoryTransport]:
    """A client and a server protocol with their transports; the server has been closed again."""
    accepted: list[Recorder] = []

    def accept() -> Recorder:
        accepted.append(Recorder(keep_open=keep_open))
        return accepted[-1]

    server = await network.create_server(accept, HOST, 443)
    transport, client = await network.create_connection(lambda: Recorder(keep_open=keep_open), HOST, 443)
    await settle()
    server.close()
    return client, accepted[0], transport, accepted[0].transport


async def settle() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    await loop.settle()


def in_network(main: Callable[[MemoryNetwork], Awaitable[Any]], network: MemoryNetwork | None = None) -> Any:
    """Run `main(network)` on a loop that has this network, and see that no connection is left."""
    network = network or MemoryNetwork()

    async def run() -> Any:
        return await main(network)

    result = run_virtual(run(), network=network)
    assert network.connections == ()
    assert network.addresses == ()
    return result


# aiohttp


@contextlib.asynccontextmanager
async def serving(*routes: web.RouteDef) -> AsyncIterator[None]:
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(runner.server, HOST, 443)
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()
        await asyncio.sleep(1)
