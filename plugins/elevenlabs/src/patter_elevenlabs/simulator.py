"""Conversational AI on loopback, and the ways in which it fails a call.

    async with Simulator(SimulatedAgent(first_message="Hello.")) as simulator:
        config = ElevenLabsConvaiConfig(
            agent_id="agent_simulated", api_key=simulator.key, base_url=simulator.base_url
        )

It checks what it is sent as the vendor does, hears tones, speaks tones, and misbehaves on request. For tests of this
plugin and of applications; nothing in the plugin imports it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from patter.simulators.hosted import SimulatedTool, SimulatedTurn
from patter.simulators.server import SimulatedServer
from patter_elevenlabs.convai_messages import format_of
from patter_elevenlabs.simulator_conversation import SimulatedConversation
from patter_elevenlabs.simulator_terms import (
    CLASSIC_EVENTS,
    CLIENT_EVENTS,
    OVERRIDES,
    Faults,
    SimulatedAgent,
)

__all__ = [
    "CLASSIC_EVENTS",
    "CLIENT_EVENTS",
    "OVERRIDES",
    "Faults",
    "SimulatedAgent",
    "SimulatedConversation",
    "SimulatedTool",
    "SimulatedTurn",
    "Simulator",
]


class Simulator(SimulatedServer):
    """A server for one test. An async context manager.

    Args:
        agent: the one agent of the account.
        faults: how the server misbehaves; may be replaced while it runs, for the conversations that begin then.
        voice: gives each text the number of the pitch that it is spoken at; one after the other by default.
        key: what ``xi-api-key`` must be.
        host: where to listen; on a virtual loop any name.
        port: 0 for any free one.

    Attributes:
        conversations: all of them, in the order in which they were opened.
    """

    def __init__(
        self,
        agent: SimulatedAgent | None = None,
        *,
        faults: Faults | None = None,
        voice: Callable[[str], int] | None = None,
        key: str = "test-key",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(key, host, port)
        self.agent = agent or SimulatedAgent()
        for name in (self.agent.output_format, self.agent.input_format):
            if format_of({"format": name}, "format") is None:
                raise ValueError(f"the vendor has no audio format {name!r}")
        self.faults = faults or Faults()
        self.voice = voice
        self.conversations: list[SimulatedConversation] = []
        self._signatures: set[str] = set()

    def _application(self) -> web.Application:
        application = web.Application()
        application.router.add_get("/v1/convai/conversation/get-signed-url", self._sign)
        application.router.add_get("/v1/convai/conversation", self._converse)
        return application

    def _abort(self) -> None:
        for conversation in self.conversations:
            conversation.abort()

    async def _sign(self, request: web.Request) -> web.Response:
        if request.headers.get("xi-api-key") != self.key:
            return web.json_response({"detail": {"status": "invalid_api_key"}}, status=401)
        if request.query.get("agent_id") != self.agent.agent_id:
            return web.json_response({"detail": {"status": "not_found"}}, status=404)
        signature = f"cvtkn_{len(self._signatures)}"
        self._signatures.add(signature)
        url = f"ws{self.base_url.removeprefix('http')}/v1/convai/conversation"
        return web.json_response(
            {"signed_url": f"{url}?agent_id={self.agent.agent_id}&conversation_signature={signature}"}
        )

    def _allowed(self, request: web.Request) -> bool:
        if request.query.get("agent_id") != self.agent.agent_id:
            return False
        signed = request.query.get("conversation_signature") in self._signatures
        return not self.agent.private or signed or request.headers.get("xi-api-key") == self.key

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        allowed = self._allowed(request)
        if not allowed and self.faults.refusal == "status":
            return web.json_response({"detail": {"status": "needs_authorization"}}, status=403)
        socket = web.WebSocketResponse(autoclose=not self.faults.no_close, max_msg_size=1 << 20)
        await socket.prepare(request)
        if not allowed:
            await socket.close(code=1008, message=b"needs authorization")
            return socket
        number = len(self.conversations) + 1
        faults = self.faults.after(number - 1)
        conversation = SimulatedConversation(self.agent, faults, socket, request.transport, f"conv_{number}")
        conversation.voice = self.voice
        conversation.headers = dict(request.headers)
        self.conversations.append(conversation)
        await conversation.run()
        if self.faults.no_close and request.transport is not None:
            await asyncio.Event().wait()
        return socket
