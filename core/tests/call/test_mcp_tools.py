"""The tools of MCP servers: whole calls in virtual time, and what a server may do wrong."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_server import ShopServer, listed, mcp_serving, said

from patter.agent import Agent
from patter.call.mcp_client import MCPClient
from patter.call.mcp_messages import EventReader, read_messages, read_outcome, read_tools, result_of
from patter.errors import ConfigError, InputError, ProviderError
from patter.mcp_servers import MCPServer
from patter.testing import CallTool, Reply
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter.tools import tool

DAY = {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}


@tool
async def hours() -> str:
    """Opening hours."""
    return "9 to 5"


def names(call: Any, request: int = -1) -> list[str]:
    """The tools that the model was shown."""
    return [spec.name for spec in call.scene.model.tools[request]]


@pytest.mark.behaviour("TL-06")
@pytest.mark.parametrize("streams", [False, True], ids=["json", "events"])
async def test_servers_are_listed_while_the_greeting_is_heard(
    simcall: Any, caplog: pytest.LogCaptureFixture, streams: bool
) -> None:
    greeting = "Hello, this is the shop, what may I do for you?"
    shop = ShopServer([listed("book", DAY)], [listed("stock")], streams=streams, delay_s=0.2)
    twin = ShopServer([listed("other"), listed("stock")], delay_s=0.1)
    own = ShopServer([listed("hours")])
    late = ShopServer([listed("late")])
    shop.outcomes["book"] = said("booked for friday")
    async with (
        mcp_serving(shop, "shop.example"),
        mcp_serving(twin, "twin.example"),
        mcp_serving(own, "own.example"),
        mcp_serving(late, "late.example"),
    ):
        servers = (
            "https://nobody.example/mcp",
            shop.url,
            MCPServer(twin.url),
            own.url,
            MCPServer(late.url, headers={"Authorization": "Bearer sesame-4711"}),
        )
        replies = [
            "How nice.",
            Reply(tools=[CallTool("book", {"day": "friday"})]),
            "It is booked.",
        ]
        started = asyncio.get_running_loop().time()
        async with simcall(
            first_message=greeting, tools=[hours], mcp_servers=servers, replies=replies
        ) as call:
            await call.agent_says("Hello")
            greeted = asyncio.get_running_loop().time()
            await call.agent_says("do for you?")
            # side by side with the greeting, which did not wait for them
            assert max(shop.times[:3]) < started + 1
            assert greeted < started + 0.5
            await call.quiet(200)
            await call.caller_says("How are you?")
            await call.agent_says("How nice.")
            assert [name for name in names(call) if name not in ("transfer_call", "end_call")] == [
                "hours",
                "book",
                "stock",
                "late",
            ]
            await call.caller_says("A table for friday please.")
            await call.agent_says("It is booked.")
            assert shop.calls == [{"name": "book", "arguments": {"day": "friday"}}]
            results = [one.content for one in call.scene.model.requests[-1] if one.role == "tool"]
            assert results == ["booked for friday"]
        # a name that two have is an error naming both; who cannot be reached is logged and skipped
        errors = {one.reference: str(one.error) for one in call.failures}
        assert set(errors) == {f"MCP server {host}.example" for host in ("nobody", "twin", "own")}
        assert "shop.example and twin.example both have a tool 'stock'" in errors["MCP server twin.example"]
        assert "'hours'" in errors["MCP server own.example"]
        assert "own.example" in errors["MCP server own.example"]
        assert "nobody.example was not reached" in errors["MCP server nobody.example"]
        for host in ("nobody", "twin", "own"):
            assert f"MCP server {host}.example is left out" in caplog.text
        # one session each, ended with the call
        assert shop.methods == ["initialize", "notifications/initialized"] + ["tools/list"] * 2 + [
            "tools/call"
        ]
        assert shop.sessions == ["session-0"]
        assert [one.open for one in (shop, twin, own, late)] == [set()] * 4
        assert all(one["Authorization"] == "Bearer sesame-4711" for one in late.headers)
        assert "sesame" not in caplog.text + repr(servers)
        if streams:
            asked = {"p1": "result", "s1": "error"}
            assert {
                one["id"]: next(key for key in one if key in ("result", "error")) for one in shop.answered
            } == asked


async def test_a_server_that_does_not_answer_is_skipped_after_5_s(simcall: Any) -> None:
    slow, shop = ShopServer([listed("slow")], delay_s=60), ShopServer([listed("stock")])
    async with mcp_serving(slow, "slow.example"), mcp_serving(shop, "shop.example"):
        async with simcall(mcp_servers=[slow.url, shop.url], replies=["One.", "Two."]) as call:
            await asyncio.sleep(4)
            await call.caller_says("Hello?")
            await call.agent_says("One.")
            await asyncio.sleep(4)
            await call.caller_says("And now?")
            await call.agent_says("Two.")
            assert "stock" in names(call)
            assert "slow" not in names(call)
            (failure,) = call.failures
            assert "5 s" in str(failure.error)
        await asyncio.sleep(61)  # until the server has noticed


def talking(test: Callable[[ShopServer, MCPClient], Coroutine[Any, Any, None]], **options: Any) -> ShopServer:
    """Let a client and a server talk in virtual time."""
    server = ShopServer([listed("book", DAY), listed("stock")], **options)

    async def main() -> None:
        async with mcp_serving(server):
            client = MCPClient(MCPServer(server.url), "1.0")
            try:
                await test(server, client)
            finally:
                await client.close()

    run_virtual(main(), network=MemoryNetwork())
    return server


def test_a_session_that_is_gone_is_opened_again() -> None:
    async def test(server: ShopServer, client: MCPClient) -> None:
        assert [one.name for one in await client.list_tools()] == ["book", "stock"]
        server.open.clear()
        assert await client.call_tool("stock", {}) == "done"
        assert server.sessions == ["session-0", "session-1"]

    server = talking(test)
    assert server.headers[-2]["MCP-Protocol-Version"] == "2025-11-25"
    assert "Mcp-Session-Id" not in server.headers[0]
    assert server.open == set()


def test_calls_side_by_side_share_a_session() -> None:
    async def test(server: ShopServer, client: MCPClient) -> None:
        assert await asyncio.gather(*(client.call_tool("stock", {"n": n}) for n in range(5))) == ["done"] * 5
        assert server.sessions == ["session-0"]
        assert server.methods.count("initialize") == 1

    talking(test, delay_s=0.1)


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        ({"error": {"code": -32602, "message": "no such tool"}}, "error -32602: no such tool"),
        ({"error": "odd"}, "odd"),
        ({"raw": b"<html>"}, "not JSON"),
        ({"raw": b"[" * 100_000}, "not JSON"),
        ({"raw": b"[1]"}, "no JSON-RPC message"),
        ({"raw": b"{}"}, "without a result"),
        ({"raw": b'{"id": 4, "result": 5}'}, "without a result"),
        ({"raw": b" " * (1 << 20) + b"{}"}, "longer than 1048576 bytes"),
    ],
)
def test_an_answer_that_cannot_be_used_is_an_error_of_the_server(outcome: Any, problem: str) -> None:
    async def test(server: ShopServer, client: MCPClient) -> None:
        server.outcomes["stock"] = outcome
        with pytest.raises(ProviderError, match=problem) as caught:
            await client.call_tool("stock", {})
        assert "mcp.example" in str(caught.value)

    talking(test)


def test_a_stream_without_end_is_cut_off() -> None:
    async def test(server: ShopServer, client: MCPClient) -> None:
        server.outcomes["stock"] = said("x" * (1 << 20))
        with pytest.raises(ProviderError, match="longer than"):
            await client.call_tool("stock", {})

    server = talking(test)
    assert server.calls


def test_another_revision_of_the_protocol_is_refused() -> None:
    async def test(server: ShopServer, client: MCPClient) -> None:
        server.version = "1999-01-01"
        with pytest.raises(ProviderError, match="1999-01-01"):
            await client.list_tools()
        server.version = "2025-03-26"
        await client.list_tools()

    talking(test)


def test_tools_that_no_model_can_be_shown_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    from patter.call.mcp_tools import MCPTools

    added: list[str] = []
    odd = [
        listed("a b"),
        listed(None),
        listed("array", {"type": "array"}),
        listed("nothing", None),
        listed("good", DAY, "x" * 10_000),
        listed("plain", description=None),
        "text",
    ]

    async def main() -> None:
        async with mcp_serving(ShopServer(odd)) as server:
            tools = MCPTools(
                [MCPServer(server.url)],
                lambda made: added.extend(f"{one.name} {len(one.description)}" for one in made),
                lambda host, error: pytest.fail(str(error)),
            )
            await tools.list_all()
            await tools.close()

    with caplog.at_level(logging.WARNING):
        run_virtual(main(), network=MemoryNetwork())
    assert added == ["good 4096", "plain 0"]
    assert caplog.text.count("a tool is left out") == 4


@pytest.mark.behaviour("SC-07")
def test_a_server_is_reached_at_a_public_address_or_by_name() -> None:
    for url in (
        "http://127.0.0.1/mcp",
        "http://2130706433/",
        "http://[::1]/",
        "ws://mcp.example/",
        "nonsense",
        5,
    ):
        with pytest.raises(ConfigError, match="MCP server"):
            MCPServer(url)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=r"MCP server|mcp_servers"):
            Agent(mcp_servers=[url])
    assert MCPServer("http://127.0.0.1/mcp", allow_hosts=["127.0.0.1"]).host == "127.0.0.1"

    async def name_server(host: str, port: int, **options: Any) -> list[Any]:
        return [(2, 1, 6, "", ("169.254.169.254", port))]

    async def main() -> None:
        asyncio.get_running_loop().getaddrinfo = name_server  # type: ignore[method-assign, assignment]
        client = MCPClient(MCPServer("http://169.254.169.254.nip.io/mcp"), "1.0")
        with pytest.raises(InputError, match="not a public address"):
            await client.list_tools()
        await client.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"timeout_s": 0},
        {"timeout_s": True},
        {"headers": {"A": "b\r\nc: d"}},
        {"headers": {"A": 5}},
        {"allow_hosts": "mcp.example"},
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="MCP server"):
        MCPServer("https://mcp.example/", **options)


def test_an_agent_takes_urls_and_servers() -> None:
    server = MCPServer("https://a.example/mcp?key=sesame")
    assert Agent(mcp_servers=server).mcp_servers == (server,)
    assert [one.host for one in Agent(mcp_servers=["https://b.example/", server]).mcp_servers] == [
        "b.example",
        "a.example",
    ]
    assert "sesame" not in repr(Agent(mcp_servers=server))
    for bad in (5, [5], {"a": 1}):
        with pytest.raises(ConfigError, match="mcp_servers"):
            Agent(mcp_servers=bad)


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (said("one"), "one"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        (said("", structuredContent={"a": 1}), {"a": 1}),
        ({"structuredContent": {"a": 1}}, {"a": 1}),
        (said("no stock", isError=True), {"error": "no stock"}),
        ({"isError": True}, {"error": "the tool failed"}),
        ({"content": [{"type": "resource", "resource": {"text": "r"}}]}, "r"),
        ({"content": [{"type": "image", "data": "…"}]}, "[image, which cannot be read aloud]"),
        ({"content": 5}, ""),
        ({}, ""),
    ],
)
def test_what_the_model_is_told(result: dict[str, Any], told: Any) -> None:
    assert read_outcome(result) == told


@given(st.lists(st.binary(max_size=40).filter(lambda one: b"\n" not in one and b"\r" not in one)), st.data())
def test_events_are_read_however_they_are_cut(events: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(b"data:" + one + data.draw(st.sampled_from([b"\n\n", b"\r\n\r\n"])) for one in events)
    reader, found = EventReader(), []
    while raw:
        cut = data.draw(st.integers(1, len(raw)))
        found += reader.feed(raw[:cut])
        raw = raw[cut:]
    assert found == [one.removeprefix(b" ") for one in events]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "result",
                    "error",
                    "method",
                    "tools",
                    "name",
                    "content",
                    "text",
                    "type",
                    "nextCursor",
                    "isError",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(json_values | st.binary(max_size=30))
def test_whatever_a_server_sends_is_read_or_refused(value: Any) -> None:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    with suppress(ProviderError):
        for message in read_messages(raw):
            result = result_of(message, 1)
            for one in (message, result or {}):
                read_outcome(one)
                read_tools(one)
