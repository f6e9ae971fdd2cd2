"""The server's side of a carrier plugin."""

from __future__ import annotations

import logging

from patter.environment import Environment
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    CarrierHost,
    MachineDetection,
    Refuse,
    StatusReport,
)
from patter.server.address import PublicAddress
from patter.server.desk import CallDesk

logger = logging.getLogger(__name__)


class DeskHost(CarrierHost):
    """Brings what one carrier tells to the desk, under the carrier's name.

    A fault of the desk is logged here, so that a caller hears `unavailable_message` (CC-21) and a carrier's report is
    answered as received.
    """

    def __init__(
        self,
        carrier: str,
        desk: CallDesk,
        address: PublicAddress,
        environment: Environment,
        unavailable_message: str,
    ) -> None:
        self._carrier = carrier
        self._desk = desk
        self._address = address
        self._environment = environment
        self._unavailable_message = unavailable_message

    @property
    def environment(self) -> Environment:
        """Clock, randomness, ids."""
        return self._environment

    def webhook_url(self, name: str, **query: str) -> str:
        """The public URL of one of this carrier's webhooks. Raises `ConfigError` when no public URL is known."""
        return self._address.webhook(self._carrier, name, **query)

    async def incoming_call(self, offer: CallOffer) -> CallAnswer:
        """Decide about an inbound call."""
        try:
            return await self._desk.offer(self._carrier, offer)
        except Exception:
            logger.exception("%s: an incoming call could not be set up", self._carrier)
            return Refuse(self._unavailable_message)

    async def call_answered(self, call_id: str, carrier_call_id: str) -> CallAnswer:
        """The answer document of an outbound call is asked for."""
        try:
            return await self._desk.answered(self._carrier, call_id, carrier_call_id)
        except Exception:
            logger.exception("%s: an answered call could not be set up", self._carrier)
            return Refuse(self._unavailable_message)

    def call_status(self, report: StatusReport) -> None:
        """A verified status callback."""
        try:
            self._desk.status(self._carrier, report)
        except Exception:
            logger.exception("%s: a status report could not be used", self._carrier)

    def machine_detected(self, carrier_call_id: str, detection: MachineDetection) -> None:
        """A verified machine detection result."""
        try:
            self._desk.machine(self._carrier, carrier_call_id, detection)
        except Exception:
            logger.exception("%s: a machine detection result could not be used", self._carrier)
