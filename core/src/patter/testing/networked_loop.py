"""The half of the virtual loop that decides where connections go."""

from __future__ import annotations

import asyncio
import errno
import os
import selectors
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patter.testing.memory_network import MemoryNetwork


class NetworkedLoop(asyncio.SelectorEventLoop):
    """A selector event loop that dials and serves in a `MemoryNetwork`, if it is given one.

    With a network, hosts that nobody serves there are refused with `ConnectionRefusedError`, and so is everything
    that would open a real internet socket. Without one all of it is real.

    Args:
        selector: what the loop polls.
        network: the network to use.
    """

    def __init__(self, selector: selectors.BaseSelector, network: MemoryNetwork | None) -> None:
        super().__init__(selector)
        self._network = network

    @property
    def network(self) -> MemoryNetwork | None:
        """The network that this loop dials through, if it has one."""
        return self._network

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Connect through the memory network; see `MemoryNetwork.create_connection`.

        Raises:
            ConnectionRefusedError: nobody serves `host` and `port` there, or a real socket was given.
        """
        if self._network is None:
            return await super().create_connection(protocol_factory, host, port, **options)
        if options.get("sock") is not None:
            raise _refusal("the socket given to create_connection")
        return await self._network.create_connection(protocol_factory, host, port, **options)

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Serve in the memory network; see `MemoryNetwork.create_server`.

        Raises:
            ConnectionRefusedError: a real socket was given.
            OSError: the address is taken.
        """
        if self._network is None:
            return await super().create_server(protocol_factory, host, port, **options)
        if options.get("sock") is not None:
            raise _refusal("the socket given to create_server")
        return await self._network.create_server(protocol_factory, host, port, **options)

    async def create_datagram_endpoint(self, protocol_factory: Any, *args: Any, **options: Any) -> Any:
        """Refused where there is a memory network: it carries no datagrams."""
        if self._network is None:
            return await super().create_datagram_endpoint(protocol_factory, *args, **options)
        raise _refusal("a datagram endpoint")

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Refused where there is a memory network: real sockets have no place in virtual time."""
        if self._network is None:
            return await super().sock_connect(sock, address)
        raise _refusal(f"a real socket to {address!r}")

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Resolve a host of the memory network to itself.

        Raises:
            socket.gaierror: nobody serves `host` and `port` there.
        """
        if self._network is None:
            return await super().getaddrinfo(host, port, **options)
        if not self._network.knows(host, port):
            raise socket.gaierror(socket.EAI_NONAME, f"nobody serves {host}:{port} in the memory network")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]


def _refusal(what: str) -> ConnectionRefusedError:
    return ConnectionRefusedError(
        errno.ECONNREFUSED,
        f"{os.strerror(errno.ECONNREFUSED)}: this loop has a memory network, which excludes {what}",
    )
