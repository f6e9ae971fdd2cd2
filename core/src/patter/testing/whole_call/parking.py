"""Providers of simulated calls whose connections can be opened while it rings, and the connections themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from patter.errors import ProviderDisconnected
from patter.testing.whole_call.providers import ScriptedLLM, ScriptedSTT, ScriptedTTS, SlowScriptedSTT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from patter.audio.formats import AudioFormat
    from patter.providers.llm import LLMChunk
    from patter.testing.whole_call.played_call import PlayedCall

#: what a slow adoption takes, in s
SLOW_S = 0.2
#: a far end that does not answer a close keeps it waiting for this, in s
CLINGS_S = 60.0


class Switchroom:
    """The connections to the vendors of one call.

    Attributes:
        open: how many there are, by kind.
        used: how each provider came by those that it used, in order: "adopted" or "connected".
        faults: what was done to a vendor that is against its contract.
    """

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.used: dict[str, list[str]] = {}
        self.faults: list[str] = []

    def uses(self, kind: str, how: str) -> None:
        """A provider has a connection that it works with."""
        self.used.setdefault(kind, []).append(how)


class VendorSocket:
    """One connection; closing it twice is harmless."""

    def __init__(self, room: Switchroom, kind: str) -> None:
        self._room = room
        self._kind = kind
        self.is_open = True
        room.open[kind] += 1

    def end(self) -> None:
        """It is closed, by whichever side."""
        if self.is_open:
            self.is_open = False
            self._room.open[self._kind] -= 1

    def close(self) -> Any:
        """Close it."""
        self.end()


class ClingingSocket(VendorSocket):
    """One whose far end does not answer a close."""

    async def close(self) -> None:
        """Close it, and wait in vain."""
        self.end()
        await asyncio.sleep(CLINGS_S)


class Vendor:
    """The far end of one provider."""

    def __init__(self, call: PlayedCall, kind: str) -> None:
        self._call = call
        self._room = call.switchroom
        self._kind = kind
        self._socket: VendorSocket | None = None
        self._spoiled = False
        plan = call.script.prewarm
        assert plan is not None
        self._plan = plan.parking[kind]

    async def park(self) -> VendorSocket:
        """A handshake while it rings."""
        plan = self._plan
        await asyncio.sleep(plan.opens_s)
        if plan.refuses:
            raise ProviderDisconnected(f"the vendor of the {self._kind} refuses")
        socket = (ClingingSocket if plan.clings else VendorSocket)(self._room, self._kind)
        if plan.dies_s is not None:
            timer = self._call.loop.call_later(plan.dies_s, socket.end)
            self._call.timers.append(timer)
        return socket

    async def adopt(self, socket: VendorSocket) -> None:
        """Take over what was parked."""
        plan = self._plan
        self._spoiled = True
        if plan.adopts == "hangs":
            await asyncio.get_running_loop().create_future()
        if plan.adopts == "slowly":
            await asyncio.sleep(SLOW_S)
        if not socket.is_open or plan.adopts == "fails":
            raise ProviderDisconnected(f"the vendor of the {self._kind} is gone")
        if self._socket is not None:
            self._room.faults.append(f"a second connection was given to the {self._kind}")
        self._socket = socket
        if plan.adopts == "fails half-way":
            raise ProviderDisconnected(f"the vendor of the {self._kind} is lost")
        self._spoiled = False
        self._room.uses(self._kind, "adopted")

    def connect(self) -> None:
        """A handshake when it is needed, unless there is a connection."""
        if self._spoiled:  # PW-04, PW-11: what may be half adopted is discarded
            self._room.faults.append(f"the {self._kind} was used though it had not adopted its connection")
        if self._socket is None or not self._socket.is_open:
            self._socket = VendorSocket(self._room, self._kind)
            self._room.uses(self._kind, "connected")

    def close(self) -> None:
        """Give up the connection."""
        if self._socket is not None:
            self._socket.end()


class ParkingSTT(ScriptedSTT):
    """A recogniser that can be parked."""

    def __init__(self, call: PlayedCall) -> None:
        super().__init__(call)
        self.vendor = Vendor(call, "stt")

    async def open_parked_connection(self, audio_format: AudioFormat) -> VendorSocket:
        """Open without using it."""
        return await self.vendor.park()

    async def adopt_websocket(self, handle: VendorSocket) -> None:
        """Use it."""
        try:
            await self.vendor.adopt(handle)
        finally:
            self.listen()

    async def connect(self, audio_format: AudioFormat) -> None:
        """Open, late or after failures."""
        await super().connect(audio_format)
        self.vendor.close()
        self.vendor.connect()

    async def close(self) -> None:
        """End `receive()`."""
        await super().close()
        self.vendor.close()


class SlowParkingSTT(ParkingSTT, SlowScriptedSTT):
    """One that takes its time for each frame."""


class ParkingTTS(ScriptedTTS):
    """A voice that can be parked."""

    def __init__(self, call: PlayedCall) -> None:
        super().__init__(call)
        self.vendor = Vendor(call, "tts")

    async def open_parked_connection(self) -> VendorSocket:
        """Open without using it."""
        return await self.vendor.park()

    async def adopt_websocket(self, handle: VendorSocket) -> None:
        """Use it."""
        await self.vendor.adopt(handle)

    async def synthesize(self, text: str) -> AsyncIterator[bytes]:
        """One sentence, over the connection that is there or a new one."""
        self.vendor.connect()
        async for chunk in super().synthesize(text):
            yield chunk

    async def close(self) -> None:
        """Count it."""
        await super().close()
        self.vendor.close()


class ParkingLLM(ScriptedLLM):
    """A model that can be parked."""

    def __init__(self, call: PlayedCall) -> None:
        super().__init__(call)
        self.vendor = Vendor(call, "llm")

    async def open_parked_connection(self) -> VendorSocket:
        """Open without using it."""
        return await self.vendor.park()

    async def adopt_websocket(self, handle: VendorSocket) -> None:
        """Use it."""
        await self.vendor.adopt(handle)

    async def stream(self, *arguments: Any, **options: Any) -> AsyncIterator[LLMChunk]:
        """One reply, over the connection that is there or a new one."""
        self.vendor.connect()
        async for chunk in super().stream(*arguments, **options):
            yield chunk

    async def close(self) -> None:
        """Count it."""
        await super().close()
        self.vendor.close()


def make_stt(call: PlayedCall) -> ScriptedSTT:
    """The recogniser of a call, of the form that its script wants."""
    slow = call.script.stt.send_s is not None
    if call.script.prewarm is None:
        return SlowScriptedSTT(call) if slow else ScriptedSTT(call)
    return SlowParkingSTT(call) if slow else ParkingSTT(call)


def make_llm(call: PlayedCall) -> ScriptedLLM:
    """The model of a call."""
    return ScriptedLLM(call) if call.script.prewarm is None else ParkingLLM(call)


def make_tts(call: PlayedCall) -> ScriptedTTS:
    """The voice of a call."""
    return ScriptedTTS(call) if call.script.prewarm is None else ParkingTTS(call)
