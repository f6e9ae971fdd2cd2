"""A line in memory without a carrier behind it: it plays at real time, echoes marks, hangs up and "transfers"."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Final

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import CallGoneError, InputError
from patter.providers.carrier import (
    Carrier,
    CarrierHost,
    DialRequest,
    MarkReached,
    MediaEvent,
    MediaProtocol,
    StreamStarted,
    StreamStopped,
    WebhookHandler,
)
from patter.records import FREE, CarrierRecord

#: the name under which such a call is told to hooks and callbacks
TEXT: Final = "text"


class TextLine:
    """The `CarrierConnection` of one conversation, and who is at its other end."""

    def __init__(self, carrier_call_id: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbound: asyncio.Queue[str | None] = asyncio.Queue()
        self._plays_until = 0.0
        self._marks: dict[str, asyncio.TimerHandle] = {}
        self._gone = False
        self._send("start", carrier_call_id)

    # -- for the engine

    async def receive_text(self) -> str | None:
        """The next message to Patter; None, again and again, once the line is gone."""
        message = None if self._gone and self._inbound.empty() else await self._inbound.get()
        if message is None:
            self._inbound.put_nowait(None)
        return message

    async def send_text(self, text: str) -> None:
        """Take a message of Patter's."""
        message = json.loads(text)
        now = self._loop.time()
        if "play_bytes" in message:
            played_s = MULAW_8K.duration_ms(message["play_bytes"]) / 1000
            self._plays_until = max(now, self._plays_until) + played_s
        elif "mark" in message:
            name = message["mark"]
            self._marks[name] = self._loop.call_at(max(now, self._plays_until), self._echo, name)
        else:
            self._plays_until = now
            for name in tuple(self._marks):
                self._echo(name)

    def unsent_bytes(self) -> int:
        """Nothing ever waits."""
        return 0

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Patter closes the line; idempotent."""
        self._end()

    def _echo(self, name: str) -> None:
        self._marks.pop(name).cancel()
        self._send("mark", name)

    def _send(self, kind: str, value: str) -> None:
        if not self._gone:
            self._inbound.put_nowait(json.dumps({kind: value}))

    # -- for the other end

    def stop(self, reason: str) -> None:
        """The stream ends, as when somebody hangs up."""
        self._send("stop", reason)
        self._end()

    def _end(self) -> None:
        if not self._gone:
            self._gone = True
            for timer in self._marks.values():
                timer.cancel()
            self._marks.clear()
            self._inbound.put_nowait(None)


class TextProtocol(MediaProtocol):
    """The messages of a `TextLine`: audio is counted, not carried."""

    def parse(self, text: str) -> MediaEvent | None:
        """Read a message of the line's. Raises `InputError` for any other."""
        message = json.loads(text)
        match message:
            case {"start": str(call_id)}:
                return StreamStarted("text", call_id, MULAW_8K)
            case {"mark": str(name)}:
                return MarkReached(name)
            case {"stop": str(reason)}:
                return StreamStopped(reason)
        raise InputError("a message that no text line sends")

    def media(self, payload: bytes) -> str:
        """So much is to be played."""
        return json.dumps({"play_bytes": len(payload)})

    def mark(self, name: str) -> str:
        """A mark to echo."""
        return json.dumps({"mark": name})

    def clear(self) -> str:
        """Forget what was not played."""
        return json.dumps({"clear": True})


class TextCarrier(Carrier):
    """Takes the engine's orders for the one call that is on its line; reaches nobody."""

    record: Final = CarrierRecord(
        TEXT,
        "patter.talk.text_line:TextCarrier",
        marks=True,
        clear=True,
        dtmf_out=True,
        transfers=("cold",),
        prices=FREE,
    )

    def __init__(self, write: Callable[[str], None]) -> None:
        self.line: TextLine | None = None
        self._write = write

    def audio_format(self) -> AudioFormat:
        """µ-law at 8 kHz."""
        return MULAW_8K

    def media_protocol(self) -> MediaProtocol:
        """A fresh protocol."""
        return TextProtocol()

    def webhooks(self) -> Mapping[str, WebhookHandler]:
        """None: nobody calls from outside."""
        return {}

    def attach(self, host: CarrierHost) -> None:
        """There is nothing to learn."""

    async def dial(self, request: DialRequest) -> str:
        """Nobody can be dialled in writing. Raises `InputError`."""
        raise InputError("a conversation in writing reaches no telephone")

    async def hangup(self, carrier_call_id: str) -> None:
        """End the call."""
        if self.line is not None:
            self.line.stop("hung up")

    async def transfer(self, carrier_call_id: str, number: str) -> None:
        """Say to whom the caller would be handed over, which ends the call. Raises `CallGoneError`."""
        if self.line is None:
            raise CallGoneError("the conversation is over")
        self._write(f"[transferred to {number}]")
        self.line.stop("transferred")

    async def send_dtmf(self, carrier_call_id: str, digits: str, delay_ms: int) -> bool:
        """Say which keys would be pressed."""
        self._write(f"[keys pressed: {digits}]")
        return True

    async def close(self) -> None:
        """The line is the call's to close."""
        self.line = None
