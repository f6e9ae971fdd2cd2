"""The carrier's side of one call, for `Call` to act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from patter.errors import CallGoneError

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.providers.carrier import Carrier


class CarrierCallLeg:
    """Acts on a call at its carrier; a call that has ended there counts as success (CC-08)."""

    def __init__(self, call: Call, carrier: Carrier) -> None:
        self._call = call
        self._carrier = carrier

    async def hangup(self) -> None:
        """End the call."""
        if self._call.carrier_call_id:
            await self._carrier.hangup(self._call.carrier_call_id)

    async def transfer(self, number: str) -> None:
        """Connect the caller to another number."""
        try:
            await self._carrier.transfer(self._call.carrier_call_id, number)
        except CallGoneError:
            self._call.is_hung_up = True

    async def send_dtmf(self, digits: str, delay_ms: int) -> bool:
        """Press keys; False where the carrier cannot."""
        return await self._carrier.send_dtmf(self._call.carrier_call_id, digits, delay_ms)
