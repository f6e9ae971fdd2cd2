"""aiohttp and websockets over the memory network."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
import websockets
from aiohttp import web
from network_ends import HOST, in_network, now, serving
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from patter.testing.memory_connector import MemoryConnector
from patter.testing.memory_network import MemoryNetwork


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
