"""What the server asks of the part that runs calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from patter.call.connection import CarrierConnection
from patter.providers.carrier import CallAnswer, CallOffer, MachineDetection, StatusReport


@dataclass(frozen=True, slots=True)
class MediaClaim:
    """The right to carry the media of one call, given once for a token."""

    call_id: str
    carrier: str


class CallDesk(Protocol):
    """Takes, runs and ends the calls that the server brings.

    What reaches it is verified: signatures were checked, and tokens are for it to judge.
    """

    def accepting(self) -> bool:
        """Whether a new call would be taken now: listening, not draining and not full (LC-10)."""

    async def offer(self, carrier: str, offer: CallOffer) -> CallAnswer:
        """Decide about an inbound call that rings."""

    async def answered(self, carrier: str, call_id: str, carrier_call_id: str) -> CallAnswer:
        """The answer document for a call that was dialled; an unknown call is refused."""

    def status(self, carrier: str, report: StatusReport) -> None:
        """Progress of a call; duplicates, unknown calls and any order are fine."""

    def machine(self, carrier: str, carrier_call_id: str, detection: MachineDetection) -> None:
        """Who answered a call that was dialled."""

    def claim(self, carrier: str, token: str) -> MediaClaim | None:
        """Use up a media token; None for one that is unknown, used, expired or another carrier's (SC-04)."""

    async def serve_media(self, claim: MediaClaim, connection: CarrierConnection) -> None:
        """Run the whole call on its connection; called exactly once for each claim.

        The connection may be gone already, and is closed by the server when this returns.
        """
