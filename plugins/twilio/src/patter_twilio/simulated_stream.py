"""The media side of a simulated call: Twilio's end of one Media Streams connection.

It follows the checklist of the protocol: connected, start, then a frame of 160 bytes every 20 ms, silence included;
counters are strings, one sequence over all messages; what it is sent is played at 8000 bytes a second.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from patter_twilio.simulated_playback import Playback, Played

FRAME = 160
FRAME_S = 0.02
SILENCE = b"\xff" * FRAME

_KEYS = {
    "media": ({"event", "streamSid", "media"}, {"payload"}),
    "mark": ({"event", "streamSid", "mark"}, {"name"}),
    "clear": ({"event", "streamSid"}, set()),
}


@dataclass(frozen=True)
class StreamFaults:
    """How a stream misbehaves.

    `mark_delay_s` delays every echo, `lose_marks_every` swallows each n-th; `malformed_every` puts a broken message
    before each n-th frame, `duplicate_every` sends each n-th frame twice; `bunch` frames arrive together, as they do
    over a bad network; `drop_after_s` breaks the connection off without a close; `omit_stop` ends it without `stop`.
    """

    mark_delay_s: float = 0.0
    lose_marks_every: int = 0
    malformed_every: int = 0
    malformed: tuple[str | bytes, ...] = ('{"event":"media"', '{"event":"surprise"}', b"\x00\x01", "[]")
    duplicate_every: int = 0
    bunch: int = 1
    drop_after_s: float | None = None
    omit_stop: bool = False


@dataclass
class StreamIds:
    """Who a stream belongs to."""

    account_sid: str
    call_sid: str
    stream_sid: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class SimulatedStream:
    """One connection; `run` lasts as long as it does."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, ids: StreamIds, faults: StreamFaults) -> None:
        self._socket = socket
        self._ids = ids
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._outgoing: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._sequence = 0
        self._chunk = 0
        self._voice = bytearray()
        self._voice_sent: list[tuple[int, asyncio.Future[None]]] = []
        self._voice_total = 0
        self._voice_out = 0
        self._marks_seen = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._closing = False
        self.started_t = self._loop.time()
        self.playback = Playback()
        self.said: list[Played] = []
        self.marks: list[tuple[float, str]] = []
        self.echoes: list[tuple[float, str]] = []
        self.clears: list[float] = []
        self.warnings: list[int] = []
        self.close_code: int | None = None
        self.closed_by_server = False

    # -- the caller

    async def say(self, audio: bytes) -> None:
        """Speak; returns when the last byte was sent, in real time."""
        if not audio or self._closing:
            return
        self._voice += audio
        self._voice_total += len(audio)
        sent: asyncio.Future[None] = self._loop.create_future()
        self._voice_sent.append((self._voice_total, sent))
        await sent

    def dtmf(self, digit: str) -> None:
        """Press a key."""
        self._emit("dtmf", {"track": "inbound_track", "digit": digit})

    # -- the connection

    async def run(self) -> None:
        """Carry the stream until the server closes it; cancelling it is how a call ends."""
        self._outgoing.put_nowait('{"event":"connected","protocol":"Call","version":"1.0.0"}')
        self._emit("start", self._start())
        self.started_t = self._loop.time()
        tasks = [asyncio.create_task(part()) for part in (self._send, self._pace, self._receive)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=self._faults.drop_after_s)
        except asyncio.CancelledError:
            await self._say_goodbye(tasks[0])
            raise
        finally:
            self._closing = True
            await self._release(tasks)

    async def drop(self) -> None:
        """Break off without a close frame, as a lost network does (1006)."""
        self._closing = True
        if self._socket._response is not None:
            self._socket._response.close()

    async def _release(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for timer in self._timers:
            timer.cancel()
        for _, sent in self._voice_sent:
            if not sent.done():
                sent.set_result(None)
        if self.closed_by_server:
            self.close_code = self._socket.close_code
        else:
            await self.drop()
        for result in results:
            if isinstance(result, Exception) and not isinstance(
                result, aiohttp.ClientError | ConnectionError
            ):
                raise result

    async def _say_goodbye(self, sender: asyncio.Task[None]) -> None:
        if not self._faults.omit_stop:
            self._emit("stop", {"accountSid": self._ids.account_sid, "callSid": self._ids.call_sid})
        self._outgoing.put_nowait(None)
        await asyncio.wait({sender}, timeout=1.0)
        if not self._faults.omit_stop:
            try:
                async with asyncio.timeout(1.0):
                    await self._socket.close()
            except TimeoutError:
                return

    def _start(self) -> dict[str, Any]:
        return {
            "accountSid": self._ids.account_sid,
            "streamSid": self._ids.stream_sid,
            "callSid": self._ids.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": dict(self._ids.parameters),
        }

    def _emit(self, event: str, body: Mapping[str, Any]) -> None:
        self._sequence += 1
        message = {
            "event": event,
            "sequenceNumber": str(self._sequence),
            "streamSid": self._ids.stream_sid,
            event: body,
        }
        self._outgoing.put_nowait(json.dumps(message, separators=(",", ":")))

    async def _send(self) -> None:
        while (message := await self._outgoing.get()) is not None:
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            else:
                await self._socket.send_str(message)

    async def _pace(self) -> None:
        bunch = max(1, self._faults.bunch)
        while True:
            due_t = self.started_t + (self._chunk + bunch) * FRAME_S
            await asyncio.sleep(max(0.0, due_t - self._loop.time()))
            for _ in range(bunch):
                self._frame()

    def _frame(self) -> None:
        voice = bytes(self._voice[:FRAME])
        del self._voice[:FRAME]
        if voice:
            self.said.append(Played(self.started_t + self._chunk * FRAME_S, voice))
        self._voice_out += len(voice)
        self._chunk += 1
        if self._every(self._faults.malformed_every):
            broken = self._faults.malformed
            self._outgoing.put_nowait(broken[self._chunk // self._faults.malformed_every % len(broken)])
        payload = base64.b64encode(voice.ljust(FRAME, b"\xff") if voice else SILENCE).decode("ascii")
        timestamp = str(round(self._chunk * FRAME_S * 1000))
        body = {"track": "inbound", "chunk": str(self._chunk), "timestamp": timestamp, "payload": payload}
        for _ in range(2 if self._every(self._faults.duplicate_every) else 1):
            self._emit("media", body)
        while self._voice_sent and self._voice_sent[0][0] <= self._voice_out:
            _, sent = self._voice_sent.pop(0)
            if not sent.done():
                sent.set_result(None)

    def _every(self, count: int) -> bool:
        return count > 0 and self._chunk % count == 0

    # -- what the server sends

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                self.warnings.append(31950)
        self.closed_by_server = not self._closing

    def _take(self, text: str) -> None:
        message = _checked(text, self._ids.stream_sid)
        if message is None:
            self.warnings.append(31951)
            return
        now = self._loop.time()
        if message["event"] == "media":
            self.playback.queue(message["media"]["payload"], now)
        elif message["event"] == "mark":
            name = message["mark"]["name"]
            self.marks.append((now, name))
            due_t = self.playback.mark(name, now)
            self._at(due_t, lambda: self._echo_if_due(name, due_t))
        else:
            self.clears.append(now)
            for name in self.playback.clear(now):
                self._echo(name)

    def _echo_if_due(self, name: str, due_t: float) -> None:
        if self.playback.reached(name, due_t):
            self._echo(name)

    def _echo(self, name: str) -> None:
        self._marks_seen += 1
        if self._faults.lose_marks_every and self._marks_seen % self._faults.lose_marks_every == 0:
            return
        self._at(self._loop.time() + self._faults.mark_delay_s, lambda: self._send_echo(name))

    def _send_echo(self, name: str) -> None:
        self.echoes.append((self._loop.time(), name))
        self._emit("mark", {"name": name})

    def _at(self, t: float, action: Callable[[], None]) -> None:
        if t <= self._loop.time():
            action()
            return

        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = self._loop.call_at(t, run)
        self._timers.add(timer)


def _checked(text: str, stream_sid: str) -> dict[str, Any] | None:
    """A message of the server with its payload decoded; None for one that Twilio would warn about and drop."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("streamSid") != stream_sid:
        return None
    event = message.get("event")
    if not isinstance(event, str) or event not in _KEYS:
        return None
    outer, inner = _KEYS[event]
    body = message.get(event, {})
    if set(message) != outer or not isinstance(body, dict) or set(body) != inner:
        return None
    if not all(isinstance(value, str) for value in body.values()):
        return None
    if event == "media":
        try:
            payload = binascii.a2b_base64(body["payload"], strict_mode=True)
        except ValueError:
            return None
        return {"event": event, "media": {"payload": payload}}
    return message
