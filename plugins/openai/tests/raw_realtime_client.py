"""A client that sends anything: what the simulated engine makes of messages that the plugin would never send."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import asynccontextmanager

from simulated_realtime import KEY, served
from websockets.asyncio.client import connect

from patter.audio.formats import MULAW_8K, PCM16_24K
from patter.testing.memory_network import MemoryNetwork
from patter.testing.tones import tone
from patter.testing.virtual_loop import run_virtual

URL = "ws://engine.example/v1/realtime?model=gpt-realtime-2.1"
BEARER = {"Authorization": f"Bearer {KEY}"}
MULAW = {"input": {"format": {"type": "audio/pcmu"}}, "output": {"format": {"type": "audio/pcmu"}}}


class RawClient:
    def __init__(self, socket):
        self.socket = socket
        self.events = []

    async def send(self, kind, **body):
        await self.socket.send(json.dumps({"type": kind, **body}))

    async def update(self, event_id=None, **session):
        ids = {} if event_id is None else {"event_id": event_id}
        await self.send("session.update", **ids, session={"type": "realtime", **session})

    async def say(self, number, duration_ms=400, silence_ms=700, audio_format=MULAW_8K):
        audio = tone(number, duration_ms, audio_format)
        audio += audio_format.silence(audio_format.samples(audio_format.bytes_for_ms(silence_ms)))
        step = audio_format.bytes_for_ms(50)
        for start in range(0, len(audio), step):
            piece = base64.b64encode(audio[start : start + step]).decode()
            await self.send("input_audio_buffer.append", audio=piece)
            await asyncio.sleep(0.05)

    async def next(self):
        event = json.loads(await self.socket.recv())
        self.events.append(event)
        return event

    async def until(self, kind, within_s=60.0):
        """The first event of that kind from now on; all are kept in `events`."""
        async with asyncio.timeout(within_s):
            while True:
                event = await self.next()
                if event["type"] == kind:
                    return event

    async def error(self):
        return (await self.until("error"))["error"]

    async def rest(self, seconds=5.0):
        """What comes within that time."""
        before = len(self.events)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    await self.next()
        except TimeoutError:
            return self.events[before:]

    def types(self):
        return [event["type"] for event in self.events]


@asynccontextmanager
async def opened(headers=None, url=URL):
    async with connect(url, additional_headers=BEARER if headers is None else headers) as socket:
        yield RawClient(socket)


def raw(body, *arguments, judged=True, **options):
    """Run `body(client, simulator)` in virtual time, with a session already created and µ-law both ways."""

    async def main():
        async with (
            served(*arguments, host="engine.example", port=80, judges_client=judged, **options) as simulator,
            opened() as client,
        ):
            await client.update(audio=MULAW)
            await client.until("session.updated")
            await body(client, simulator)

    run_virtual(main(), network=MemoryNetwork())


def pcm_silence(ms):
    return base64.b64encode(PCM16_24K.silence(PCM16_24K.rate * ms // 1000)).decode()
