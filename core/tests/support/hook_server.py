"""A web server that a webhook tool calls: in the memory network, or on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HookServer:
    """What was asked, and the answers to give: in order, the last one for good."""

    def __init__(self, *answers: Answer | web.Response | str) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.types: list[str] = []
        self.connections: set[Any] = set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.times.append(asyncio.get_running_loop().time())
        self.types.append(f"{request.method} {request.headers['Content-Type']}")
        self.connections.add(request.transport)
        self.asked.append(json.loads(await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            return web.Response(text=answer)
        if isinstance(answer, web.Response):
            return answer
        return await answer(request)


@asynccontextmanager
async def serving(
    *answers: Answer | web.Response | str, host: str = "hooks.example", port: int = 80
) -> AsyncIterator[HookServer]:
    server = HookServer(*answers)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    listener = await asyncio.get_running_loop().create_server(runner.server, host, port)
    if port == 0:
        port = listener.sockets[0].getsockname()[1]
    server.url = f"http://{host}:{port}/hook?token=sesame-4711"
    try:
        yield server
    finally:
        listener.close()
        await runner.cleanup()
