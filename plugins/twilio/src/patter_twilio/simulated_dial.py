"""What a simulated Twilio does with ``<Dial>``: rings somebody, whispers to who answers, connects the two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from patter_twilio.simulated_call import SimulatedCall

#: Time that a spoken message takes, in seconds a character.
SPEECH_S_PER_CHARACTER = 0.06


class SimulatedDial:
    """One ``<Dial>``; `run` lasts until both have hung up, and says which document comes next.

    Attributes:
        numbers: whom it rings.
        whispered: what the human heard before the caller was there.
        bridged: whether the two were connected.
    """

    def __init__(self, call: SimulatedCall, element: ElementTree.Element) -> None:
        self._call = call
        self._element = element
        self._hung_up = asyncio.Event()
        self.sid = call.new_sid("CA")
        self.numbers = [noun.text or "" for noun in element]
        self.whispered: list[str] = []
        self.bridged = False

    def hangup(self) -> None:
        """The human hangs up."""
        self._hung_up.set()

    async def run(self) -> str | None:
        """Ring, whisper, connect; the document to go on with, or None where the verb names none."""
        callee, status = self._call.transferee, "no-answer"
        ring_s = float(self._element.get("timeout", "30"))
        await asyncio.sleep(min(callee.rings_s, ring_s))
        if callee.outcome != "answer":
            status = callee.outcome
        elif callee.rings_s <= ring_s:
            status = "completed"
            await self._talk()
        action = self._element.get("action")
        if action is None:
            return None
        form = [
            *self._call.form(),
            ("DialCallSid", self.sid),
            ("DialCallStatus", status),
            ("DialBridged", "true" if self.bridged else "false"),
        ]
        return await self._call.post(action, form)

    async def _talk(self) -> None:
        whisper = self._element[0].get("url")
        document = None if whisper is None else await self._call.post(whisper, self._leg_form())
        for verb in ElementTree.fromstring(document) if document else ():
            self.whispered.append(verb.text or "")
            if await self._hangs_up_within(len(verb.text or "") * SPEECH_S_PER_CHARACTER):
                return
        self.bridged = True
        self._call.note("bridged")
        await self._hung_up.wait()

    async def _hangs_up_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._hung_up.wait()
        except TimeoutError:
            return False
        return True

    def _leg_form(self) -> list[tuple[str, str]]:
        """The fields of a webhook about the human's leg."""
        own = {
            "CallSid": self.sid,
            "ParentCallSid": self._call.sid,
            "To": self.numbers[0],
            "Called": self.numbers[0],
            "Direction": "outbound-dial",
            "CallStatus": "in-progress",
        }
        return list({**dict(self._call.form()), **own}.items())
