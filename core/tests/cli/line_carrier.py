"""A carrier for the tests of commands: its calls, also those it is asked to place, come over loopback."""

from __future__ import annotations

import asyncio
import base64
import json

import aiohttp

from patter import CarrierRecord, hookimpl
from patter.audio.formats import MULAW_8K
from patter.errors import InputError
from patter.providers.carrier import (
    AudioReceived,
    CallOffer,
    CallStatus,
    Carrier,
    MediaProtocol,
    Refuse,
    StatusReport,
    StreamStarted,
    StreamStopped,
    WebhookResponse,
)


class LineProtocol(MediaProtocol):
    """{"start": id}, {"audio": base64}, {"stop": true}."""

    def parse(self, text):
        message = json.loads(text)
        if "start" in message:
            return StreamStarted("stream", message["start"], MULAW_8K)
        if "audio" in message:
            return AudioReceived(base64.b64decode(message["audio"]))
        if "stop" in message:
            return StreamStopped()
        raise InputError("unknown")

    def media(self, payload):
        return json.dumps({"audio": base64.b64encode(payload).decode()})

    def mark(self, name):
        raise AssertionError("this carrier has no marks")

    def clear(self):
        raise AssertionError("this carrier has no clear")


class LineCarrier(Carrier):
    """A number that ends in 1 answers, listens for a moment and hangs up; every other one is busy."""

    def __init__(self):
        self.host = None
        self.tasks = set()

    def audio_format(self):
        return MULAW_8K

    def media_protocol(self):
        return LineProtocol()

    def webhooks(self):
        return {"status": self.voice, "voice": self.voice}

    def attach(self, host):
        self.host = host

    async def voice(self, request):
        id_ = request.body.decode()
        if "call" in request.query:
            answer = await self.host.call_answered(request.query["call"], id_)
        else:
            answer = await self.host.incoming_call(CallOffer(id_, "+15550000001", "+15550001234"))
        if isinstance(answer, Refuse):
            return WebhookResponse(200, f"refused: {answer.message}")
        return WebhookResponse(200, answer.stream_url)

    async def dial(self, request):
        life = self._life(request.call_id) if request.to.endswith("1") else self._busy()
        self.tasks.add(asyncio.ensure_future(life))
        return "OUT1"

    async def _busy(self):
        self.host.call_status(StatusReport("OUT1", CallStatus.BUSY))

    async def _life(self, call_id):
        async with aiohttp.ClientSession() as http:
            async with http.post(self.host.webhook_url("voice", call=call_id), data="OUT1") as answer:
                url = await answer.text()
            async with http.ws_connect(url) as media:
                await media.send_str(json.dumps({"start": "OUT1"}))
                await media.receive()
                await media.send_str(json.dumps({"stop": True}))

    async def hangup(self, carrier_call_id):
        pass

    async def transfer(self, carrier_call_id, number):
        pass

    async def close(self):
        await asyncio.gather(*self.tasks, return_exceptions=True)


@hookimpl
def patter_register_carrier():
    return [CarrierRecord("line", LineCarrier)]
