"""Broken HTTP against a phone that serves: paths, tokens, upgrades, webhooks. In virtual time."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest
from fuzz_inputs import Inputs

ACCOUNT = "AC" + "0" * 32
REQUESTS = 1800
#: longer than the server waits for a body, in s
SILENCE_S = 15.0
BODY = f"CallSid=CA{'1' * 32}&AccountSid={ACCOUNT}&From=%2B15550009876&To=%2B15550001234&CallStatus=ringing"
UPGRADE = (
    "Host: voice.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
SEEDS = (
    f"GET /ws/twilio/{'ab' * 32} HTTP/1.1\r\n{UPGRADE}\r\n".encode(),
    f"GET /ws/twilio HTTP/1.1\r\n{UPGRADE}\r\n".encode(),
    *(
        f"POST /webhooks/twilio/{name} HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: a\r\nContent-Type: "
        f"application/x-www-form-urlencoded\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}".encode()
        for name in ("voice?call=call_1", "voice", "status", "amd")
    ),
    b"GET /ready?a=%zz&b=[ HTTP/1.1\r\nHost: [::1\r\n\r\n",
)
#: an unhandled exception once, before anything was checked
NO_ASCII_KEY = SEEDS[0].replace(b"dGhl", b"\xed\xbf\xbf")
#: no 500, and no success but for what needs no secret
ANSWERS = {200, 204, 400, 403, 404, 405, 408, 411, 413, 414, 426, 431, 501, 505}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "the token of this test")


async def _ask(port: int, raw: bytes) -> list[int]:
    """The statuses that a request, or what became several, is answered with."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(raw)
        with suppress(TimeoutError):  # the server waits for more
            async with asyncio.timeout(SILENCE_S):
                while piece := await reader.read(64 * 1024):
                    answer += piece
    finally:
        writer.close()
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split(b" ")[1]) for line in lines]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("served")
@pytest.mark.patter_plugins("twilio")
@pytest.mark.patter_phone(carrier="twilio")
async def test_the_server_stands_broken_requests(
    phone: Any, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    caplog.set_level(logging.ERROR)
    await phone.start(None, port=0)
    port = int(phone.url.rpartition(":")[2])
    statuses: set[int] = set()
    for number in range(REQUESTS):
        raw = Inputs(f"{seed}/http/{number}").octets(SEEDS)[: 64 * 1024] if number else NO_ASCII_KEY
        async with asyncio.timeout(60):
            found = await _ask(port, raw)
        assert set(found) <= ANSWERS, (number, raw[:300], found)
        statuses |= set(found)
    assert statuses >= {400, 403, 404}
    assert await _ask(port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == [200]
    await asyncio.sleep(SILENCE_S)
    assert phone.calls.active() == ()
    assert len(phone.switchboard._tokens) == 0
    # aiohttp itself logs each request that is no HTTP; what it cannot handle is another line.
    ours = [one for one in caplog.records if one.name.startswith("patter") or "nhandled" in one.getMessage()]
    assert [one.getMessage() for one in ours] == []
