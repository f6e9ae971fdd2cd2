"""Our client against the server of the protocol's own Python SDK, over loopback sockets in real time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from patter.call.mcp_client import MCPClient
from patter.call.mcp_tools import MCPTools
from patter.mcp_servers import MCPServer
from patter.tools import Tool

official = pytest.importorskip("mcp.server.mcpserver")
uvicorn = pytest.importorskip("uvicorn")

pytestmark = [
    pytest.mark.realtime,
    # the SDK's and its server's own
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mcp"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:uvicorn"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:starlette"),
]


def shop() -> Any:
    """The SDK's server with three tools."""
    server = official.MCPServer("shop")

    @server.tool()
    async def book(day: str, people: int = 2) -> str:
        """Book a table."""
        return f"booked for {people} on {day}"

    @server.tool()
    async def stock(item: str) -> dict[str, int]:
        """How many there are."""
        return {item: 4}

    @server.tool()
    async def broken() -> str:
        """Fails."""
        raise ValueError("out of order")

    return server


@asynccontextmanager
async def serving(port: int = 0, **options: Any) -> AsyncIterator[MCPServer]:
    listener = socket.create_server(("127.0.0.1", port))
    app = shop().streamable_http_app(**options)
    config = uvicorn.Config(app, log_level="error", lifespan="on", ws="none")
    server = uvicorn.Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        yield MCPServer(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", allow_hosts=["127.0.0.1"])
    finally:
        server.should_exit = True
        await running


@pytest.mark.behaviour("TL-06")
@pytest.mark.parametrize(
    "options",
    [{}, {"json_response": True}, {"stateless_http": True}],
    ids=["events", "json", "stateless"],
)
def test_the_official_server_understands_our_client_and_we_it(options: dict[str, Any]) -> None:
    async def main() -> None:
        async with serving(**options) as server:
            added: list[Tool] = []
            tools = MCPTools([server], added.extend, lambda host, error: pytest.fail(f"{host}: {error}"))
            await tools.list_all()
            assert [one.name for one in added] == ["book", "stock", "broken"]
            book = added[0]
            assert book.description == "Book a table."
            assert book.parameters["required"] == ["day"]
            assert book.parameters["properties"]["people"]["type"] == "integer"
            assert await book(day="friday", people=4) == "booked for 4 on friday"
            assert '"bells": 4' in await added[1](item="bells")
            assert "broken" in (await added[2]())["error"]
            assert "error" in await book(people="many")
            await tools.close()

    asyncio.run(main())


def test_a_session_that_the_official_server_does_not_know_is_opened_again() -> None:
    async def main() -> None:
        async with serving() as server:
            client = MCPClient(server, "1.0")
            await client.list_tools()
        async with serving(port=int(server.url.split(":")[2].partition("/")[0])):  # it was restarted
            assert await client.call_tool("book", {"day": "friday"}) == "booked for 2 on friday"
            await client.close()

    asyncio.run(main())
