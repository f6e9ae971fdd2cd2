"""HTTP sessions and WebSockets, over loopback and in the memory network."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from patter import net
from patter.errors import (
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual

SECRET = "sesame-4711"


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@asynccontextmanager
async def websocket_server(**options: Any) -> AsyncIterator[str]:
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def answering(status: int, headers: dict[str, str] | None = None) -> Any:
    def answer(connection: ServerConnection, request: Any) -> Any:
        response = connection.respond(HTTPStatus(status), "no")
        for name, value in (headers or {}).items():
            response.headers[name] = value
        return response

    return answer


def test_a_websocket_carries_messages() -> None:
    async def main() -> None:
        async with websocket_server() as url:
            connection = await net.connect_websocket(url, headers={"X-Key": SECRET})
            await connection.send(b"hello")
            assert await connection.recv() == b"hello"
            assert connection.request is not None
            assert connection.request.headers["X-Key"] == SECRET
            assert connection.protocol.extensions == []
            await connection.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ProviderAuthError),
        (403, ProviderAuthError),
        (429, RateLimitedError),
        (404, ProviderDisconnected),
        (503, ProviderDisconnected),
    ],
)
def test_a_refused_websocket_says_why_without_secrets(status: int, error: type[ProviderError]) -> None:
    async def main() -> None:
        async with websocket_server(process_request=answering(status, {"Retry-After": "7"})) as url:
            with pytest.raises(error) as caught:
                await net.connect_websocket(
                    f"{url}/?token={SECRET}", headers={"X-Key": SECRET}, provider="stt/x"
                )
        assert SECRET not in repr(caught.value) + str(caught.value.__cause__)
        assert (caught.value.provider, caught.value.vendor_code) == ("stt/x", str(status))
        assert getattr(caught.value, "retry_after_s", 7) == 7

    asyncio.run(main())


@pytest.mark.parametrize("status", [None, 401])
def test_no_log_has_the_address_or_the_headers_of_a_websocket_at_any_level(
    status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        refusing = {} if status is None else {"process_request": answering(status)}
        async with websocket_server(logger=logging.getLogger("the far end"), **refusing) as url:
            with suppress(ProviderAuthError):
                address, headers = f"{url}/?api_key={SECRET}", {"Authorization": f"Token {SECRET}"}
                connection = await net.connect_websocket(address, headers=headers)
                await connection.send(SECRET)
                await connection.close()

    logging.getLogger("the far end").setLevel(logging.ERROR)
    with caplog.at_level(1):
        asyncio.run(main())
    assert SECRET not in caplog.text


def test_a_redirect_is_not_followed() -> None:
    async def main() -> None:
        async with (
            websocket_server() as target,
            websocket_server(process_request=answering(302, {"Location": target})) as url,
        ):
            with pytest.raises(ProviderDisconnected, match="302"):
                await net.connect_websocket(url)

    asyncio.run(main())


@pytest.mark.parametrize("url", ["ws://127.0.0.1:1/", "http://127.0.0.1/", "ws://"])
def test_no_server_is_a_lost_connection(url: str) -> None:
    with pytest.raises(ProviderDisconnected):
        asyncio.run(net.connect_websocket(url))


def test_a_silent_server_runs_into_the_time_limit() -> None:
    """In virtual time, where the five seconds cost nothing."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with await asyncio.start_server(silent, "provider.example", 80):
            with pytest.raises(ProviderTimeout, match=r"provider\.example"):
                await net.connect_websocket("ws://provider.example/")
            assert loop.time() == pytest.approx(net.CONNECT_S, abs=0.1)

    run_virtual(main(), network=MemoryNetwork())


def test_a_message_that_is_too_long_closes_the_socket() -> None:
    async def main() -> None:
        async with websocket_server(max_size=None) as url:
            connection = await net.connect_websocket(url, longest_message=1000)
            await connection.send(b"x" * 1001)
            with pytest.raises(Exception, match="1009"):
                await connection.recv()
            await connection.close()

    asyncio.run(main())


async def greet(request: web.Request) -> web.Response:
    response = web.json_response({"cookie": request.headers.get("Cookie", "")})
    response.set_cookie("a", "b")
    return response


@asynccontextmanager
async def http_server(host: str, port: int) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/", greet)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield f"http://{host}:{runner.addresses[0][1]}/" if runner.addresses else f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def ask_twice(url: str) -> list[str]:
    async with net.session() as session:
        answers = []
        for _ in range(2):
            async with session.get(url) as response:
                answers.append((await response.json())["cookie"])
        return answers


def test_a_session_keeps_no_cookies() -> None:
    async def main() -> list[str]:
        async with http_server("127.0.0.1", 0) as url:
            return await ask_twice(url)

    assert asyncio.run(main()) == ["", ""]


def test_a_session_dials_in_the_network_of_its_loop() -> None:
    async def main() -> list[str]:
        async with http_server("provider.example", 80):
            return await ask_twice("http://provider.example/")

    assert run_virtual(main(), network=MemoryNetwork()) == ["", ""]


def test_a_session_takes_a_connector() -> None:
    async def main() -> None:
        connector = aiohttp.TCPConnector(limit=1)
        async with net.session(connector=connector) as session:
            assert session.connector is connector

    asyncio.run(main())


def test_tls_settings_are_made_once() -> None:
    assert net.ssl_context() is net.ssl_context()
    assert net.ssl_context().check_hostname


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, ProviderAuthError), (403, ProviderAuthError), (429, RateLimitedError), (504, ProviderTimeout),
     (500, ProviderError), (400, ProviderError)],
)  # fmt: skip
def test_maps_http_statuses(status: int, error: type[ProviderError]) -> None:
    assert type(net.status_error(status, "no")) is error


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("0.5", 0.5), (None, None), ("", None), ("Mon, 23 Nov 2026 10:00:00 GMT", None), ("-1", None),
     ("nan", None), ("inf", None), ("1e9", None)],
)  # fmt: skip
def test_reads_retry_after(header: str | None, seconds: float | None) -> None:
    assert net.parse_retry_after(header) == seconds


def test_importing_net_is_cheap() -> None:
    code = "import sys, patter.net; print(sorted({'aiohttp', 'websockets', 'pydantic', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
