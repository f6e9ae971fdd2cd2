"""The simulated vendor's server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import web

from patter.simulators.server import SimulatedServer
from patter_google.simulator.connection import SimulatedConnection
from patter_google.simulator.model import SimulatedModel
from patter_google.simulator.terms import Faults, SimulatedTurn, Terms

_SERVICE: Final = "google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent"


class Simulator(SimulatedServer):
    """A server for one test. An async context manager.

    Args:
        turns: what each session's model hears and says, one after the other; the last one stays.
        faults: how the server misbehaves; may be replaced while it runs, for the connections that are made then.
        terms: what it allows.
        voice: the number of the tone in which a text is said; by default the first is said in the lowest, and so on.
        key: what the key must be, in a header or in the query.
        host: where to listen; on a virtual loop any name.
        port: 0 for any free one.

    Attributes:
        connections: all connections whose upgrade was accepted, in order.
    """

    def __init__(  # noqa: PLR0913 - each is one property of the server
        self,
        turns: tuple[SimulatedTurn, ...] = (SimulatedTurn(),),
        *,
        faults: Faults | None = None,
        terms: Terms | None = None,
        voice: Callable[[str], int] | None = None,
        key: str = "test-key",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(key, host, port)
        self.turns = turns
        self.faults = faults or Faults()
        self.terms = terms or Terms()
        self.voice = voice
        self.connections: list[SimulatedConnection] = []
        #: the session of each handle
        self.handles: dict[str, SimulatedModel] = {}
        self._suffered = 0

    def _application(self) -> web.Application:
        application = web.Application()
        for version in ("v1", "v1beta", "v1alpha"):
            application.router.add_get(f"/ws/{_SERVICE.format(version=version)}", self._converse)
        return application

    def _abort(self) -> None:
        for connection in self.connections:
            connection.abort()

    def _next_faults(self) -> Faults:
        times = self.faults.times
        if times is not None and self._suffered >= times:
            return Faults()
        self._suffered += 1
        return self.faults

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        faults = self._next_faults()
        if faults.status is not None:
            return web.Response(status=faults.status)
        socket = web.WebSocketResponse(autoping=False, autoclose=not faults.no_close, max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = SimulatedConnection(self, socket, request.transport, faults)
        connection.headers = dict(request.headers)
        connection.query = dict(request.query)
        self.connections.append(connection)
        given = request.headers.get("x-goog-api-key", request.query.get("key"))
        if given != self.key:
            await connection.close(1007, f"API key not valid. Please pass a valid API key ({given}).")
            return socket
        await connection.run()
        if faults.no_close and request.transport is not None:
            await asyncio.Event().wait()
        return socket
