"""The carrier's side of one call, for `Call` to act on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from patter.errors import CallGoneError

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.server.line import Trunk

logger = logging.getLogger(__name__)


class CarrierCallLeg:
    """Acts on a call at its carrier; see `patter.call.call.CarrierLeg`.

    A call that has ended there counts as success, and what the carrier cannot do is logged and not tried (CC-08).
    """

    def __init__(self, call: Call, trunk: Trunk) -> None:
        self._call = call
        self._carrier = trunk.carrier
        self._record = trunk.record

    @property
    def sip(self) -> bool:
        """Whether the carrier reaches SIP addresses."""
        return self._record.sip

    async def hangup(self) -> None:
        """End the call."""
        if self._call.carrier_call_id:
            try:
                await self._carrier.hangup(self._call.carrier_call_id)
            except CallGoneError:
                return

    async def transfer(self, number: str, summary: str, failure_message: str) -> bool:
        """Connect the caller to another number; False when the carrier cannot, or the caller is gone.

        With a summary the transfer is a warm one; where the carrier has none the caller is handed over without it.
        """
        if not self._record.transfers:
            self._lacks("transfer calls")
            return False
        call_id, warm = self._call.carrier_call_id, bool(summary) and "warm" in self._record.transfers
        if summary and not warm:
            logger.warning(
                "call %s: %s has no warm transfers; the summary is not told", self._call.id, self._record.name
            )
        try:
            if warm:
                await self._carrier.transfer_warm(call_id, number, summary, failure_message)
            else:
                await self._carrier.transfer(call_id, number)
        except CallGoneError:
            return False
        return True

    async def send_dtmf(self, digits: str, delay_ms: int) -> bool:
        """Have the carrier press keys; False where it cannot."""
        if not self._record.dtmf_out:
            return False
        try:
            return await self._carrier.send_dtmf(self._call.carrier_call_id, digits, delay_ms)
        except CallGoneError:
            return True

    def _lacks(self, what: str) -> None:
        logger.warning("call %s: %s cannot %s; nothing was done", self._call.id, self._record.name, what)
