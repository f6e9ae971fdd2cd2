"""The routes, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from plain_server import SIGNED, FrontDesk, PlainCarrier, Running, running

from patter.environment import Environment
from patter.errors import CallRefusedError, ConfigError, InputError, ProviderError, WebhookVerificationError
from patter.providers.carrier import (
    CallStatus,
    MachineDetection,
    StatusReport,
    WebhookRequest,
    WebhookResponse,
)
from patter.server import application as application_module
from patter.server.address import PublicAddress
from patter.server.application import LONGEST_BODY, build_application
from patter.server.desk import MediaClaim
from patter.server.listener import Listener, bind_host

FOREIGN_HEADERS = {"Host": "evil.example", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil.example"}


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
