"""The simulated engine's server: who may connect, and how connections end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import WSMsgType, web

from patter.environment import Environment, SystemClock
from patter.simulators.server import SimulatedServer
from patter_openai.realtime_simulator.faults import RealtimeFaults
from patter_openai.realtime_simulator.model import Model, Voice, repeat, tones_heard
from patter_openai.realtime_simulator.responses import Fate
from patter_openai.realtime_simulator.session import SimulatedSession
from patter_openai.realtime_simulator.wire import Ending

_LONGEST_MESSAGE: Final = 16 * 1024 * 1024


class RealtimeSimulator(SimulatedServer):
    """A server for one test. An async context manager.

    Args:
        model: what is answered, where a request does not quote the exact text; by default the caller's words.
        faults: how the server misbehaves; may be changed between connections.
        voice: gives each text the number whose pitch it is spoken at (`patter.simulators.tones`).
        understand: what is made of the pitches in the caller's audio.
        key: what the bearer token must be.
        speed: how many times faster than real time audio is made.
        delta_ms: how much audio is in one event, in ms; a multiple of 20.
        response_delay_s: from a request to the beginning of its response, in s.
        seed: of the delays that are drawn.
        host: where to listen; on a virtual loop any name.
        port: 0 for any free one.

    Attributes:
        sessions: the connections that were accepted, in order.
        refused: the HTTP status of those that were not.
    """

    path = "/v1"

    def __init__(  # noqa: PLR0913 - each is one property of the server
        self,
        model: Model = repeat,
        *,
        faults: RealtimeFaults | None = None,
        voice: Callable[[str], int] | None = None,
        understand: Callable[[Sequence[int]], str] = tones_heard,
        key: str = "test-key",
        speed: float = 10.0,
        delta_ms: int = 100,
        response_delay_s: float = 0.05,
        seed: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(key, host, port)
        self.model = model
        self.faults = faults or RealtimeFaults()
        self.voice = voice or Voice().begin
        self.understand = understand
        self.speed = speed
        self.delta_ms = delta_ms
        self.response_delay_s = response_delay_s
        self.sessions: list[SimulatedSession] = []
        self.refused: list[int] = []
        environment = Environment.seeded(seed, SystemClock())
        self.random = environment.random
        self.wall = environment.clock.wall
        self._fates = 0

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/realtime", self._connect)
        return application

    def _abort(self) -> None:
        for session in self.sessions:
            session.end(Ending(None))

    def next_fate(self) -> Fate:
        """How the next response of the whole server ends."""
        number, self._fates = self._fates, self._fates + 1
        faults = self.faults
        kinds: tuple[tuple[int, Fate], ...] = (
            (faults.cancels, "cancelled"),
            (faults.silent_responses, "silent"),
            (faults.failing_responses, "failing"),
            (faults.incomplete_responses, "incomplete"),
        )
        return next((fate for count, fate in kinds if number < count), "well")

    # -- connections

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        status, code = self._refusal(request)
        if status != 200:
            self.refused.append(status)
            error = {"type": "invalid_request_error", "code": code, "message": code, "param": None}
            return web.json_response({"error": error}, status=status)
        socket = web.WebSocketResponse(max_msg_size=_LONGEST_MESSAGE, compress=False, timeout=1.0)
        await socket.prepare(request)
        if "OpenAI-Beta" in request.headers:
            await self._refuse_retired_shape(socket)
            return socket
        session = SimulatedSession(self, len(self.sessions) + 1, request.query["model"])
        session.headers, session.query = dict(request.headers), dict(request.query)
        self.sessions.append(session)
        sending = asyncio.create_task(self._send(request, socket, session), name="simulated engine")
        try:
            session.begin()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    session.take(message.data)
                elif message.type is WSMsgType.BINARY:
                    session.take_binary()
        finally:
            session.close_code = socket.close_code
            session.stop()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    def _refusal(self, request: web.Request) -> tuple[int, str]:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return 401, "invalid_api_key"
        if self.faults.connections is not None and len(self.sessions) >= self.faults.connections:
            return 503, "server_error"
        if not request.query.get("model"):
            return 400, "missing_required_parameter"
        return 200, ""

    async def _refuse_retired_shape(self, socket: web.WebSocketResponse) -> None:
        code = "beta_api_shape_disabled"
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": code,
            "param": None,
            "event_id": None,
        }
        await socket.send_str(json.dumps({"type": "error", "event_id": "event_1", "error": error}))
        await socket.close(code=4000, message=code.encode())

    async def _send(
        self, request: web.Request, socket: web.WebSocketResponse, session: SimulatedSession
    ) -> None:
        while True:
            message = await session.outgoing.get()
            if not isinstance(message, Ending):
                try:
                    await socket.send_str(json.dumps(message))
                except ConnectionError:
                    return
            elif message.code is None:
                if request.transport is not None:
                    request.transport.abort()
                return
            else:
                await socket.close(code=message.code, message=message.reason.encode())
                return
