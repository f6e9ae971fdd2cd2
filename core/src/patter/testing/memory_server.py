"""A server of the memory network, in the shape of `asyncio.Server`."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from patter.testing.memory_transport import MemoryTransport


class Listening(Protocol):
    """What a server needs of its network."""

    def listen(self, address: tuple[str, int], server: MemoryServer) -> None:
        """Enter `server` under `address`."""

    def unlisten(self, address: tuple[str, int]) -> None:
        """Take the server under `address` out."""


class ListeningSocket:
    """What `asyncio.Server.sockets` holds, as far as anybody asks: an address. There is no descriptor."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def __repr__(self) -> str:
        return f"<ListeningSocket {self._address[0]}:{self._address[1]}>"

    def getsockname(self) -> tuple[str, int]:
        """Host and port; the host is 0.0.0.0 where the server answers to every host."""
        return self._address

    def fileno(self) -> int:
        """Always -1, as for a closed socket."""
        return -1


class MemoryServer(asyncio.AbstractServer):
    """What `MemoryNetwork.create_server` returns. Use it as an `asyncio.Server`.

    `wait_closed` waits for the open connections too, as asyncio's does from Python 3.12 on.

    Args:
        network: where to listen.
        protocol_factory: makes the protocol of each connection.
        addresses: host and port of each listening address; the host is ``*`` for every host.
        extra: more extra info for the server's transports.
    """

    def __init__(
        self,
        network: Listening,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        addresses: Sequence[tuple[str, int]],
        extra: Mapping[str, Any],
    ) -> None:
        self._network = network
        self._addresses = tuple(addresses)
        self._loop = asyncio.get_running_loop()
        self._transports: dict[MemoryTransport, None] = {}  # a set in order
        self._serving = False
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        #: Makes the protocol of each connection.
        self.make_protocol = protocol_factory
        #: More extra info for the server's transports.
        self.extra = extra
        #: The context that the server was made in: what its protocols see, and not that of their clients.
        self.context = contextvars.copy_context()

    def __repr__(self) -> str:
        return f"<MemoryServer {', '.join(f'{host}:{port}' for host, port in self._addresses)}>"

    @property
    def sockets(self) -> tuple[ListeningSocket, ...]:
        """One for each address that is served now."""
        if not self._serving:
            return ()
        return tuple(
            ListeningSocket(("0.0.0.0" if host == "*" else host, port)) for host, port in self._addresses
        )

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that the server was made on."""
        return self._loop

    def is_serving(self) -> bool:
        """True while the server takes connections."""
        return self._serving

    async def start_serving(self) -> None:
        """Take connections from now on.

        Raises:
            RuntimeError: the server was closed.
            OSError: (``EADDRINUSE``) somebody else serves one of the addresses.
        """
        if self._closed:
            raise RuntimeError(f"{self!r} is closed")
        if self._serving:
            return
        listening: list[tuple[str, int]] = []
        try:
            for address in self._addresses:
                self._network.listen(address, self)
                listening.append(address)
        except OSError:
            for address in listening:
                self._network.unlisten(address)
            raise
        self._serving = True

    async def serve_forever(self) -> None:
        """Take connections until this is cancelled; then close the server.

        Raises:
            RuntimeError: the server was closed, or `serve_forever` is running already.
        """
        if self._forever is not None:
            raise RuntimeError(f"{self!r} is already being awaited on serve_forever()")
        await self.start_serving()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        except asyncio.CancelledError:
            with contextlib.suppress(asyncio.CancelledError):
                self.close()
                await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Take no more connections. Those that are open stay open."""
        if self._closed:
            return
        self._closed = True
        if self._serving:
            self._serving = False
            for address in self._addresses:
                self._network.unlisten(address)
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake_waiters()

    def close_clients(self) -> None:
        """Close the transport of every open connection."""
        for transport in list(self._transports):
            transport.close()

    def abort_clients(self) -> None:
        """Abort the transport of every open connection."""
        for transport in list(self._transports):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection has ended."""
        if self._closed and not self._transports:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def attach(self, transport: MemoryTransport) -> None:
        """Count a connection in; the network calls this."""
        self._transports[transport] = None

    def detach(self, transport: MemoryTransport) -> None:
        """Count a connection out; the network calls this."""
        self._transports.pop(transport, None)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        if not self._closed or self._transports:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
