from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from patter.testing.memory_connector import MemoryConnector
from patter.testing.memory_network import MemoryNetwork
from patter.testing.memory_transport import MemoryTransport
from patter.testing.virtual_loop import VirtualTimeDeadlock, VirtualTimeLoop, run_virtual

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


# Transports


def test_bytes_arrive_in_order_and_a_close_reaches_both_ends() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, _ = await pair(network)
        transport.write(b"one ")
        transport.write(bytearray(b"two "))
        transport.writelines([b"three", memoryview(b" four"), b""])
        transport.close()
        transport.write(b"too late")
        assert transport.is_closing()
        await settle()
        assert server.data == b"one two three four"
        assert server.names == ["made", "data", "eof", "lost"]
        assert client.names == ["made", "lost"]
        assert client.lost is None
        assert server.lost is None

    in_network(main)


def test_a_write_copies_what_it_is_given() -> None:
    async def main(network: MemoryNetwork) -> None:
        _, server, transport, _ = await pair(network)
        buffer = bytearray(b"before")
        transport.write(buffer)
        buffer[:] = b"after!"
        transport.close()
        await settle()
        assert server.data == b"before"

    in_network(main)


def test_a_half_closed_connection_still_carries_the_answer() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network, keep_open=True)
        transport.write(b"question")
        assert transport.can_write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"more")
        await settle()
        assert server.names == ["made", "data", "eof"]
        answering.write(b"answer")
        answering.close()
        await settle()
        assert client.data == b"answer"
        assert client.names == ["made", "data", "eof"]
        transport.close()
        await settle()
        assert client.names[-1] == "lost"

    in_network(main)


def test_addresses_are_told_and_there_is_no_socket() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, _, transport, answering = await pair(network)
        assert transport.get_extra_info("peername") == (HOST, 443)
        assert (
            transport.get_extra_info("sockname")
            == answering.get_extra_info("peername")
            == ("127.0.0.1", 32768)
        )
        assert answering.get_extra_info("sockname") == (HOST, 443)
        assert transport.get_extra_info("socket") is None
        assert transport.get_extra_info("cipher", "none") == "none"
        assert transport.get_protocol() is client
        assert HOST in repr(transport)
        assert HOST in repr(network.connections[0])
        transport.close()
        await settle()

    in_network(main)


def test_text_is_refused() -> None:
    async def main(network: MemoryNetwork) -> None:
        _, _, transport, _ = await pair(network)
        with pytest.raises(TypeError, match="str"):
            transport.write("text")  # type: ignore[arg-type]
        transport.close()
        await settle()

    in_network(main)


def test_latency_delays_each_way_and_keeps_the_order() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network)
        assert now() == 1.0
        transport.write(b"slow")
        network.set_latency(HOST, 443, 0.0, "to_server")
        transport.write(b" then fast")
        await asyncio.sleep(5)
        assert server.events == [(0.5, "made"), (1.5, "data")]
        assert server.data == b"slow then fast"
        transport.write(b"!")
        answering.write(b"back")
        await asyncio.sleep(5)
        assert server.events[-1] == (6.0, "data")
        assert client.events == [(1.0, "made"), (6.5, "data")]
        transport.close()
        await asyncio.sleep(5)

    in_network(main, MemoryNetwork(latency_s=0.5))


def test_a_reader_that_pauses_holds_the_writer_up() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network)
        transport.set_write_buffer_limits(high=2000, low=500)
        assert transport.get_write_buffer_limits() == (500, 2000)
        answering.pause_reading()
        assert not answering.is_reading()
        transport.write(bytes(3000))
        await settle()
        assert (transport.get_write_buffer_size(), client.names) == (2000, ["made"])
        transport.write(b"x")
        assert client.names == ["made", "pause"]
        await settle()
        assert server.data == b""
        answering.resume_reading()
        await settle()
        assert client.names == ["made", "pause", "resume"]
        assert server.data == bytes(3000) + b"x"
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await settle()

    in_network(main, MemoryNetwork(window_bytes=1000))


def test_a_writer_that_drains_does_not_outrun_a_slow_reader() -> None:
    async def main(network: MemoryNetwork) -> int:
        most = 0

        async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most
            received = 0
            while data := await reader.read(1000):
                received += len(data)
                most = max(most, sent - received)
                await asyncio.sleep(0.01)
            writer.close()

        server = await asyncio.start_server(read_slowly, HOST, 80, limit=1000)
        _, writer = await asyncio.open_connection(HOST, 80)
        sent = 0
        for _ in range(500):
            writer.write(bytes(1000))
            sent += 1000
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        await settle()
        return most

    # the window, the high-water mark, what one read takes, and the stream's own buffer
    assert in_network(main, MemoryNetwork(window_bytes=10_000, read_bytes=5_000)) < 10_000 + 65_536 + 10_000


@pytest.mark.parametrize(
    ("high", "low", "limits"), [(None, None, (16384, 65536)), (None, 10, (10, 40)), (8, None, (2, 8))]
)
def test_the_marks_default_as_in_asyncio(high: int | None, low: int | None, limits: tuple[int, int]) -> None:
    async def main(network: MemoryNetwork) -> None:
        _, _, transport, _ = await pair(network)
        transport.set_write_buffer_limits(high, low)
        assert transport.get_write_buffer_limits() == limits
        with pytest.raises(ValueError, match="must be >="):
            transport.set_write_buffer_limits(1, 2)
        transport.close()
        await settle()

    in_network(main)


def test_closing_sends_the_buffer_first_and_aborting_does_not() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network)
        answering.pause_reading()
        transport.write(b"x" * 150)
        transport.close()
        await settle()
        assert client.names == ["made"]
        answering.resume_reading()
        await settle()
        assert client.names == ["made", "lost"]
        assert server.data == b"x" * 150

        client, server, transport, answering = await pair(network)
        answering.pause_reading()
        transport.write(b"x" * 150)
        transport.abort()
        transport.abort()
        await settle()
        assert client.names == ["made", "lost"]
        assert client.lost is None
        answering.resume_reading()
        await settle()
        # as from a kernel: what had left the process arrives
        assert server.data == b"x" * 100
        assert server.names == ["made", "data", "eof", "lost"]

    in_network(main, MemoryNetwork(window_bytes=100))


def test_writing_to_an_end_that_is_gone_resets_the_connection_even_of_a_paused_reader() -> None:
    async def main(network: MemoryNetwork) -> None:
        client, server, transport, answering = await pair(network, keep_open=True)
        answering.pause_reading()
        transport.close()
        await settle()
        assert server.names == ["made"]
        answering.write(b"anybody there?")
        await settle()
        assert server.names == ["made", "lost"]
        assert isinstance(server.lost, ConnectionResetError)
        assert client.data == b""

    in_network(main)


@pytest.mark.parametrize("read_bytes", [1, 7])
def test_reads_can_be_made_small(read_bytes: int) -> None:
    async def main(network: MemoryNetwork) -> list[bytes]:
        _, server, transport, _ = await pair(network)
        transport.write(b"0123456789")
        transport.write(b"abcdef")
        transport.close()
        await settle()
        return server.chunks

    chunks = in_network(main, MemoryNetwork(read_bytes=read_bytes))
    assert b"".join(chunks) == b"0123456789abcdef"
    assert {len(chunk) for chunk in chunks[:-1]} == {read_bytes}


def test_a_buffered_protocol_is_filled() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer = bytearray(4)
            self.data = b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data += self.buffer[:nbytes]

    async def main(network: MemoryNetwork) -> bytes:
        _, _, transport, answering = await pair(network)
        protocol = Buffered()
        transport.set_protocol(protocol)
        answering.write(b"0123456789")
        answering.close()
        await settle()
        return protocol.data

    assert in_network(main) == b"0123456789"


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_a_protocol_that_fails_loses_its_connection_and_is_reported(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(network: MemoryNetwork) -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        client, server, transport, _ = await pair(network)
        failure = ZeroDivisionError("on purpose")

        def fail(*_: object) -> None:
            raise failure

        monkeypatch.setattr(server, method, fail)
        transport.write(b"data")
        transport.write_eof()
        await settle()
        assert [report["exception"] for report in reports] == [failure]
        assert server.lost is failure
        assert client.names == ["made", "eof", "lost"]

    in_network(main)


def test_callbacks_see_the_context_of_their_own_side() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    async def main(network: MemoryNetwork) -> list[str]:
        seen: list[str] = []

        class Looking(asyncio.Protocol):
            def __init__(self) -> None:
                seen.append(variable.get())

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                seen.append(variable.get())

            def data_received(self, data: bytes) -> None:
                seen.append(variable.get())

            def connection_lost(self, exc: Exception | None) -> None:
                seen.append(variable.get())

        variable.set("server")
        server = await network.create_server(Looking, HOST, 80)
        variable.set("client")
        transport, _ = await network.create_connection(asyncio.Protocol, HOST, 80)
        variable.set("writer")
        transport.write(b"data")
        transport.close()
        await settle()
        server.close()
        return seen

    assert in_network(main) == ["server"] * 4


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


def test_aiohttp_serves_and_asks_over_the_network() -> None:
    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        await asyncio.sleep(2)
        peer = request.transport.get_extra_info("peername") if request.transport else None
        return web.json_response(
            {"size": len(body), "host": request.host, "peer": peer, "remote": request.remote}
        )

    async def count(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(5):
            await response.write(f"{number}\n".encode())
            await asyncio.sleep(1)
        return response

    async def main(network: MemoryNetwork) -> None:
        routes = web.post("/echo", echo), web.get("/count", count)
        async with serving(*routes), aiohttp.ClientSession(connector=network.connector()) as session:
            for size in (0, 1_000_000):
                async with session.post(f"https://{HOST}/echo", data=bytes(size)) as response:
                    answer = await response.json()
                assert (response.status, answer["size"], answer["host"]) == (200, size, HOST)
                assert answer["peer"] == ["127.0.0.1", 32768]  # the connection is used again
                assert answer["remote"] == "127.0.0.1"
            started = now()
            async with session.get(f"http://{HOST}:443/count") as response:
                times = [(line, now() - started) async for line in response.content]
            assert times == [(f"{number}\n".encode(), pytest.approx(0.04 + number)) for number in range(5)]
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                await session.get("https://elsewhere.example/")
            assert isinstance(caught.value.os_error, ConnectionRefusedError)

    # 20 ms there and back to connect, 20 ms for the request and the first line
    in_network(main, MemoryNetwork(latency_s=0.01))


def test_an_aiohttp_site_and_a_dial_that_times_out() -> None:
    async def main(network: MemoryNetwork) -> None:
        runner = web.AppRunner(web.Application())
        await runner.setup()
        await web.TCPSite(runner, "localhost", 8080).start()
        timeout = aiohttp.ClientTimeout(sock_connect=3)
        connector = MemoryConnector(network, force_close=True)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            async with session.get("http://127.0.0.1:8080/") as response:
                assert response.status == 404
            network.set_latency("localhost", 8080, 10)
            started = now()
            with pytest.raises(aiohttp.ConnectionTimeoutError):
                await session.get("http://localhost:8080/")
            assert now() - started == 3.0
        await runner.cleanup()
        await asyncio.sleep(60)

    in_network(main)


def test_an_aiohttp_websocket_of_ten_minutes() -> None:
    async def answer(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse(heartbeat=20)
        await websocket.prepare(request)
        async for message in websocket:
            await asyncio.sleep(0.05)
            await websocket.send_str(f"heard {message.data}")
        return websocket

    async def main(network: MemoryNetwork) -> float:
        async with (
            serving(web.get("/media", answer)),
            aiohttp.ClientSession(connector=network.connector()) as session,
            session.ws_connect(f"wss://{HOST}/media") as websocket,
        ):
            for number in range(1200):
                await websocket.send_str(str(number))
                assert await websocket.receive_str(timeout=1) == f"heard {number}"
                await asyncio.sleep(0.45)
            return now()

    started = time.process_time()
    assert in_network(main) == pytest.approx(600)
    assert time.process_time() - started < 2


def test_dropping_an_aiohttp_websocket_ends_it_on_both_sides() -> None:
    ended: list[tuple[int | None, float]] = []

    async def listen(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for _ in websocket:
            pass
        ended.append((websocket.close_code, now()))
        return websocket

    async def main(network: MemoryNetwork) -> None:
        async with (
            serving(web.get("/media", listen)),
            aiohttp.ClientSession(connector=network.connector()) as session,
            session.ws_connect(f"ws://{HOST}:443/media") as websocket,
        ):
            asyncio.get_running_loop().call_later(42, network.drop, HOST, 443)
            message = await websocket.receive()
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert (websocket.close_code, now()) == (1006, 42.0)

    in_network(main)
    assert ended == [(1006, 42.0)]


# websockets


def test_a_websockets_conversation_of_ten_minutes() -> None:
    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            await asyncio.sleep(0.05)
            await connection.send(f"heard {message!s}")

    async def main(network: MemoryNetwork) -> tuple[float, int]:
        async with serve(answer, HOST, 443) as server:
            assert [name.getsockname() for name in server.sockets] == [(HOST, 443)]
            async with connect(f"wss://{HOST}/stream", proxy=None) as connection:
                assert connection.remote_address == (HOST, 443)
                for number in range(1200):
                    await connection.send(str(number))
                    assert await connection.recv() == f"heard {number}"
                    await asyncio.sleep(0.43)
                spoken_s = now()
            return spoken_s, connection.close_code or 0

    started = time.process_time()
    assert in_network(main, MemoryNetwork(latency_s=0.01)) == (pytest.approx(600, abs=0.1), 1000)
    assert time.process_time() - started < 2


def test_dropping_a_websockets_connection() -> None:
    ended: list[tuple[str, float]] = []

    async def listen(connection: ServerConnection) -> None:
        try:
            await connection.recv()
        except websockets.ConnectionClosedError as error:
            ended.append((type(error.__cause__).__name__, now()))

    async def main(network: MemoryNetwork) -> None:
        async with serve(listen, HOST, 80), connect(f"ws://{HOST}/", proxy=None) as connection:
            asyncio.get_running_loop().call_later(7.5, network.drop, HOST, 80)
            with pytest.raises(websockets.ConnectionClosedError):
                await connection.recv()
            assert now() == 7.5

    in_network(main)
    assert ended == [("ConnectionResetError", 7.5)]


def test_a_stalled_websockets_peer_fails_the_keepalive() -> None:
    async def listen(connection: ServerConnection) -> None:
        with pytest.raises(websockets.ConnectionClosedError):
            await connection.recv()

    async def main(network: MemoryNetwork) -> None:
        async with serve(listen, HOST, 80):
            async with connect(f"ws://{HOST}/", proxy=None, ping_interval=20, ping_timeout=20) as connection:
                await asyncio.sleep(1)
                network.stall(HOST, 80)
                with pytest.raises(websockets.ConnectionClosedError, match="keepalive"):
                    await connection.recv()
                # a ping at 20 s, which nobody answers within 20 s, and 10 s for the closing handshake
                assert 40 <= now() <= 51
            network.drop(HOST, 80)

    in_network(main)


def test_a_stalled_websockets_peer_holds_the_sender_up_until_it_resumes() -> None:
    received: list[int] = []

    async def listen(connection: ServerConnection) -> None:
        received.extend([len(message) async for message in connection])

    async def main(network: MemoryNetwork) -> None:
        options: dict[str, Any] = {"ping_interval": None, "compression": None}

        async def send_a_lot(connection: ClientConnection) -> None:
            for _ in range(1000):
                await connection.send(bytes(1000))

        async with (
            serve(listen, HOST, 80, **options),
            connect(f"ws://{HOST}/", proxy=None, **options) as connection,
        ):
            network.stall(HOST, 80, "to_server")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(send_a_lot(connection), 30)
            assert received == []
            network.resume(HOST, 80)
            await connection.send(b"end")
        # 64 KiB in the network and 32 KiB, the default of websockets, in the write buffer
        assert 90 < len(received) < 110
        assert received[-1] == 3

    in_network(main)


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
