"""The media connection of one call, as the call sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from patter.providers.carrier import MediaProtocol


class CarrierConnection(Protocol):
    """Text messages to and from a carrier. One task receives; sending and closing may happen in others."""

    async def receive_text(self) -> str | None:
        """The next message of at most 1 MiB; None, again and again, once the connection is gone.

        Binary messages and those of 1 to 4 MiB are dropped with one log line each; one above 4 MiB ends the
        connection with code 1009 (CC-05).
        """

    async def send_text(self, text: str) -> None:
        """Send a message; waits only while the carrier takes no data. Does nothing once the connection is gone."""

    def unsent_bytes(self) -> int:
        """Bytes that were sent here and that the operating system has not taken yet (LC-11)."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close within 1 s, by force if the carrier does not answer; idempotent."""


@dataclass(frozen=True, slots=True)
class MediaLeg:
    """The carrier's media stream: its socket, its messages, and what the carrier can do."""

    connection: CarrierConnection
    protocol: MediaProtocol
    marks: bool
    clear: bool
    transfer: bool = False
