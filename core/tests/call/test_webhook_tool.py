"""Tools that are a URL."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from hook_server import HookServer, serving
from running_tools import calling, now, runner

from patter.call.closing import close_provider
from patter.call.tool_running import ToolRunner
from patter.errors import ConfigError
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter.tools import Tool

SCHEMA = {
    "type": "object",
    "properties": {"day": {"type": "string"}},
    "required": ["day"],
    "additionalProperties": False,
}
CALL = SimpleNamespace(id="call_1", caller="+15550001234", callee="+15550004321")
FRIDAY = calling("hours", {"day": "friday"})
MEBIBYTE = 1 << 20
#: before a second attempt in one test, in s; longer than any busy machine needs for the first
FIRST_DELAY_S = 5.0


def webhook(server: HookServer, **options: Any) -> Tool:
    return Tool("hours", "Opening hours.", SCHEMA, webhook_url=server.url, **options)


def in_memory(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtual(test(), network=MemoryNetwork())

    run.__name__ = test.__name__
    return run


async def slowly(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response(text="late")


async def dripping(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        for _ in range(60):
            await response.write(b" ")
            await asyncio.sleep(1)
    return response


@pytest.mark.behaviour("TL-03")
@in_memory
async def test_a_webhook_is_told_of_the_call_and_bounded_in_time_and_size() -> None:
    # the body
    async with serving(web.Response(status=500), '{"open": "9 to 5"}') as server:
        tools = runner(webhook(server), call_object=CALL)
        result = await tools.run(FRIDAY)
        assert (result.result, result.error) == ('{"open": "9 to 5"}', None)
        told = {
            "tool": "hours",
            "arguments": {"day": "friday"},
            "call_id": "call_1",
            "caller": "+15550001234",
            "callee": "+15550004321",
        }
        assert server.asked == [{**told, "attempt": 1}, {**told, "attempt": 2}]
        assert server.types == ["POST application/json"] * 2
        await tools.close()

    # 10 s for an attempt, of which the deadline of the whole leaves room for one and a half
    for silent in (slowly, dripping):
        async with serving(silent) as server:
            tools = runner(webhook(server), call_object=CALL)
            started = now()
            result = await tools.run(FRIDAY)
            assert json.loads(result.result) == {"error": "timeout", "fallback": True}
            assert now() - started == pytest.approx(15)
            first, second = server.times
            assert 10.5 <= second - first <= 10.56
            await tools.close()
        async with serving(silent, "in time") as server:
            tools = runner(webhook(server), call_object=CALL)
            assert (await tools.run(FRIDAY)).result == "in time"
            await tools.close()
            await asyncio.sleep(60)  # until the server has noticed

    # 1 MiB of answer, however it is sent; the model gets the part of it that any tool may give it
    async with serving("x" * MEBIBYTE) as server:
        tools = runner(webhook(server), call_object=CALL)
        result = await tools.run(FRIDAY)
        assert result.error is None
        assert result.result.endswith("[cut]")
        await tools.close()
    for much in ("x" * (MEBIBYTE + 1), zipped, endless):
        async with serving(much) as server:
            tools = runner(webhook(server, timeout_s=60), call_object=CALL)
            assert "longer than 1048576 bytes" in (await tools.run(FRIDAY)).result
            assert len(server.asked) == 3
            await tools.close()


async def zipped(request: web.Request) -> web.StreamResponse:
    response = web.Response(body=b"x" * (64 * MEBIBYTE))
    response.enable_compression(web.ContentCoding.gzip)
    return response


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await response.write(b"x" * 65_536)
    return response


@in_memory
async def test_wrong_arguments_reach_no_webhook() -> None:
    async with serving("never") as server:
        tools = runner(webhook(server), call_object=CALL)
        for wrong in ({}, {"day": 5}, {"day": "friday", "x": 1}):
            assert set(json.loads((await tools.run(calling("hours", wrong))).result)) == {"error"}
        assert server.asked == []
        await tools.close()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (web.Response(status=404, text="secret page"), "HTTP 404"),
        (web.Response(status=503), "HTTP 503"),
        (web.Response(status=302, headers={"Location": "http://10.0.0.1/"}), "redirect"),
        (web.Response(body=b"\xff\xfe"), "no UTF-8"),
    ],
)
def test_an_answer_that_is_no_success_is_a_failure(answer: web.Response, problem: str) -> None:
    def again(_: web.Request) -> Any:
        async def make() -> web.Response:
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

        return make()

    async def main() -> None:
        async with serving(again) as server:
            tools = runner(webhook(server), call_object=CALL)
            told = json.loads((await tools.run(FRIDAY)).result)
            assert problem in told["error"]
            assert "hooks.example" in told["error"]
            assert told["fallback"] is True
            assert "secret page" not in told["error"]
            assert [one["attempt"] for one in server.asked] == [1, 2, 3]
            await tools.close()

    run_virtual(main(), network=MemoryNetwork())


@in_memory
async def test_nobody_there_is_a_failure() -> None:
    tools = runner(Tool("hours", "", SCHEMA, webhook_url="https://nobody.example/x"))
    told = json.loads((await tools.run(FRIDAY)).result)
    assert "nobody.example was not reached" in told["error"]
    await tools.close()


@in_memory
async def test_a_connection_serves_the_next_call_and_none_is_left() -> None:
    async with serving("yes") as server:
        network = asyncio.get_running_loop().network  # type: ignore[attr-defined]
        tools = runner(webhook(server), call_object=CALL)
        for _ in range(3):
            await tools.run(FRIDAY)
        assert (len(server.asked), len(server.connections), len(network.connections)) == (3, 1, 1)
        await tools.close()
        await asyncio.sleep(1)
        assert network.connections == ()


@in_memory
async def test_a_handler_that_ignores_its_end_keeps_no_connection_open() -> None:
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            with suppress(asyncio.CancelledError):
                await release.wait()

    async with serving("yes") as server:
        network = asyncio.get_running_loop().network  # type: ignore[attr-defined]
        tools = runner(webhook(server), Tool("stubborn", "", None, stubborn), call_object=CALL)
        await tools.run(FRIDAY)
        waiting = asyncio.create_task(tools.run(calling("stubborn")))
        await asyncio.sleep(1)
        await close_provider("tools", tools)  # as the end of a call does
        await asyncio.sleep(0.1)
        assert network.connections == ()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting


def test_the_url_reaches_neither_model_nor_log(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> str:
        async with serving(web.Response(status=500)) as server:
            tools = runner(webhook(server), call_object=CALL)
            told = (await tools.run(FRIDAY)).result
            await tools.close()
            return told + repr(webhook(server))

    with caplog.at_level(logging.DEBUG, logger="patter"):
        told = run_virtual(main(), network=MemoryNetwork())
    assert "HTTP 500" in caplog.text
    assert "sesame" not in caplog.text + told


@pytest.mark.behaviour("SC-07")
def test_a_webhook_reaches_loopback_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real sockets. What the rule itself refuses is in test_outbound_addresses.py, pinning in test_outbound.py."""

    asked: list[str] = []

    async def name_server(host: str, port: int, **options: Any) -> list[Any]:
        asked.append(host)
        return [(2, 1, 6, "", (host.removesuffix(".nip.io"), port))]

    async def main() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", name_server)
        monkeypatch.setattr("patter.call.tool_running._FIRST_DELAY_S", FIRST_DELAY_S)
        async with serving("yes", host="127.0.0.1", port=0) as server:
            port = server.url.split(":")[2].partition("/")[0]
            for host in (
                "127.0.0.1",
                "2130706433",
                "0177.0.0.1",
                "0x7f.1",
                "[::ffff:127.0.0.1]",
                "localhost",
            ):
                with pytest.raises(ConfigError, match="webhook_url"):
                    Tool("hours", "", SCHEMA, webhook_url=f"http://{host}:{port}/")
            for scheme in ("file", "ws", "ftp"):
                with pytest.raises(ConfigError, match="http:// or https://"):
                    Tool("hours", "", SCHEMA, webhook_url=f"{scheme}://hooks.example/")

            async def ask(host: str, *allowed: str) -> dict[str, Any]:
                url = f"http://{host}:{port}/away"
                tools = runner(Tool("hours", "", SCHEMA, webhook_url=url, allow_hosts=allowed))
                started = now()
                result = await tools.run(FRIDAY)
                assert now() - started < FIRST_DELAY_S  # what is refused is not tried again
                await tools.close()
                return {"result": result.result} if result.error is None else json.loads(result.result)

            for host in ("169.254.169.254.nip.io", "127.0.0.1.nip.io"):
                told = await ask(host)
                assert f"{host} is not a public address" in told["error"]
                assert told["fallback"] is True
            assert server.asked == []
            assert await ask("127.0.0.1", "127.0.0.1") == {"result": "yes"}
            assert await ask("127.0.0.1.nip.io", "127.0.0.1.nip.io") == {"result": "yes"}
            assert len(server.asked) == 2
            assert asked == ["169.254.169.254.nip.io", "127.0.0.1.nip.io", "127.0.0.1.nip.io"]

    asyncio.run(main())


def test_a_runner_without_webhooks_opens_no_session() -> None:
    async def main() -> None:
        tools: ToolRunner = runner(Tool("hours", "", SCHEMA, webhook_url="https://hooks.example/"))
        await tools.close()
        await tools.close()

    run_virtual(main())
