"""Media connections to the server, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import aiohttp
import pytest
from plain_server import SIGNED, echo, running

from patter.environment import Environment
from patter.server.connection import CarrierConnection
from patter.server.tokens import MediaTokens


@pytest.mark.behaviour("SC-04")
def test_media_is_refused_before_the_upgrade_without_a_valid_token() -> None:
    async def scenario() -> None:
        async with running() as server:
            path = await server.stream_path()
            token = path.rsplit("/", 1)[1]
            foreign = server.desk.tokens.mint("call_2", "another")

            for refused in (
                "/ws/plain",
                "/ws/plain/wrong",
                f"/ws/plain/{foreign}",
                f"/ws/plain/?token={token}",
            ):
                assert await server.refused(refused) in (403, 404)
            assert await server.refused(path, {"X-Signature": "bad"}) == 403
            assert server.desk.served == []

            # none of that used the token up; the call itself does, and then it is gone
            socket = await server.dial(path)
            assert await server.refused(path) == 403
            await socket.close()
            assert len(server.desk.served) == 1

    asyncio.run(scenario())


def test_a_token_is_minted_when_the_document_is_asked_for_and_expires_with_its_ttl() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.desk.tokens = MediaTokens(Environment(), 0.0)
            assert await server.refused(await server.stream_path()) == 403
            assert server.desk.served == []

    asyncio.run(scenario())


def test_a_request_that_is_no_upgrade_does_not_use_the_token_up() -> None:
    async def scenario() -> None:
        async with running() as server:
            path = await server.stream_path()
            assert await server.get(path) == 426
            await (await server.dial(path)).close()

    asyncio.run(scenario())


@pytest.mark.behaviour("SC-05")
def test_calls_over_the_limit_are_refused_by_count_alone_and_running_ones_go_on() -> None:
    async def scenario() -> None:
        async with running(maximum=2) as server:
            sockets = [await server.dial(await server.stream_path(call)) for call in ("1", "2")]
            for address in ("1.2.3.4", "5.6.7.8"):
                forwarded = {**SIGNED, "X-Forwarded-For": address, "Forwarded": f"for={address}"}
                assert await server.post(data={"id": address}, headers=forwarded) == (
                    200,
                    "refused: We are busy.",
                )
            assert await server.get("/ready") == 503

            for socket in sockets:
                await socket.send_str("still here")
                assert await socket.receive_str() == "still here"
            await sockets[0].close()
            await asyncio.wait_for(server.desk.ended.wait(), 2)
            assert await server.get("/ready") == 200
            assert (await server.post(data={"id": "3"}))[1].startswith("ws://")

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-05")
def test_oversized_and_binary_messages(caplog: pytest.LogCaptureFixture) -> None:
    mebibyte = 1024 * 1024

    async def scenario() -> None:
        async with running() as server:
            socket = await server.dial(await server.stream_path("1"))
            other = await server.dial(await server.stream_path("2"))

            await socket.send_str("x" * mebibyte)
            assert len(await socket.receive_str()) == mebibyte
            for dropped in ("x" * (mebibyte + 1), "é" * (mebibyte // 2 + 1), "x" * (4 * mebibyte)):
                caplog.clear()
                await socket.send_str(dropped)
                await socket.send_str("next")
                assert await socket.receive_str() == "next"
                assert [record.name for record in caplog.records] == ["patter.server.connection"]
            caplog.clear()
            await socket.send_bytes(b"\x00\x01")
            await socket.send_str("next")
            assert await socket.receive_str() == "next"
            assert len(caplog.records) == 1

            await socket.send_str("x" * (4 * mebibyte + 1))
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
            assert socket.close_code == 1009
            await asyncio.wait_for(server.desk.ended.wait(), 2)

            await other.send_str("untouched")
            assert await other.receive_str() == "untouched"
            await other.close()

    with caplog.at_level(logging.INFO, "patter"):
        asyncio.run(scenario())


def test_a_socket_that_breaks_off_ends_the_call() -> None:
    async def scenario() -> None:
        async with running() as server:
            socket = await server.dial(await server.stream_path())
            await socket.send_str("hello")
            await socket.receive_str()
            transport = socket._response.connection.transport  # type: ignore[union-attr]
            transport.abort()
            await asyncio.wait_for(server.desk.ended.wait(), 2)

    asyncio.run(scenario())


def test_after_the_end_receiving_sending_and_closing_are_harmless() -> None:
    done = asyncio.Event()

    async def call(connection: CarrierConnection) -> None:
        assert await connection.receive_text() is None
        for _ in range(10):
            assert await connection.receive_text() is None
            await connection.send_text("nobody hears this")
            await connection.close()
        assert connection.unsent_bytes() == 0
        done.set()

    async def scenario() -> None:
        async with running(call) as server:
            await (await server.dial(await server.stream_path())).close()
            await asyncio.wait_for(done.wait(), 2)

    asyncio.run(scenario())


def test_a_call_that_fails_closes_its_own_connection_only() -> None:
    async def call(connection: CarrierConnection) -> None:
        if await connection.receive_text() == "fail":
            raise RuntimeError("a fault")
        await echo(connection)

    async def scenario() -> None:
        async with running(call) as server:
            failing = await server.dial(await server.stream_path("1"))
            other = await server.dial(await server.stream_path("2"))
            await other.send_str("go on")
            await failing.send_str("fail")
            assert (await failing.receive()).type is aiohttp.WSMsgType.CLOSE
            assert failing.close_code == 1011
            await other.send_str("untouched")
            assert await other.receive_str() == "untouched"
            await other.close()

    asyncio.run(scenario())


def test_when_the_call_is_over_the_connection_is_closed() -> None:
    async def call(connection: CarrierConnection) -> None:
        await connection.send_text("goodbye")

    async def scenario() -> None:
        async with running(call) as server:
            socket = await server.dial(await server.stream_path())
            assert await socket.receive_str() == "goodbye"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1000

    asyncio.run(scenario())


def test_a_carrier_that_takes_no_data_is_measured_and_can_be_closed_in_time() -> None:
    measured: list[int] = []

    async def call(connection: CarrierConnection) -> None:
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    await connection.send_text("x" * 60_000)
        measured.append(connection.unsent_bytes())
        before = loop.time()
        await connection.close(1001)
        assert loop.time() - before < 1.5

    async def scenario() -> None:
        async with running(call) as server:
            path = await server.stream_path()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.listener.port, limit=1024)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Signature: good\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            await asyncio.wait_for(server.desk.ended.wait(), 5)
            writer.close()
            assert b"101" in await reader.readline()

    asyncio.run(scenario())
    assert measured[0] > 64 * 1024


@pytest.mark.parametrize("hangs", [False, True])
def test_stopping_closes_media_with_1001_and_does_not_wait_for_a_call_that_hangs(hangs: bool) -> None:
    cancelled = asyncio.Event()

    async def call(connection: CarrierConnection) -> None:
        await echo(connection)
        if hangs:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    async def scenario() -> None:
        async with running(call) as server:
            socket = await server.dial(await server.stream_path())
            await socket.send_str("up")
            await socket.receive_str()
            receiving = asyncio.create_task(socket.receive())
            url = server.listener.url + "/health"
            before = asyncio.get_running_loop().time()

            await server.listener.stop()

            assert asyncio.get_running_loop().time() - before < 3
            assert (await receiving).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1001
            assert cancelled.is_set() is hangs
            with pytest.raises(aiohttp.ClientConnectorError):
                await server.http.get(url)
            await server.listener.stop()

    asyncio.run(scenario())
