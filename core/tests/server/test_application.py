"""The routes, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.environment import Environment
from patter.errors import CallRefusedError, ConfigError, InputError, ProviderError, WebhookVerificationError
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
from patter.server import application as application_module
from patter.server.address import PublicAddress
from patter.server.admission import Admission
from patter.server.application import LONGEST_BODY, build_application
from patter.server.connection import CarrierConnection
from patter.server.desk import MediaClaim
from patter.server.listener import Listener, bind_host
from patter.server.tokens import MediaTokens

SIGNED = {"X-Signature": "good"}
FOREIGN_HEADERS = {"Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"}


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


def test_a_webhook_leads_to_a_stream_that_carries_messages() -> None:
    async def scenario() -> None:
        async with running() as server:
            socket = await server.dial(await server.stream_path())
            for text in ("hello", "é" * 1000, ""):
                await socket.send_str(text)
                assert await socket.receive_str() == text
            await socket.close()
            await asyncio.wait_for(server.desk.ended.wait(), 2)
            assert server.desk.served == [MediaClaim("call_1", "plain")]

    asyncio.run(scenario())


def test_requests_are_seen_behind_the_public_address_whatever_their_headers_say() -> None:
    async def scenario() -> None:
        async with running(public="https://voice.example.com/eu") as server:
            await server.post("voice?call=a%20b&x=%E9", headers={**SIGNED, **FOREIGN_HEADERS})
            assert await server.refused("/ws/plain/t0%2F", {**SIGNED, **FOREIGN_HEADERS}) == 403
            webhook, upgrade = server.carrier.seen
            assert webhook.url == "https://voice.example.com/eu/webhooks/plain/voice?call=a%20b&x=%E9"
            assert webhook.query["call"] == "a b"
            assert webhook.body == b"id=1"
            assert webhook.headers["x-signature"] == "good"
            assert upgrade.url == "wss://voice.example.com/eu/ws/plain/t0%2F"
            assert upgrade.method == "GET"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WebhookVerificationError("no"), 403),
        (InputError("no such field"), 400),
        (ConfigError("no secret"), 503),
        (CallRefusedError("full"), 503),
        (ProviderError("down"), 503),
        (RuntimeError("a fault"), 503),
        (TimeoutError(), 503),
    ],
)
def test_each_failure_of_a_webhook_has_its_answer(
    error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: PlainCarrier, request: WebhookRequest) -> WebhookResponse:
        raise error

    monkeypatch.setattr(PlainCarrier, "voice", failing)

    async def scenario() -> None:
        async with running() as server:
            answered, text = await server.post()
            assert answered == status
            assert str(error) not in text or not str(error)

    asyncio.run(scenario())


def test_a_webhook_that_hangs_is_answered_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(self: PlainCarrier, request: WebhookRequest) -> WebhookResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(PlainCarrier, "voice", hanging)
    monkeypatch.setattr(application_module, "WEBHOOK_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        async with running() as server:
            assert (await server.post())[0] == 503

    asyncio.run(scenario())


def test_bodies_are_limited_with_and_without_a_stated_length() -> None:
    async def chunks(count: int) -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * 1024

    async def scenario() -> None:
        async with running() as server:
            assert (await server.post(data=b"id=1&x=" + b"x" * (LONGEST_BODY - 7)))[0] == 200
            assert (await server.post(data=b"x" * (LONGEST_BODY + 1)))[0] == 413
            assert (await server.post(data=chunks(257)))[0] == 413
            assert server.carrier.seen[-1].body[:5] == b"id=1&"

    asyncio.run(scenario())


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_module, "BODY_TIMEOUT_S", 0.05)

    async def scenario() -> None:
        async with running() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.listener.port)
            writer.write(b"POST /webhooks/plain/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
            assert b" 408 " in await asyncio.wait_for(reader.readline(), 2)
            writer.close()

    asyncio.run(scenario())


def test_a_fault_of_the_desk_is_heard_as_the_unavailable_message() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.desk.fails = True
            assert await server.post() == (200, "refused: Sorry.")
            assert await server.post("voice?call=call_9") == (200, "refused: Sorry.")
            assert (await server.post("status"))[0] == 204
            server.desk.fails = False
            assert await server.post("voice?call=call_9") == (200, "refused: unknown call_9")
            assert await server.get("/health") == 200

    asyncio.run(scenario())


def test_reports_reach_the_desk_under_the_carriers_name() -> None:
    async def scenario() -> None:
        async with running() as server:
            assert await server.post("status") == (204, "")
            assert server.desk.events == [
                ("plain", StatusReport("1", CallStatus.COMPLETED)),
                ("plain", "X1", MachineDetection("human", "human", 1.0)),
            ]

    asyncio.run(scenario())


@pytest.mark.behaviour("SC-04")
def test_media_is_refused_before_the_upgrade_without_a_valid_token() -> None:
    async def scenario() -> None:
        async with running() as server:
            path = await server.stream_path()
            token = path.rsplit("/", 1)[1]
            foreign = server.desk.tokens.mint("call_2", "another")

            for refused in (
                "/ws/plain",
                "/ws/plain/wrong",
                f"/ws/plain/{foreign}",
                f"/ws/plain/?token={token}",
            ):
                assert await server.refused(refused) in (403, 404)
            assert await server.refused(path, {"X-Signature": "bad"}) == 403
            assert server.desk.served == []

            # none of that used the token up; the call itself does, and then it is gone
            socket = await server.dial(path)
            assert await server.refused(path) == 403
            await socket.close()
            assert len(server.desk.served) == 1

    asyncio.run(scenario())


def test_a_token_is_minted_when_the_document_is_asked_for_and_expires_with_its_ttl() -> None:
    async def scenario() -> None:
        async with running() as server:
            server.desk.tokens = MediaTokens(Environment(), 0.0)
            assert await server.refused(await server.stream_path()) == 403
            assert server.desk.served == []

    asyncio.run(scenario())


def test_a_request_that_is_no_upgrade_does_not_use_the_token_up() -> None:
    async def scenario() -> None:
        async with running() as server:
            path = await server.stream_path()
            assert await server.get(path) == 426
            await (await server.dial(path)).close()

    asyncio.run(scenario())


@pytest.mark.behaviour("SC-05")
def test_calls_over_the_limit_are_refused_by_count_alone_and_running_ones_go_on() -> None:
    async def scenario() -> None:
        async with running(maximum=2) as server:
            sockets = [await server.dial(await server.stream_path(call)) for call in ("1", "2")]
            for address in ("1.2.3.4", "5.6.7.8"):
                forwarded = {**SIGNED, "X-Forwarded-For": address, "Forwarded": f"for={address}"}
                assert await server.post(data={"id": address}, headers=forwarded) == (
                    200,
                    "refused: We are busy.",
                )
            assert await server.get("/ready") == 503

            for socket in sockets:
                await socket.send_str("still here")
                assert await socket.receive_str() == "still here"
            await sockets[0].close()
            await asyncio.wait_for(server.desk.ended.wait(), 2)
            assert await server.get("/ready") == 200
            assert (await server.post(data={"id": "3"}))[1].startswith("ws://")

    asyncio.run(scenario())


@pytest.mark.behaviour("LC-10")
def test_health_and_readiness() -> None:
    async def scenario() -> None:
        async with running(maximum=1) as server:
            server.desk.admission.drain()  # as a phone is before it is ready, and again while it drains
            assert (await server.get("/ready"), await server.get("/health")) == (503, 200)
            server.desk.admission.reopen()
            assert (await server.get("/ready"), await server.get("/health")) == (200, 200)
            await server.stream_path()
            assert (await server.get("/ready"), await server.get("/health")) == (503, 200)

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-05")
def test_oversized_and_binary_messages(caplog: pytest.LogCaptureFixture) -> None:
    mebibyte = 1024 * 1024

    async def scenario() -> None:
        async with running() as server:
            socket = await server.dial(await server.stream_path("1"))
            other = await server.dial(await server.stream_path("2"))

            await socket.send_str("x" * mebibyte)
            assert len(await socket.receive_str()) == mebibyte
            for dropped in ("x" * (mebibyte + 1), "é" * (mebibyte // 2 + 1), "x" * (4 * mebibyte)):
                caplog.clear()
                await socket.send_str(dropped)
                await socket.send_str("next")
                assert await socket.receive_str() == "next"
                assert [record.name for record in caplog.records] == ["patter.server.connection"]
            caplog.clear()
            await socket.send_bytes(b"\x00\x01")
            await socket.send_str("next")
            assert await socket.receive_str() == "next"
            assert len(caplog.records) == 1

            await socket.send_str("x" * (4 * mebibyte + 1))
            assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.ERROR)
            assert socket.close_code == 1009
            await asyncio.wait_for(server.desk.ended.wait(), 2)

            await other.send_str("untouched")
            assert await other.receive_str() == "untouched"
            await other.close()

    with caplog.at_level(logging.INFO, "patter"):
        asyncio.run(scenario())


def test_a_socket_that_breaks_off_ends_the_call() -> None:
    async def scenario() -> None:
        async with running() as server:
            socket = await server.dial(await server.stream_path())
            await socket.send_str("hello")
            await socket.receive_str()
            transport = socket._response.connection.transport  # type: ignore[union-attr]
            transport.abort()
            await asyncio.wait_for(server.desk.ended.wait(), 2)

    asyncio.run(scenario())


def test_after_the_end_receiving_sending_and_closing_are_harmless() -> None:
    done = asyncio.Event()

    async def call(connection: CarrierConnection) -> None:
        assert await connection.receive_text() is None
        for _ in range(10):
            assert await connection.receive_text() is None
            await connection.send_text("nobody hears this")
            await connection.close()
        assert connection.unsent_bytes() == 0
        done.set()

    async def scenario() -> None:
        async with running(call) as server:
            await (await server.dial(await server.stream_path())).close()
            await asyncio.wait_for(done.wait(), 2)

    asyncio.run(scenario())


def test_a_call_that_fails_closes_its_own_connection_only() -> None:
    async def call(connection: CarrierConnection) -> None:
        if await connection.receive_text() == "fail":
            raise RuntimeError("a fault")
        await echo(connection)

    async def scenario() -> None:
        async with running(call) as server:
            failing = await server.dial(await server.stream_path("1"))
            other = await server.dial(await server.stream_path("2"))
            await other.send_str("go on")
            await failing.send_str("fail")
            assert (await failing.receive()).type is aiohttp.WSMsgType.CLOSE
            assert failing.close_code == 1011
            await other.send_str("untouched")
            assert await other.receive_str() == "untouched"
            await other.close()

    asyncio.run(scenario())


def test_when_the_call_is_over_the_connection_is_closed() -> None:
    async def call(connection: CarrierConnection) -> None:
        await connection.send_text("goodbye")

    async def scenario() -> None:
        async with running(call) as server:
            socket = await server.dial(await server.stream_path())
            assert await socket.receive_str() == "goodbye"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1000

    asyncio.run(scenario())


def test_a_carrier_that_takes_no_data_is_measured_and_can_be_closed_in_time() -> None:
    measured: list[int] = []

    async def call(connection: CarrierConnection) -> None:
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    await connection.send_text("x" * 60_000)
        measured.append(connection.unsent_bytes())
        before = loop.time()
        await connection.close(1001)
        assert loop.time() - before < 1.5

    async def scenario() -> None:
        async with running(call) as server:
            path = await server.stream_path()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.listener.port, limit=1024)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Signature: good\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
            )
            await asyncio.wait_for(server.desk.ended.wait(), 5)
            writer.close()
            assert b"101" in await reader.readline()

    asyncio.run(scenario())
    assert measured[0] > 64 * 1024


@pytest.mark.parametrize("hangs", [False, True])
def test_stopping_closes_media_with_1001_and_does_not_wait_for_a_call_that_hangs(hangs: bool) -> None:
    cancelled = asyncio.Event()

    async def call(connection: CarrierConnection) -> None:
        await echo(connection)
        if hangs:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

    async def scenario() -> None:
        async with running(call) as server:
            socket = await server.dial(await server.stream_path())
            await socket.send_str("up")
            await socket.receive_str()
            receiving = asyncio.create_task(socket.receive())
            url = server.listener.url + "/health"
            before = asyncio.get_running_loop().time()

            await server.listener.stop()

            assert asyncio.get_running_loop().time() - before < 3
            assert (await receiving).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1001
            assert cancelled.is_set() is hangs
            with pytest.raises(aiohttp.ClientConnectorError):
                await server.http.get(url)
            await server.listener.stop()

    asyncio.run(scenario())


def test_an_address_that_is_not_known_is_unavailable() -> None:
    async def scenario() -> None:
        carrier, address = PlainCarrier(), PublicAddress()
        app = build_application(
            {"plain": carrier}, FrontDesk(address), address=address, environment=Environment()
        )
        listener = Listener(app, 0)
        await listener.start()
        async with aiohttp.ClientSession() as http:
            assert await Running(carrier, FrontDesk(address), listener, http).post() == (503, "unavailable\n")
        await listener.stop()

    asyncio.run(scenario())


def test_unknown_routes_and_methods() -> None:
    async def scenario() -> None:
        async with running() as server:
            assert await server.get("/") == 404
            assert await server.get("/webhooks/plain/voice") == 405
            assert (await server.post("unknown"))[0] == 404

    asyncio.run(scenario())


def test_logs_have_one_line_per_refusal_and_no_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with running() as server:
            with caplog.at_level(logging.INFO):
                for path in ("/ws/plain/a%0Ab%1B%5B31m", "/ws/plain/wrong"):
                    await server.refused(path)
                await server.post(headers={"X-Signature": "bad"})
                await server.get("/health")
                await server.stream_path()
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 3
        assert all(line.isprintable() for line in lines)
        assert "wrong" not in json.dumps(lines).replace("wrong signature", "")

    asyncio.run(scenario())


def test_the_server_listens_on_loopback_unless_told_otherwise() -> None:
    assert bind_host({}) == "127.0.0.1"
    assert bind_host({"PATTER_BIND_HOST": " "}) == "127.0.0.1"
    assert bind_host({"PATTER_BIND_HOST": "0.0.0.0"}) == "0.0.0.0"


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    async def scenario() -> None:
        async with running() as server:
            address = PublicAddress()
            app = build_application({}, FrontDesk(address), address=address, environment=Environment())
            second = Listener(app, server.listener.port)
            with pytest.raises(OSError, match="address already in use"):
                await second.start()
            with pytest.raises(RuntimeError, match="not listening"):
                _ = second.port

    asyncio.run(scenario())
