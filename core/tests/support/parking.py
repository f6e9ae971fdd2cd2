"""Vendors whose connections can be opened beforehand, for tests of what happens while the phone rings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any

from patter import Agent, hookimpl
from patter.audio.formats import AudioFormat
from patter.errors import ProviderDisconnected
from patter.providers.context import ProviderContext
from patter.providers.llm import LLMChunk
from patter.records import LLMRecord, STTRecord, TTSRecord
from patter.testing.fake_llm import FakeLLM
from patter.testing.fake_stt import FakeSTT
from patter.testing.fake_tts import FakeTTS

GREETING = "Hello, Acme here. How can I help you today?"


class Socket:
    """A vendor's connection."""

    def __init__(self, log: Log, kind: str) -> None:
        self.log = log
        self.kind = kind
        self.is_open = True

    def close(self) -> None:
        """Close; noted once."""
        if self.is_open:
            self.is_open = False
            self.log.closed.append(self.kind)


class SlowSocket(Socket):
    """One whose far end does not answer a close."""

    async def close(self) -> None:
        """Close, in vain for a long time."""
        super().close()
        await asyncio.sleep(60.0)


class Log:
    """What the vendors of a test saw, and how they behave.

    Attributes:
        takes_s: of "park tts", "connect stt", "adopt llm", "close tts" ...: how long it takes, in s.
        fails: such as "adopt tts".
        faults: what was done to a provider that is against its contract.
    """

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.adopted: list[str] = []
        self.warmed: list[str] = []
        self.synthesised: list[str] = []
        self.open_s = 0.3
        self.takes_s: dict[str, float] = {}
        self.fails: set[str] = set()
        self.faults: list[str] = []
        self.socket: type[Socket] = Socket

    async def open(self, kind: str, how: str) -> Socket:
        """One handshake."""
        await asyncio.sleep(self.takes_s.get(f"{how} {kind}", self.open_s))
        if f"{how} {kind}" in self.fails:
            raise ProviderDisconnected("wss://vendor.example?api_key=SECRET refused")
        self.opened.append((kind, how))
        return self.socket(self, kind)

    async def adopt_slowly(self, kind: str, socket: Socket) -> None:
        """Take a parked connection over, in its time."""
        await asyncio.sleep(self.takes_s[f"adopt {kind}"])
        self.adopt(kind, socket)

    def adopt(self, kind: str, socket: Socket) -> None:
        """Take a parked connection over."""
        if f"adopt {kind}" in self.fails or not socket.is_open:
            raise ProviderDisconnected("wss://vendor.example?api_key=SECRET is closed")
        self.adopted.append(kind)


class ParkingSTT(FakeSTT):
    """A recogniser with a handshake."""

    log: Log
    socket: Socket | None = None

    async def open_parked_connection(self, audio_format: AudioFormat) -> Socket:
        """Open without using it."""
        return await self.log.open("stt", "park")

    async def adopt_websocket(self, handle: Socket) -> None:
        """Use it."""
        self.log.adopt("stt", handle)
        self.socket = handle
        await super().connect(self.input_formats()[0])

    async def connect(self, audio_format: AudioFormat) -> None:
        """Open and use."""
        self.socket = await self.log.open("stt", "connect")
        await super().connect(audio_format)

    async def close(self) -> None:
        """Close the connection in use."""
        await super().close()
        if self.socket is not None:
            Socket.close(self.socket)


class ParkingTTS(FakeTTS):
    """A voice with a handshake."""

    log: Log
    socket: Socket | None = None
    speaking = False
    closed = False

    async def open_parked_connection(self) -> Socket:
        """Open without using it."""
        return await self.log.open("tts", "park")

    def adopt_websocket(self, handle: Socket) -> Awaitable[None] | None:
        """Use it; a plain function will do."""
        self.socket = handle
        if "adopt tts" in self.log.takes_s:
            return self.log.adopt_slowly("tts", handle)
        self.log.adopt("tts", handle)
        return None

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """Speak, over the connection that is there or a new one; one text at a time."""
        if self.speaking or self.closed:
            self.log.faults.append("speaks two texts at once" if self.speaking else "speaks after its close")
        self.speaking = True
        try:
            if self.socket is None:
                self.socket = await self.log.open("tts", "connect")
            self.log.synthesised.append(text)
            async for chunk in super().synthesize(text):
                yield chunk
        finally:
            try:
                await asyncio.sleep(self.log.takes_s.get("stop tts", 0.0))
            finally:  # it may be cancelled here too
                self.speaking = False

    async def close(self) -> None:
        """Close the connection in use."""
        self.closed = True
        if self.socket is not None:
            Socket.close(self.socket)


class ParkingLLM(FakeLLM):
    """A model with a handshake."""

    log: Log
    socket: Socket | None = None

    async def open_parked_connection(self) -> Socket:
        """Open without using it."""
        return await self.log.open("llm", "park")

    def adopt_websocket(self, handle: Socket) -> None:
        """Use it."""
        self.log.adopt("llm", handle)
        self.socket = handle

    async def stream(self, *arguments: Any, **options: Any) -> AsyncIterator[LLMChunk]:
        """Answer, over the connection that is there or a new one."""
        if self.socket is None:
            self.socket = await self.log.open("llm", "connect")
        async for chunk in super().stream(*arguments, **options):
            yield chunk

    async def close(self) -> None:
        """Close the connection in use."""
        if self.socket is not None:
            Socket.close(self.socket)


class Vendors:
    """The providers of a test, as a plugin."""

    def __init__(self, log: Log) -> None:
        self.log = log

    @hookimpl
    def patter_register_stt(self) -> Iterable[STTRecord]:
        """`parking`."""

        def make(context: ProviderContext) -> ParkingSTT:
            made = ParkingSTT(context)
            made.log = self.log
            return made

        return [STTRecord("parking", make)]

    @hookimpl
    def patter_register_tts(self) -> Iterable[TTSRecord]:
        """`parking`."""

        def make(context: ProviderContext) -> ParkingTTS:
            made = ParkingTTS(context)
            made.log = self.log
            return made

        return [TTSRecord("parking", make)]

    @hookimpl
    def patter_register_llm(self) -> Iterable[LLMRecord]:
        """`parking`."""

        def make(context: ProviderContext) -> ParkingLLM:
            made = ParkingLLM(context)
            made.log = self.log
            return made

        return [LLMRecord("parking", make)]


def agent(**options: Any) -> Agent:
    """An agent of theirs."""
    chosen = {"stt": "parking", "llm": "fake", "tts": "parking", "vad": "fake", "first_message": GREETING}
    return Agent(**{**chosen, **options})


def nothing_is_kept(phone: Any, log: Log) -> None:
    """Neither an entry nor an open connection."""
    assert len(phone.warming) == 0
    assert log.faults == []
    assert sorted(log.closed) == sorted(kind for kind, _ in log.opened), "each connection is closed once"
