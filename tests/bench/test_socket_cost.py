"""What a media socket costs, as ratios to the bare WebSocket of aiohttp in the same process.

A call has about 50 messages a second each way, so a microsecond here is 6 ms of a CPU second per call-minute. The
client is as cheap as can be: frames masked beforehand, answers thrown away unread.
"""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import time

import pytest
from aiohttp import WSMsgType, web

from patter.server.connection import WebSocketConnection

pytestmark = pytest.mark.bench

MESSAGES = 2000
ROUNDS = 7
HEAD = (
    '{"event":"media","sequenceNumber":"123","streamSid":"MZ0a0a","media":{"track":"inbound","chunk":"122",'
)
MESSAGE = HEAD + '"timestamp":"2440","payload":"' + base64.b64encode(os.urandom(160)).decode() + '"}}'
UPGRADE = (
    b"GET /%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def masked_frame(text):
    data = text.encode()
    # a mask of zeros leaves the payload as it is
    return struct.pack("!BBH4x", 0x81, 0x80 | 126, len(data)) + data


class Bare:
    """aiohttp's socket without anything of ours."""

    async def open(self, request):
        self.socket = web.WebSocketResponse(compress=False)
        await self.socket.prepare(request)
        return self.socket

    async def receive(self):
        while (message := await self.socket.receive()).type is not WSMsgType.TEXT:
            pass
        return message.data

    async def send(self, text):
        await self.socket.send_str(text)


class Ours:
    """The connection that calls use."""

    async def open(self, request):
        connection = WebSocketConnection("bench")
        response = await connection.open(request)
        self.receive, self.send = connection.receive_text, connection.send_text
        return response


async def carried(kind):
    """CPU seconds per message received and per message sent, of one connection."""
    costs = []

    async def media(request):
        connection = kind()
        response = await connection.open(request)
        await connection.receive()
        began = time.process_time()
        for _ in range(MESSAGES):
            assert await connection.receive() == MESSAGE
        received = time.process_time()
        for count in range(MESSAGES):
            await connection.send(MESSAGE)
            if count % 50 == 49:
                await asyncio.sleep(0)
        costs.extend(((received - began) / MESSAGES, (time.process_time() - received) / MESSAGES))
        return response

    app = web.Application()
    app.router.add_get("/media", media)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection("127.0.0.1", runner.addresses[0][1])
    writer.write(UPGRADE % b"media" + masked_frame("go") + masked_frame(MESSAGE) * MESSAGES)
    while not costs:
        await reader.read(1 << 20)
    writer.close()
    await runner.cleanup()
    return costs


def test_the_connection_adds_little_to_the_bare_socket():
    rounds = [[asyncio.run(carried(kind)) for kind in (Bare, Ours)] for _ in range(ROUNDS)]
    bare, ours = ([min(result[which][way] for result in rounds) for way in (0, 1)] for which in (0, 1))

    receiving, sending = ours[0] / bare[0], ours[1] / bare[1]
    print(
        f"\nreceive {ours[0] * 1e6:.1f} us ({receiving:.2f} x bare), send {ours[1] * 1e6:.1f} us ({sending:.2f} x bare)"
    )
    assert receiving < 1.4
    assert sending < 1.4
