"""A network in memory for the virtual loop: servers, connections, latency and faults, without a socket.

Give one to a loop, and everything that dials through the loop stays inside it: `asyncio.open_connection`,
`websockets`, and aiohttp by way of `MemoryNetwork.connector`::

    network = MemoryNetwork(latency_s=0.02)


    async def greet() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        server = await asyncio.start_server(serve, "sim.example", 80)
        reader, writer = await asyncio.open_connection("sim.example", 80)
        greeting = await reader.read()
        writer.close()
        server.close()
        return greeting


    assert run_virtual(greet(), network=network) == b"hello"

Names are not resolved: a host is known if somebody serves under exactly that name. ``localhost`` is 127.0.0.1;
a server on ``""``, ``None``, ``0.0.0.0`` or ``::`` answers on its port to every name that has no server of its own.
TLS is taken as given: `ssl` arguments are accepted and nothing is encrypted, so that ``wss://`` and ``https://``
addresses can be served by simulators without certificates.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from patter.testing.memory_server import MemoryServer
from patter.testing.memory_transport import MemoryTransport, Pipe, PipeLimits

if TYPE_CHECKING:
    from aiohttp import BaseConnector

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

#: A direction of the bytes of a connection.
Direction = Literal["both", "to_server", "to_client"]

_EVERY_HOST: Final = "*"
_WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})
_SERVER_PORTS: Final = range(49152, 65536)
_CLIENT_PORTS: Final = range(32768, 49152)


class MemoryConnection:
    """One connection of a `MemoryNetwork`, as the network sees it: what its faults act on.

    Attributes:
        host: the host that was dialled.
        port: the port that was dialled.
        client: the transport of the end that dialled.
        server: the transport of the end that answered.
    """

    def __init__(self, host: str, port: int, client: MemoryTransport, server: MemoryTransport) -> None:
        self.host = host
        self.port = port
        self.client = client
        self.server = server

    def __repr__(self) -> str:
        return f"<MemoryConnection {self.client.get_extra_info('sockname')} to {self.host}:{self.port}>"

    def drop(self) -> None:
        """Break the connection: both protocols get `ConnectionResetError`, bytes under way are lost."""
        self.client.reset("the connection was dropped")
        self.server.reset("the connection was dropped")

    def stall(self, direction: Direction = "both") -> None:
        """Deliver nothing more in `direction`, not even the end of the stream, until `resume`."""
        self._set_stalled(direction, True)

    def resume(self, direction: Direction = "both") -> None:
        """Deliver again, beginning with what was held back."""
        self._set_stalled(direction, False)

    def set_latency(self, latency_s: float, direction: Direction = "both") -> None:
        """Let every byte written from now on take `latency_s` seconds; order is kept."""
        for pipe in self._pipes(direction):
            pipe.latency_s = latency_s

    def _set_stalled(self, direction: Direction, stalled: bool) -> None:
        for pipe in self._pipes(direction):
            pipe.stall(stalled)

    def _pipes(self, direction: Direction) -> Iterator[Pipe]:
        if direction in ("both", "to_server"):
            yield self.client.outgoing
        if direction in ("both", "to_client"):
            yield self.server.outgoing


class MemoryNetwork:
    """Carries the connections between servers and clients of one loop; make another one for another loop.

    Args:
        latency_s: seconds from a write to its arrival, in each direction; a connection takes one round trip to
            open. `set_latency` changes it for one address.
        window_bytes: what the network holds for a reader that does not read, in bytes and for each direction.
            What exceeds it is the sender's write buffer.
        read_bytes: the most that one `data_received` gets; 1 finds assumptions about framing.
    """

    def __init__(
        self, *, latency_s: float = 0.0, window_bytes: int = 64 * 1024, read_bytes: int = 64 * 1024
    ) -> None:
        self._latency_s = _checked_latency_s(latency_s)
        self._limits = PipeLimits(window_bytes, read_bytes)
        self._listeners: dict[tuple[str, int], MemoryServer] = {}
        self._connections: dict[MemoryConnection, None] = {}  # a set in order
        self._latencies: dict[tuple[str, int], dict[str, float]] = {}
        self._stalled: set[tuple[str, int, str]] = set()
        self._next_client_port = _CLIENT_PORTS.start

    # Serving and dialling

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        start_serving: bool = True,
        ssl: Any = None,
        **options: Any,
    ) -> MemoryServer:
        """Serve on `port` of `host`, of several hosts, or of every host.

        Args:
            protocol_factory: makes the protocol of each connection.
            host: the name or names to answer to; None, ``""``, ``0.0.0.0`` and ``::`` mean every name.
            port: 0 or None for a free one, which `MemoryServer.sockets` tells.
            start_serving: False leaves that to `MemoryServer.start_serving`.
            ssl: not used, except that the server's transports have it as extra info ``sslcontext``.
            options: the other options of `loop.create_server`, which mean nothing here.

        Raises:
            OSError: (``EADDRINUSE``) somebody serves there already.
        """
        hosts = [host] if host is None or isinstance(host, str) else list(host)
        names = list(dict.fromkeys(_listening_name(name) for name in hosts))
        number = port or self._free_port(names)
        extra = {"sslcontext": ssl} if ssl else {}
        server = MemoryServer(self, protocol_factory, [(name, number) for name in names], extra)
        if start_serving:
            await server.start_serving()
        return server

    async def create_connection(
        self,
        protocol_factory: Callable[[], ProtocolT],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> tuple[MemoryTransport, ProtocolT]:
        """Connect to whoever serves `port` of `host`; takes one round trip of the network's latency.

        `options` are the other options of `loop.create_connection`, which mean nothing here.

        Raises:
            ConnectionRefusedError: nobody serves there.
            ConnectionResetError: the connection was dropped before it was open.
        """
        name, number = _dialled_name(host), int(port or 0)
        self._listening(name, number)
        to_server_s, to_client_s = self._latency(name, number)
        await asyncio.sleep(to_server_s)
        server = self._listening(name, number)
        client_protocol = protocol_factory()
        connection = self._join(server, client_protocol, name, number)
        try:
            await asyncio.sleep(to_client_s)
        except BaseException:
            connection.client.abort()
            raise
        if connection.client.is_closing():
            raise _reset(name, number)
        connection.client.start()
        return connection.client, client_protocol

    def knows(self, host: str | None, port: int | None) -> bool:
        """True if somebody serves `port` of `host`."""
        return self._find(_dialled_name(host), int(port or 0)) is not None

    def connector(self, **options: Any) -> BaseConnector:
        """An aiohttp connector that dials in this network; see `patter.testing.memory_connector`."""
        from patter.testing.memory_connector import MemoryConnector

        return MemoryConnector(self, **options)

    @property
    def connections(self) -> tuple[MemoryConnection, ...]:
        """The connections that are open at one end at least, oldest first."""
        return tuple(self._connections)

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses that are served, oldest first; the host is ``*`` where it is every host."""
        return tuple(self._listeners)

    # Faults

    def drop(self, host: str, port: int) -> int:
        """Break every connection to `host` and `port` and return how many; see `MemoryConnection.drop`."""
        connections = self._connections_to(host, port)
        for connection in connections:
            connection.drop()
        return len(connections)

    def stall(self, host: str, port: int, direction: Direction = "both") -> None:
        """Let connections to `host` and `port`, old and new, stay open but carry nothing, until `resume`."""
        name = _dialled_name(host)
        self._stalled |= {(name, port, way) for way in _ways(direction)}
        for connection in self._connections_to(host, port):
            connection.stall(direction)

    def resume(self, host: str, port: int, direction: Direction = "both") -> None:
        """End `stall`: what was held back arrives first."""
        name = _dialled_name(host)
        self._stalled -= {(name, port, way) for way in _ways(direction)}
        for connection in self._connections_to(host, port):
            connection.resume(direction)

    def set_latency(self, host: str, port: int, latency_s: float, direction: Direction = "both") -> None:
        """Set the latency of connections to `host` and `port`, old and new, in seconds."""
        latencies = self._latencies.setdefault((_dialled_name(host), port), {})
        for way in _ways(direction):
            latencies[way] = _checked_latency_s(latency_s)
        for connection in self._connections_to(host, port):
            connection.set_latency(latency_s, direction)

    def close(self) -> None:
        """Close every server and break every connection; on a loop that still runs, their protocols learn of it."""
        for server in list(self._listeners.values()):
            server.close()
        for connection in self.connections:
            connection.drop()

    # What servers ask for

    def listen(self, address: tuple[str, int], server: MemoryServer) -> None:
        """Enter `server` under `address`; `MemoryServer` calls this."""
        if address in self._listeners:
            text = f"{os.strerror(errno.EADDRINUSE)}: {address[0]}:{address[1]}"
            raise OSError(errno.EADDRINUSE, text)
        self._listeners[address] = server

    def unlisten(self, address: tuple[str, int]) -> None:
        """Take the server under `address` out; `MemoryServer` calls this."""
        self._listeners.pop(address, None)

    # Inside

    def _find(self, name: str, port: int) -> MemoryServer | None:
        return self._listeners.get((name, port)) or self._listeners.get((_EVERY_HOST, port))

    def _listening(self, name: str, port: int) -> MemoryServer:
        server = self._find(name, port)
        if server is None:
            text = f"{os.strerror(errno.ECONNREFUSED)}: nobody serves {name}:{port} in the memory network"
            raise ConnectionRefusedError(errno.ECONNREFUSED, text)
        return server

    def _latency(self, name: str, port: int) -> tuple[float, float]:
        latencies = self._latencies.get((name, port), {})
        return latencies.get("to_server", self._latency_s), latencies.get("to_client", self._latency_s)

    def _connections_to(self, host: str, port: int) -> list[MemoryConnection]:
        address = (_dialled_name(host), port)
        return [
            connection for connection in self._connections if (connection.host, connection.port) == address
        ]

    def _join(
        self, server: MemoryServer, client_protocol: asyncio.BaseProtocol, name: str, port: int
    ) -> MemoryConnection:
        """Make both ends; the server's is started on the next pass of the loop, the client's by the caller."""
        loop = asyncio.get_running_loop()
        to_server_s, to_client_s = self._latency(name, port)
        to_server = Pipe(loop, self._limits, to_server_s)
        to_client = Pipe(loop, self._limits, to_client_s)
        context = server.context.copy()
        try:
            server_protocol = context.run(server.make_protocol)
        except Exception as error:
            loop.call_exception_handler(
                {"message": f"{server!r} failed to make a protocol", "exception": error}
            )
            raise _reset(name, port) from error
        client_address = ("127.0.0.1", self._client_port())
        client_extra = {"sockname": client_address, "peername": (name, port)}
        client = MemoryTransport(
            client_protocol, to_client, to_server, client_extra, contextvars.copy_context()
        )
        server_extra = {"sockname": (name, port), "peername": client_address, **server.extra}
        accepted = MemoryTransport(server_protocol, to_server, to_client, server_extra, context)
        connection = MemoryConnection(name, port, client, accepted)
        self._count_in(connection, server)
        for way in _ways("both"):
            if (name, port, way) in self._stalled:
                connection.stall(way)
        loop.call_soon(accepted.start, context=context)
        return connection

    def _count_in(self, connection: MemoryConnection, server: MemoryServer) -> None:
        self._connections[connection] = None
        server.attach(connection.server)
        open_ends = {connection.client, connection.server}

        def lost(end: MemoryTransport) -> None:
            open_ends.discard(end)
            if end is connection.server:
                server.detach(end)
            if not open_ends:
                self._connections.pop(connection, None)

        for end in (connection.client, connection.server):
            end.on_lost = functools.partial(lost, end)

    def _client_port(self) -> int:
        port = self._next_client_port
        following = port + 1
        self._next_client_port = following if following in _CLIENT_PORTS else _CLIENT_PORTS.start
        return port

    def _free_port(self, names: list[str]) -> int:
        taken = {port for _, port in self._listeners}
        for port in _SERVER_PORTS:
            if port not in taken:
                return port
        raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: no free port for {names}")


def _reset(name: str, port: int) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, f"{os.strerror(errno.ECONNRESET)}: {name}:{port}")


def _dialled_name(host: str | None) -> str:
    name = (host or "127.0.0.1").lower().rstrip(".")
    return "127.0.0.1" if name == "localhost" else name


def _listening_name(host: str | None) -> str:
    return _EVERY_HOST if (host or "") in _WILDCARDS else _dialled_name(host)


def _ways(direction: Direction) -> tuple[Literal["to_server", "to_client"], ...]:
    return ("to_server", "to_client") if direction == "both" else (direction,)


def _checked_latency_s(latency_s: float) -> float:
    if not 0.0 <= latency_s < float("inf"):
        raise ValueError(f"a latency must be finite and not negative, not {latency_s!r}")
    return latency_s
