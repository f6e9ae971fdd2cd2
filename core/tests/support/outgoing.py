"""Calls that the phone of a test places over the fake carrier."""

from __future__ import annotations

import asyncio
from typing import Any

from patter import Agent
from patter.providers.carrier import CallStatus, MachineDetection, StatusReport

TO = "+15550002222"
GREETING = "Hello, Acme here."


def agent(**options: Any) -> Agent:
    """One that greets."""
    chosen = {"stt": "fake", "llm": "fake", "tts": "fake", "vad": "fake", "first_message": GREETING}
    return Agent(**{**chosen, **options})


class Outgoing:
    """Places calls, and reports on them as the carrier does."""

    def __init__(self, phone: Any) -> None:
        self.phone = phone

    @property
    def carrier(self) -> Any:
        """The fake one."""
        return self.phone.switchboard.trunks["fake"].carrier

    async def place(self, to: str = TO, **options: Any) -> tuple[asyncio.Task[Any], Any]:
        """Place a call: what `Patter.call` will return, and what the carrier was asked for."""
        if not self.phone.switchboard.ready:
            await self.phone.start(agent(), port=0)
        dialled = len(self.carrier.dialled)
        calling = asyncio.ensure_future(self.phone.call(to, **options))
        while len(self.carrier.dialled) == dialled:
            if calling.done():
                await calling
            await asyncio.sleep(0.01)
        return calling, self.carrier.dialled[-1]

    def detects(self, dialled: Any, result: Any, raw: str = "", times: int = 1) -> None:
        """Who answered."""
        now = asyncio.get_running_loop().time()
        for _ in range(times):
            detection = MachineDetection(result, raw or result, now)
            self.carrier.host.machine_detected(dialled.carrier_call_id, detection)

    def ends(self, dialled: Any, status: CallStatus = CallStatus.COMPLETED) -> None:
        """The call is over at the carrier."""
        self.carrier.host.call_status(StatusReport(dialled.carrier_call_id, status))
