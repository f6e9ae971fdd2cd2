"""An MCP server of our own, for what a well-behaved one does not do. test_mcp_oracle.py meets the official one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

EMPTY = {"type": "object", "properties": {}}


def listed(name: Any, schema: Any = EMPTY, description: Any = "Does it.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": schema}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], **more}


class ShopServer:
    """Lists `tools`, a page for each list; answers calls with `outcomes`; forgets a session when told to.

    With `streams`, an answer is a stream of events, after a notification, a ping and a request that no client offers.
    """

    def __init__(self, *pages: list[dict[str, Any]], streams: bool = False, delay_s: float = 0.0) -> None:
        self.pages = list(pages)
        self.streams = streams
        self.delay_s = delay_s
        self.outcomes: dict[str, Any] = {}
        self.version = "2025-11-25"
        self.sessions: list[str] = []
        self.open: set[str] = set()
        self.methods: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.calls: list[dict[str, Any]] = []
        self.answered: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.times.append(asyncio.get_running_loop().time())
        session = request.headers.get("Mcp-Session-Id", "")
        if request.method == "DELETE":
            self.open.discard(session)
            return web.Response()
        message = json.loads(await request.read())
        if "method" not in message:
            self.answered.append(message)
            return web.Response(status=202)
        self.methods.append(message["method"])
        await asyncio.sleep(self.delay_s)
        if message["method"] != "initialize" and session not in self.open:
            return web.json_response({"jsonrpc": "2.0", "id": None, "error": {"code": -32600}}, status=404)
        if "id" not in message:
            return web.Response(status=202)
        result = self.result(message)
        headers = {}
        if message["method"] == "initialize":
            self.sessions.append(f"session-{len(self.sessions)}")
            self.open.add(self.sessions[-1])
            headers["Mcp-Session-Id"] = self.sessions[-1]
        body = {"jsonrpc": "2.0", "id": message["id"], **result}
        if isinstance(result.get("raw"), bytes):
            return web.Response(body=result["raw"], content_type="application/json")
        return (
            await self.stream(request, body, headers)
            if self.streams
            else web.json_response(body, headers=headers)
        )

    def result(self, message: dict[str, Any]) -> dict[str, Any]:
        params = message.get("params") or {}
        if message["method"] == "initialize":
            info = {"name": "shop", "version": "1"}
            return {
                "result": {"protocolVersion": self.version, "capabilities": {"tools": {}}, "serverInfo": info}
            }
        if message["method"] == "tools/list":
            page = int(params.get("cursor", 0))
            more = {"nextCursor": str(page + 1)} if page + 1 < len(self.pages) else {}
            return {"result": {"tools": self.pages[page], **more}}
        self.calls.append(params)
        outcome = self.outcomes.get(params["name"], said("done"))
        return outcome if "error" in outcome or "raw" in outcome else {"result": outcome}

    async def stream(
        self, request: web.Request, body: dict[str, Any], headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
        await response.prepare(request)
        for message in (
            {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}},
            {"jsonrpc": "2.0", "id": "p1", "method": "ping"},
            {"jsonrpc": "2.0", "id": "s1", "method": "sampling/createMessage", "params": {}},
            body,
        ):
            for byte in f": a comment\r\nevent: message\r\ndata: {json.dumps(message)}\r\n\r\n".encode():
                await response.write(bytes([byte]))
        return response


@asynccontextmanager
async def mcp_serving(server: ShopServer, host: str = "mcp.example") -> AsyncIterator[ShopServer]:
    """Serve in the memory network."""
    app = web.Application()
    app.router.add_route("*", "/mcp", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    listener = await asyncio.get_running_loop().create_server(runner.server, host, 443)
    server.url = f"https://{host}/mcp"
    try:
        yield server
    finally:
        listener.close()
        await runner.cleanup()
