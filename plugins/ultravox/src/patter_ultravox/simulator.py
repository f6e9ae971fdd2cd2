"""Ultravox on loopback, and the ways in which it fails a call.

    async with Simulator() as simulator:
        config = UltravoxConfig(api_key=simulator.key, base_url=simulator.base_url)

It checks requests as the vendor does, hears tones, speaks tones, and misbehaves on request. For tests of this plugin and of
applications; nothing in the plugin imports it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from patter.simulators.hosted import SimulatedTool, SimulatedTurn
from patter.simulators.server import SimulatedServer
from patter_ultravox.simulator_call import SimulatedCall
from patter_ultravox.simulator_checks import BadCall, check_call
from patter_ultravox.simulator_terms import Faults

__all__ = ["Faults", "SimulatedCall", "SimulatedTool", "SimulatedTurn", "Simulator"]


class Simulator(SimulatedServer):
    """A server for one test. An async context manager.

    Args:
        turns: what each call's agent hears and says, one after the other; the last one stays.
        faults: how the server misbehaves; may be replaced while it runs, for the calls that are made then.
        voice: gives each text the number of the pitch that it is spoken at; one after the other by default.
        key: what ``X-API-Key`` must be.
        host: where to listen; on a virtual loop any name.
        port: 0 for any free one.

    Attributes:
        calls: all calls that were made, in order.
        paths: method and path of every request, in order.
    """

    path = "/api"

    def __init__(
        self,
        turns: tuple[SimulatedTurn, ...] = (SimulatedTurn(),),
        *,
        faults: Faults | None = None,
        voice: Callable[[str], int] | None = None,
        key: str = "test-key",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(key, host, port)
        self.turns = turns
        self.faults = faults or Faults()
        self.voice = voice
        self.calls: list[SimulatedCall] = []
        self.paths: list[str] = []

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[self._noted])
        application.router.add_get("/api/models", self._models)
        application.router.add_post("/api/calls", self._create)
        application.router.add_get("/api/calls/{id}", self._get)
        application.router.add_delete("/api/calls/{id}", self._delete)
        application.router.add_get("/join/{id}", self._join)
        return application

    def _abort(self) -> None:
        for call in self.calls:
            call.abort()

    # -- HTTP

    @web.middleware
    async def _noted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.paths.append(f"{request.method} {request.path}")
        if request.path.startswith("/api/"):
            key = request.headers.get("X-API-Key")
            if key != self.key:
                detail = f"Invalid API key {key}." if key else "Authentication credentials were not provided."
                return web.json_response({"detail": detail}, status=403 if key else 401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"results": [{"name": "ultravox-v0.7"}], "next": None})

    async def _create(self, request: web.Request) -> web.Response:
        faults = self.faults.after(len(self.calls))
        await asyncio.sleep(faults.create_s)
        if faults.create_status is not None:
            return web.json_response({"detail": "try again"}, status=faults.create_status)
        try:
            body = await request.json()
            check_call(body)
        except BadCall as refused:
            return web.json_response({"detail": str(refused)}, status=400)
        except ValueError:
            return web.json_response({"detail": "not JSON"}, status=400)
        call = SimulatedCall(f"call-{len(self.calls) + 1}", body, self.turns, faults)
        call.voice = self.voice
        self.calls.append(call)
        if faults.answer is not None:
            return web.json_response(faults.answer, status=201)
        join_url = f"ws://{self.host}:{self._port}/join/{call.id}"
        return web.json_response({**call.described(), "joinUrl": join_url}, status=201)

    def _found(self, request: web.Request) -> SimulatedCall:
        for call in self.calls:
            if call.id == request.match_info["id"]:
                return call
        raise web.HTTPNotFound

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._found(request).described())

    async def _delete(self, request: web.Request) -> web.Response:
        self.calls.remove(self._found(request))
        return web.Response(status=204)

    # -- the socket

    async def _join(self, request: web.Request) -> web.StreamResponse:
        call = self._found(request)
        if not call.may_be_joined() or call.faults.join == "refused":
            return web.json_response({"detail": "The call cannot be joined."}, status=410)
        no_close = call.faults.no_close
        socket = web.WebSocketResponse(autoclose=not no_close, max_msg_size=1 << 20)
        call.joined()
        await socket.prepare(request)
        if call.faults.join == "closed":
            await socket.close(code=1011)
            return socket
        await call.run(socket, request.transport)
        if no_close and request.transport is not None:
            await asyncio.Event().wait()
        return socket
