"""Transports of the memory network, one connection at a time."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest
from network_ends import HOST, in_network, now, pair, settle

from patter.testing.memory_network import MemoryNetwork


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
