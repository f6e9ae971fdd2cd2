"""Warm transfers under way: what the human is told, and what the caller hears when nobody takes the call.

Twilio dials the human, asks here what to say to whoever answers, connects the two, and asks once more when that is over.
What is said stays in this process: the addresses that Twilio calls and logs hold a number of the transfer alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

#: transfers that are remembered; beyond them the oldest is forgotten, and its human is connected without a word
MOST_TRANSFERS = 1000


@dataclass(frozen=True, slots=True)
class WarmTransfer:
    """What is said in one transfer. `expires_t`: when it cannot be asked for any more, in monotonic s."""

    summary: str
    failure_message: str
    expires_t: float


class WarmTransfers:
    """The transfers of one account that are not over."""

    def __init__(self) -> None:
        self._transfers: OrderedDict[str, WarmTransfer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._transfers)

    def add(self, transfer_id: str, transfer: WarmTransfer, t: float) -> None:
        """Remember a transfer that begins at time t, and forget those whose time is over."""
        for known in [one for one, other in self._transfers.items() if other.expires_t <= t]:
            del self._transfers[known]
        while len(self._transfers) >= MOST_TRANSFERS:
            self._transfers.popitem(last=False)
        self._transfers[transfer_id] = transfer

    def get(self, transfer_id: str) -> WarmTransfer | None:
        """A transfer that goes on."""
        return self._transfers.get(transfer_id)

    def take(self, transfer_id: str) -> WarmTransfer | None:
        """A transfer that is over."""
        return self._transfers.pop(transfer_id, None)
