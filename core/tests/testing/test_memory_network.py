from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from network_ends import HOST, Recorder, in_network, now, pair, settle
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import VirtualTimeDeadlock, run_virtual

# Dialling and serving


def test_nothing_outside_the_network_is_reached() -> None:
    async def main(network: MemoryNetwork) -> None:
        loop = asyncio.get_running_loop()
        for dial in (
            lambda: loop.create_connection(asyncio.Protocol, "127.0.0.1", 9),
            lambda: loop.create_connection(asyncio.Protocol, sock=socket.socket()),
            lambda: loop.create_server(asyncio.Protocol, sock=socket.socket()),
            lambda: loop.sock_connect(socket.socket(), ("127.0.0.1", 9)),
            lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0)),
        ):
            with pytest.raises(ConnectionRefusedError) as caught:
                await dial()
            assert caught.value.errno == errno.ECONNREFUSED
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("vendor.example", 443)

    with pytest.warns(ResourceWarning):  # the sockets that nobody took
        in_network(main)


def test_names_ports_and_wildcards() -> None:
    async def main(network: MemoryNetwork) -> None:
        loop = asyncio.get_running_loop()
        hits: list[str] = []

        def serving(name: str) -> Callable[[], asyncio.Protocol]:
            def accept() -> asyncio.Protocol:
                hits.append(name)
                return asyncio.Protocol()

            return accept

        servers = [
            await loop.create_server(serving("every"), None, 80),
            await loop.create_server(serving("one"), "One.Example.", 80),
            await loop.create_server(serving("local"), "localhost", 8080),
            await loop.create_server(serving("two names"), ["a.example", "b.example"], 81),
            await loop.create_server(serving("free"), "free.example", 0),
        ]
        free_port = servers[-1].sockets[0].getsockname()[1]
        assert free_port == 49152
        assert [name.getsockname() for name in servers[3].sockets] == [("a.example", 81), ("b.example", 81)]
        assert servers[0].sockets[0].getsockname() == ("0.0.0.0", 80)
        assert await loop.getaddrinfo("one.example", 80) == [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("one.example", 80))
        ]
        for host, port in [
            ("one.example", 80),
            ("other.example", 80),
            ("127.0.0.1", 8080),
            ("LOCALHOST", 8080),
            ("b.example", 81),
            ("free.example", free_port),
        ]:
            assert network.knows(host, port)
            transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
            transport.close()
        assert hits == ["one", "every", "local", "local", "two names", "free"]
        assert not network.knows("a.example", 82)
        with pytest.raises(OSError, match=r"one\.example:80") as caught:
            await loop.create_server(asyncio.Protocol, ["new.example", "one.example"], 80)
        assert caught.value.errno == errno.EADDRINUSE
        assert ("new.example", 80) not in network.addresses
        for server in servers:
            server.close()
            await server.wait_closed()
            assert server.sockets == ()
        with pytest.raises(ConnectionRefusedError, match=r"one\.example:80"):
            await loop.create_connection(asyncio.Protocol, "one.example", 80)

    in_network(main)


def test_a_server_starts_on_request_and_serves_until_it_is_cancelled() -> None:
    async def main(network: MemoryNetwork) -> None:
        server = await network.create_server(Recorder, HOST, 80, start_serving=False)
        assert not server.is_serving()
        assert not network.knows(HOST, 80)
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(1)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="serve_forever"):
            await server.serve_forever()
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not network.knows(HOST, 80)
        with pytest.raises(RuntimeError, match="is closed"):
            await server.start_serving()

    in_network(main)


def test_wait_closed_waits_for_the_last_connection() -> None:
    async def main(network: MemoryNetwork) -> None:
        async with await network.create_server(lambda: Recorder(keep_open=True), HOST, 80) as server:
            first, _ = await network.create_connection(Recorder, HOST, 80)
            second, client = await network.create_connection(Recorder, HOST, 80)
            asyncio.get_running_loop().call_later(2, first.write_eof)
            asyncio.get_running_loop().call_later(5, server.close_clients)
            server.close()
            await server.wait_closed()
            assert now() == 5.0
        await settle()
        assert client.names == ["made", "eof", "lost"]
        assert second.is_closing()

        server = await network.create_server(Recorder, HOST, 80)
        _, client = await network.create_connection(Recorder, HOST, 80)
        server.abort_clients()
        server.close()
        await server.wait_closed()
        await settle()
        assert client.names == ["made", "eof", "lost"]

    in_network(main)


def test_a_dial_takes_a_round_trip_and_can_be_given_up() -> None:
    async def main(network: MemoryNetwork) -> None:
        server = await network.create_server(Recorder, HOST, 80)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await network.create_connection(Recorder, HOST, 80)
        await asyncio.sleep(10)
        assert network.connections == ()
        started = now()
        transport, client = await network.create_connection(Recorder, HOST, 80)
        assert now() - started == 4.0
        assert client.names == ["made"]
        transport.close()
        await asyncio.sleep(10)
        dial = asyncio.create_task(network.create_connection(Recorder, HOST, 80))
        await asyncio.sleep(3)
        assert network.drop(HOST, 80) == 1
        with pytest.raises(ConnectionResetError):
            await dial
        dial = asyncio.create_task(network.create_connection(Recorder, HOST, 80))
        await asyncio.sleep(1)
        server.close()
        with pytest.raises(ConnectionRefusedError):
            await dial

    in_network(main, MemoryNetwork(latency_s=2))


def test_a_server_that_cannot_make_a_protocol_resets_the_dial() -> None:
    def fail() -> asyncio.Protocol:
        raise ZeroDivisionError("on purpose")

    async def main(network: MemoryNetwork) -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        server = await network.create_server(fail, HOST, 80)
        with pytest.raises(ConnectionResetError):
            await network.create_connection(Recorder, HOST, 80)
        assert isinstance(reports[0]["exception"], ZeroDivisionError)
        server.close()

    in_network(main)


@pytest.mark.parametrize(
    "options", [{"latency_s": -1.0}, {"latency_s": float("inf")}, {"window_bytes": -1}, {"read_bytes": 0}]
)
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        MemoryNetwork(**options)


# Faults


def test_a_drop_resets_both_ends_and_loses_what_was_under_way() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network)
        transport.write(b"lost")
        answering.write(b"lost too")
        assert network.drop("other.example", 443) == 0
        assert network.drop(HOST, 443) == 1
        await asyncio.sleep(10)
        for end in (client, server):
            assert end.names == ["made", "lost"]
            assert isinstance(end.lost, ConnectionResetError)
            assert end.data == b""
        transport.write(b"ignored")

    in_network(main, MemoryNetwork(latency_s=1))


def test_a_stall_holds_one_direction_and_new_connections_too() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network)
        network.stall(HOST, 443, "to_server")
        transport.write(b"held")
        answering.write(b"passes")
        later_client, later_server, later_transport, _ = await pair(network)
        later_transport.write(b"held as well")
        await asyncio.sleep(100)
        assert (client.data, server.data, later_server.data) == (b"passes", b"", b"")
        transport.write(b" back")
        transport.close()
        await asyncio.sleep(100)
        assert server.names == ["made"]
        network.resume(HOST, 443)
        await settle()
        assert (server.data, later_server.data) == (b"held back", b"held as well")
        assert server.names == ["made", "data", "eof", "lost"]
        newest_client, newest_server, newest_transport, _ = await pair(network)
        newest_transport.write(b"free")
        await settle()
        assert newest_server.data == b"free"
        for end in (later_transport, newest_transport):
            end.close()
        await settle()
        assert later_client.names[-1] == newest_client.names[-1] == "lost"

    in_network(main)


def test_one_connection_of_several_can_be_picked() -> None:
    async def main(network: MemoryNetwork) -> None:
        first, _, _, _ = await pair(network)
        second, _, transport, answering = await pair(network)
        network.connections[0].drop()
        network.connections[1].set_latency(3, "to_client")
        answering.write(b"late")
        await asyncio.sleep(10)
        assert isinstance(first.lost, ConnectionResetError)
        assert second.events[-1] == (3.0, "data")
        transport.close()
        await asyncio.sleep(10)

    in_network(main)


def test_a_peer_that_stalls_for_ever_is_a_deadlock_with_a_name() -> None:
    network = MemoryNetwork()
    server = Recorder()

    async def main() -> None:
        await network.create_server(lambda: server, HOST, 80)
        network.stall(HOST, 80)
        reader, writer = await asyncio.open_connection(HOST, 80)
        try:
            await asyncio.create_task(reader.read(), name="the reader")
        finally:
            writer.close()

    with pytest.raises(VirtualTimeDeadlock, match="'the reader'"):
        run_virtual(main(), network=network)
    # nobody was left to close the server and its end of the connection
    assert isinstance(server.lost, ConnectionResetError)
    assert network.connections == ()
    assert network.addresses == ()


def test_a_dial_to_a_port_that_nobody_serves_is_refused_at_once() -> None:
    async def main(network: MemoryNetwork) -> None:
        with pytest.raises(ConnectionRefusedError):
            async with connect(f"ws://{HOST}/", proxy=None):
                pass
        assert now() == 0.0

    in_network(main)


def test_every_run_takes_the_same_course() -> None:
    async def main(network: MemoryNetwork) -> list[tuple[float, str]]:
        log: list[tuple[float, str]] = []

        async def answer(connection: ServerConnection) -> None:
            async for message in connection:
                log.append((now(), f"server {message!s}"))
                await connection.send(message)

        async def call(number: int) -> None:
            async with connect(f"ws://{HOST}/", proxy=None) as connection:
                for step in range(5):
                    await connection.send(f"{number}.{step}")
                    log.append((now(), f"client {await connection.recv()!s}"))
                    await asyncio.sleep(number % 3 / 10)

        async with serve(answer, HOST, 80), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(call(number))
        return log

    courses = [in_network(main, MemoryNetwork(latency_s=0.004)) for _ in range(3)]
    assert len(courses[0]) == 80
    assert courses[0] == courses[1] == courses[2]
