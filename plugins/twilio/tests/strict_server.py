"""A server that takes nothing but what Twilio sends, and the simulator that rings it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Connect, VoiceResponse

from patter_twilio.simulator import (
    Callee,
    Faults,
    SimulatedAccount,
    SimulatedCall,
    Simulator,
)

TOKEN = "a-token"
PUBLIC = "https://voice.example.com"
VOICE = PUBLIC + "/voice"
TIMEOUT_S = 5.0


Media = Callable[[web.WebSocketResponse], Awaitable[None]]


class StrictServer:
    """Answers `/voice` with `documents`, takes streams at `/media`, and checks every signature with Twilio's code."""

    def __init__(self, media: Media | None = None) -> None:
        self.documents: list[str | int] = [stream_document()]
        self.media = media
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.received: list[dict[str, Any]] = []
        self.started = asyncio.Event()
        self.socket: web.WebSocketResponse | None = None
        self.url = ""

    async def webhook(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        signature = request.headers["X-Twilio-Signature"]
        if not RequestValidator(TOKEN).validate(PUBLIC + request.path_qs, form, signature):
            return web.Response(status=403)
        self.forms.append((request.path, form))
        if request.path != "/voice":
            return web.Response(status=204)
        document = self.documents.pop(0) if len(self.documents) > 1 else self.documents[0]
        if isinstance(document, int):
            return web.Response(status=document)
        return web.Response(text=document, content_type="text/xml")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        url = "wss://voice.example.com" + request.path_qs
        if not RequestValidator(TOKEN).validate(url, {}, request.headers["X-Twilio-Signature"]):
            return web.Response(status=403)
        assert "Sec-WebSocket-Extensions" not in request.headers
        self.socket = web.WebSocketResponse()
        await self.socket.prepare(request)
        reading = asyncio.create_task(self.read(self.socket))
        if self.media is not None:
            await self.started.wait()
            await self.media(self.socket)
        await reading
        return self.socket

    async def read(self, socket: web.WebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                try:
                    self.received.append(json.loads(message.data))
                except ValueError:
                    self.received.append({"event": "broken"})
                if isinstance(self.received[-1], dict) and self.received[-1].get("event") == "start":
                    self.started.set()

    async def send(self, socket: web.WebSocketResponse, event: str, **body: str) -> None:
        message: dict[str, Any] = {"event": event, "streamSid": self.stream_sid}
        if body:
            message[event] = body
        await socket.send_str(json.dumps(message))

    async def play(self, socket: web.WebSocketResponse, audio: bytes) -> None:
        await self.send(socket, "media", payload=base64.b64encode(audio).decode())

    @property
    def stream_sid(self) -> str:
        return str(next(m["streamSid"] for m in self.received if m.get("event") == "start"))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [
            message for message in self.received if isinstance(message, dict) and message.get("event") == name
        ]


def stream_document(url: str = "wss://voice.example.com/media", **parameters: str) -> str:
    response, connect = VoiceResponse(), Connect()
    stream = connect.stream(url=url)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    response.append(connect)
    return str(response)


@asynccontextmanager
async def simulated(
    server: StrictServer, faults: Faults | None = None, callee: Callee | None = None
) -> AsyncIterator[Simulator]:
    app = web.Application()
    app.router.add_post("/{path:.*}", server.webhook)
    app.router.add_get("/media", server.stream)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    account = SimulatedAccount(auth_token=TOKEN, public_url=PUBLIC, server_url=server.url)
    try:
        async with asyncio.timeout(TIMEOUT_S), Simulator(account, faults=faults, callee=callee) as twilio:
            yield twilio
    finally:
        await runner.cleanup()


async def inbound(twilio: Simulator, **options: Any) -> SimulatedCall:
    call = await twilio.place_call(VOICE, "+15550009876", "+15550001234", **options)
    await call.wait_started()
    return call


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)
