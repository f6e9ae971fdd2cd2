"""Connections to addresses that are not trusted: real ones to loopback, with names resolved by the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from websockets.asyncio.server import ServerConnection, serve

from patter.errors import InputError, ProviderDisconnected
from patter.outbound import CheckedResolver, LookUp, OutboundSession, connect_websocket, read_bounded
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual

V4, V6 = socket.AF_INET, socket.AF_INET6


class Names:
    """A name server whose answers change: the first list at the first look, the last one for good."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(
        self, host: str, port: int, family: socket.AddressFamily
    ) -> list[tuple[socket.AddressFamily, str]]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(V6 if ":" in one else V4, one) for one in answer]


class Hits:
    """A web server on loopback that counts."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.hosts.append(request.headers["Host"])
        if request.path == "/away":
            raise web.HTTPFound("/home")
        return web.Response(text=f"hello from {request.path}")


@asynccontextmanager
async def web_server() -> AsyncIterator[Hits]:
    hits = Hits()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", hits.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hits.port = runner.addresses[0][1]
    try:
        yield hits
    finally:
        await runner.cleanup()


async def get(session: OutboundSession, url: str) -> tuple[int, str]:
    async with await session.request("GET", url) as response:
        return response.status, (await read_bounded(response, 1000)).decode()


@asynccontextmanager
async def outbound(*allow_hosts: str, look_up: LookUp | None = None) -> AsyncIterator[OutboundSession]:
    session = OutboundSession(allow_hosts, total_s=5, **({} if look_up is None else {"look_up": look_up}))
    try:
        yield session
    finally:
        await session.close()


@pytest.mark.parametrize(
    "answer",
    [
        ["169.254.169.254"],
        ["127.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fd00:ec2::254"],
        ["93.184.215.14", "10.0.0.1"],
        ["10.0.0.1", "93.184.215.14"],
        ["2606:4700::1111", "fe80::1%2"],
        ["rubbish"],
    ],
)
def test_a_name_with_one_inner_address_is_refused_before_anything_is_sent(answer: list[str]) -> None:
    names = Names(answer)

    async def main() -> None:
        async with web_server() as hits, outbound(look_up=names) as session:
            with pytest.raises(InputError, match=r"169\.254\.169\.254\.nip\.io"):
                await get(session, f"http://169.254.169.254.nip.io:{hits.port}/latest/meta-data")
            with pytest.raises(InputError):
                await connect_websocket(f"ws://169.254.169.254.nip.io:{hits.port}/", look_up=names)
            assert hits.hosts == []

    asyncio.run(main())
    assert len(names.asked) == 2


def test_every_address_of_a_public_name_is_handed_on_in_order() -> None:
    async def main() -> None:
        names = Names(["93.184.215.14", "2606:4700::1111"])
        found = await CheckedResolver(look_up=names).resolve("hooks.example", 443)
        assert [(one["host"], one["port"], one["family"]) for one in found] == [
            ("93.184.215.14", 443, V4),
            ("2606:4700::1111", 443, V6),
        ]
        assert all(one["flags"] & socket.AI_NUMERICHOST for one in found)  # not resolved a second time
        with pytest.raises(OSError, match="no address"):
            await CheckedResolver(look_up=Names([])).resolve("hooks.example")

    asyncio.run(main())


def test_a_connection_goes_to_the_address_that_was_checked() -> None:
    """The second look would lead nowhere: a name server that changes its mind gets no say."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])

    async def main() -> None:
        async with web_server() as hits, outbound("hooks.example", look_up=names) as session:
            url = f"http://hooks.example:{hits.port}/"
            assert await get(session, url) == (200, "hello from /")
            assert await get(session, url) == (200, "hello from /")
            assert hits.hosts == [f"hooks.example:{hits.port}"] * 2
        assert names.asked == ["hooks.example"]

    asyncio.run(main())


def test_a_name_is_checked_again_at_each_connection() -> None:
    names = Names(["93.184.215.14"], ["127.0.0.1"])

    async def main() -> None:
        resolver = CheckedResolver(look_up=names)
        await resolver.resolve("hooks.example")
        with pytest.raises(InputError):
            await resolver.resolve("hooks.example")

    asyncio.run(main())


def test_addresses_need_no_name_server_and_the_allow_list_admits_them() -> None:
    async def main() -> None:
        async with web_server() as hits:
            url = f"http://127.0.0.1:{hits.port}/x"
            async with outbound() as session:
                with pytest.raises(InputError, match=r"127\.0\.0\.1 is not a public address"):
                    await get(session, url)
                assert hits.hosts == []
            async with outbound("127.0.0.1", "localhost") as session:
                assert await get(session, url) == (200, "hello from /x")
                assert await get(session, url.replace("127.0.0.1", "localhost")) == (200, "hello from /x")

    asyncio.run(main())


def test_redirects_are_not_followed() -> None:
    async def main() -> None:
        async with web_server() as hits, outbound("127.0.0.1") as session:
            status, _ = await get(session, f"http://127.0.0.1:{hits.port}/away")
            assert (status, len(hits.hosts)) == (302, 1)

    asyncio.run(main())


def test_a_websocket_goes_to_the_address_that_was_checked() -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    seen: list[Any] = []

    async def greet(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers["Host"])
        await connection.send("hello")

    async def main() -> None:
        async with serve(greet, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            connection = await connect_websocket(
                f"ws://hooks.example:{port}/", ["hooks.example"], look_up=names
            )
            assert await connection.recv() == "hello"
            await connection.close()
            assert connection.remote_address[0] == "127.0.0.1"
            for url in (
                f"ws://127.0.0.1:{port}/",
                f"ws://2130706433:{port}/",
                f"http://hooks.example:{port}/",
            ):
                with pytest.raises(InputError):
                    await connect_websocket(url, look_up=names)
        with pytest.raises(ProviderDisconnected, match=r"hooks\.example"):
            await connect_websocket("ws://hooks.example/", look_up=Names([]))
        assert seen == [f"hooks.example:{port}"]

    asyncio.run(main())
    assert names.asked == ["hooks.example"]


def test_in_a_memory_network_the_url_itself_is_still_checked() -> None:
    async def main() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, ["hooks.example", "10.0.0.1"], 443)
        async with outbound() as session:
            assert await get(session, "https://hooks.example/") == (200, "hi")
            with pytest.raises(InputError):
                await get(session, "https://10.0.0.1/")
        server.close()

    run_virtual(main(), network=MemoryNetwork())
