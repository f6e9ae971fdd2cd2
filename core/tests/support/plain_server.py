"""A server with a plain carrier, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.environment import Environment
from patter.errors import WebhookVerificationError
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    CallStatus,
    Carrier,
    CarrierHost,
    Connect,
    DialRequest,
    MachineDetection,
    MediaProtocol,
    Refuse,
    StatusReport,
    WebhookHandler,
    WebhookRequest,
    WebhookResponse,
)
from patter.server.address import PublicAddress
from patter.server.admission import Admission
from patter.server.application import build_application
from patter.server.connection import CarrierConnection
from patter.server.desk import MediaClaim
from patter.server.listener import Listener
from patter.server.tokens import MediaTokens

SIGNED = {"X-Signature": "good"}


class PlainCarrier(Carrier):
    """A carrier whose signature is the word "good"; its voice webhook answers with the stream's URL."""

    def __init__(self) -> None:
        self.host: CarrierHost | None = None
        self.seen: list[WebhookRequest] = []

    def audio_format(self) -> AudioFormat:
        return MULAW_8K

    def media_protocol(self) -> MediaProtocol:
        raise NotImplementedError

    def webhooks(self) -> Mapping[str, WebhookHandler]:
        return {"voice": self.voice, "status": self.status}

    def attach(self, host: CarrierHost) -> None:
        self.host = host

    def verify_media_upgrade(self, request: WebhookRequest) -> None:
        self.seen.append(request)
        if request.headers.get("x-signature") != "good":
            raise WebhookVerificationError("wrong signature")

    async def voice(self, request: WebhookRequest) -> WebhookResponse:
        self.verify_media_upgrade(request)
        assert self.host is not None
        form = dict(request.form())
        if "call" in request.query:
            answer = await self.host.call_answered(request.query["call"], form["id"])
        else:
            answer = await self.host.incoming_call(CallOffer(form["id"], "+1", "+2"))
        if isinstance(answer, Refuse):
            return WebhookResponse(200, f"refused: {answer.message}")
        return WebhookResponse(200, answer.stream_url)

    async def status(self, request: WebhookRequest) -> WebhookResponse:
        self.verify_media_upgrade(request)
        assert self.host is not None
        self.host.call_status(StatusReport(dict(request.form())["id"], CallStatus.COMPLETED))
        self.host.machine_detected("X1", MachineDetection("human", "human", 1.0))
        return WebhookResponse()

    async def dial(self, request: DialRequest) -> str:
        raise NotImplementedError

    async def hangup(self, carrier_call_id: str) -> None:
        raise NotImplementedError

    async def transfer(self, carrier_call_id: str, number: str) -> None:
        raise NotImplementedError

    async def close(self) -> None: ...


Serve = Callable[[CarrierConnection], Awaitable[None]]


async def echo(connection: CarrierConnection) -> None:
    while (text := await connection.receive_text()) is not None:
        await connection.send_text(text)


class FrontDesk:
    """Admits by the real limit, mints real tokens, and runs `serve` as the call."""

    def __init__(self, address: PublicAddress, serve: Serve = echo, maximum: int = 10) -> None:
        self.address = address
        self.serve = serve
        self.admission = Admission(maximum)
        self.tokens = MediaTokens(Environment(), 60.0)
        self.events: list[Any] = []
        self.served: list[MediaClaim] = []
        self.ended = asyncio.Event()
        self.fails = False

    def accepting(self) -> bool:
        return self.admission.refusal is None

    async def offer(self, carrier: str, offer: CallOffer) -> CallAnswer:
        if self.fails:
            raise RuntimeError("a fault")
        call_id = "call_" + offer.carrier_call_id
        if self.admission.admit(call_id) is not None:
            return Refuse("We are busy.")
        return Connect(call_id, self.address.stream(carrier, self.tokens.mint(call_id, carrier)))

    async def answered(self, carrier: str, call_id: str, carrier_call_id: str) -> CallAnswer:
        if self.fails:
            raise RuntimeError("a fault")
        return Refuse(f"unknown {call_id}")

    def status(self, carrier: str, report: StatusReport) -> None:
        self.events.append((carrier, report))
        if self.fails:
            raise RuntimeError("a fault")

    def machine(self, carrier: str, carrier_call_id: str, detection: MachineDetection) -> None:
        self.events.append((carrier, carrier_call_id, detection))
        if self.fails:
            raise RuntimeError("a fault")

    def claim(self, carrier: str, token: str) -> MediaClaim | None:
        call_id = self.tokens.take(token, carrier)
        return None if call_id is None else MediaClaim(call_id, carrier)

    async def serve_media(self, claim: MediaClaim, connection: CarrierConnection) -> None:
        self.served.append(claim)
        try:
            await self.serve(connection)
        finally:
            self.admission.release(claim.call_id)
            self.ended.set()


class Running:
    """A server on loopback and a client session."""

    def __init__(
        self, carrier: PlainCarrier, desk: FrontDesk, listener: Listener, http: aiohttp.ClientSession
    ) -> None:
        self.carrier, self.desk, self.listener, self.http = carrier, desk, listener, http

    async def post(
        self, name: str = "voice", data: Any = None, headers: Mapping[str, str] = SIGNED
    ) -> tuple[int, str]:
        url = f"{self.listener.url}/webhooks/plain/{name}"
        async with self.http.post(
            url, data={"id": "1"} if data is None else data, headers=headers
        ) as response:
            return response.status, await response.text()

    async def get(self, path: str) -> int:
        async with self.http.get(self.listener.url + path) as response:
            return response.status

    async def stream_path(self, call: str = "1") -> str:
        status, url = await self.post(data={"id": call})
        assert status == 200
        return "/" + url.split("/", 3)[3]

    async def dial(self, path: str, headers: Mapping[str, str] = SIGNED) -> aiohttp.ClientWebSocketResponse:
        return await self.http.ws_connect(self.listener.url + path, headers=headers, max_msg_size=0)

    async def refused(self, path: str, headers: Mapping[str, str] = SIGNED) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await self.dial(path, headers)
        return caught.value.status


@asynccontextmanager
async def running(
    serve: Serve = echo, maximum: int = 10, public: str | None = None
) -> AsyncIterator[Running]:
    address = PublicAddress(public)
    carrier, desk = PlainCarrier(), FrontDesk(address, serve, maximum)
    app = build_application(
        {"plain": carrier}, desk, address=address, environment=Environment(), unavailable_message="Sorry."
    )
    listener = Listener(app, 0, stop_timeout_s=0.5)
    await listener.start()
    if public is None:
        address.settle(listener.url)
    async with aiohttp.ClientSession() as http:
        try:
            yield Running(carrier, desk, listener, http)
        finally:
            await listener.stop()
