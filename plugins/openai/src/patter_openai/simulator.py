"""OpenAI's chat completions on loopback, and the ways in which servers depart from them.

    async with Simulator(faults=Faults(framing="crlf")) as simulator:
        config = OpenAIChatConfig(base_url=simulator.base_url, api_key="k")

It checks requests as the vendor does, streams a fixed reply, and misbehaves on request. For tests of this plugin and of
applications; nothing in the plugin imports it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from patter.simulators.server import SimulatedServer
from patter_openai.simulator_checks import PROFILES, BadRequest, Profile, check_request
from patter_openai.simulator_stream import (
    Faults,
    SimulatedCall,
    SimulatedReply,
    error_event,
    framed,
    parts,
    reply_chunks,
)

__all__ = ["Faults", "SimulatedCall", "SimulatedReply", "SimulatedRequest", "Simulator"]


@dataclass(slots=True)
class SimulatedRequest:
    """A request as the simulator saw it; `chunks_sent` says how much was produced before it ended as `outcome`."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)
    chunks_sent: int = 0
    outcome: Literal["open", "complete", "refused", "failed", "disconnected"] = "open"
    ended_at: float | None = None


class Simulator(SimulatedServer):
    """A server for one test. An async context manager.

    Args:
        reply: what the model answers; a function is given the request's body. Its tool calls are made when the
            request offers tools and does not end in a tool's result.
        faults: how the server departs from the protocol.
        profile: whose rules it keeps: "openai", "groq", "cerebras", "ollama" or "vllm".
        key: what the bearer token must be.
        host: where to listen; on a virtual loop any name.
        port: 0 for any free one.
    """

    path = "/v1"

    def __init__(
        self,
        reply: SimulatedReply | Callable[[dict[str, Any]], SimulatedReply] | None = None,
        *,
        faults: Faults | None = None,
        profile: str = "openai",
        key: str = "test-key",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(key, host, port)
        self.reply = reply or SimulatedReply()
        self.faults = faults or Faults()
        self.profile: Profile = PROFILES[profile]
        self.requests: list[SimulatedRequest] = []
        self.connections: set[int] = set()
        self._failures = list(self.faults.fail_first)

    @property
    def completions(self) -> list[SimulatedRequest]:
        """The requests for completions, in order."""
        return [request for request in self.requests if request.path == "/v1/chat/completions"]

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_get("/v1/models", self._models)
        application.router.add_post("/v1/chat/completions", self._complete)
        return application

    # -- requests

    def _seen(self, request: web.Request, body: dict[str, Any] | None = None) -> SimulatedRequest:
        seen = SimulatedRequest(request.path, dict(request.headers), body or {})
        self.requests.append(seen)
        self.connections.add(id(request.transport))
        return seen

    def _unauthorised(self, request: web.Request) -> bool:
        return self.profile.needs_key and request.headers.get("Authorization") != f"Bearer {self.key}"

    async def _models(self, request: web.Request) -> web.Response:
        self._seen(request)
        if self._unauthorised(request):
            return _failure(401, "Incorrect API key provided", "invalid_api_key")
        return web.json_response(
            {"object": "list", "data": [{"id": "m", "object": "model", "created": 1, "owned_by": "x"}]}
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
        except ValueError:
            body = None
        seen = self._seen(request, body if isinstance(body, dict) else None)
        refusal = self._refusal(request, body)
        if refusal is not None:
            seen.outcome = "refused"
            return refusal
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        try:
            await asyncio.sleep(self.faults.headers_s)
            await response.prepare(request)
            await self._stream(request, response, body, seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.outcome = "disconnected"
            raise
        finally:
            seen.ended_at = asyncio.get_running_loop().time()
        return response

    def _refusal(self, request: web.Request, body: Any) -> web.Response | None:
        if self._unauthorised(request):
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return _failure(401, f"Incorrect API key provided: {given}", "invalid_api_key")
        if self.faults.quota:
            return _failure(429, "You exceeded your current quota", "insufficient_quota")
        if self._failures:
            status = self._failures.pop(0)
            headers = {"Retry-After": self.faults.retry_after} if self.faults.retry_after else {}
            return _failure(
                status, "try again", "rate_limit_exceeded" if status == 429 else "server_error", headers
            )
        try:
            check_request(body, self.profile)
        except BadRequest as error:
            return _failure(400, str(error), "invalid_request_error")
        return None

    # -- answers

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, body: dict[str, Any], seen: SimulatedRequest
    ) -> None:
        faults = self.faults
        reply = self.reply(body) if callable(self.reply) else self.reply
        chunks = reply_chunks(reply, body, faults)
        await self._pause(response, faults.first_token_s)
        packet = b""
        for number, chunk in enumerate(chunks):
            if number == faults.error_after:
                await _write(response, error_event(faults), faults)
                seen.outcome = "failed"
                return
            if number == faults.drop_after:
                seen.outcome = "failed"
                if request.transport is not None:
                    request.transport.close()
                return
            if number:
                await asyncio.sleep(faults.stall_s if number == faults.stall_after else faults.token_s)
            packet += framed(json.dumps(chunk), faults)
            if faults.framing == "merged" and number % 2 == 0 and number + 1 < len(chunks):
                continue
            await _write(response, packet, faults)
            packet = b""
            seen.chunks_sent += 1
        if not faults.no_done:
            await _write(response, framed("[DONE]", faults), faults)
        seen.outcome = "complete"

    async def _pause(self, response: web.StreamResponse, seconds: float) -> None:
        """Wait for the first token, with comments in between where those are asked for."""
        if self.faults.framing != "comments":
            await asyncio.sleep(seconds)
            return
        await response.write(b": ping\n\n")
        for _ in range(3):
            await asyncio.sleep(seconds / 3)
            await response.write(b": ping\n\n")


async def _write(response: web.StreamResponse, packet: bytes, faults: Faults) -> None:
    for part in parts(packet, faults):
        await response.write(part)
        if faults.framing == "split":
            await asyncio.sleep(0)


def _failure(status: int, message: str, code: str, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": message, "type": code, "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)
