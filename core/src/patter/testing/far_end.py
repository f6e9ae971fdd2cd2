"""The other end of a carrier's media stream: what a carrier writes and reads, message by message.

A carrier plugin that has one is simulated with its own messages by ``patter simulate``: its simulator class (see
`CarrierRecord.simulator`) names it in the attribute `far_end`.
"""

from __future__ import annotations

import base64
import json
from abc import ABC, abstractmethod
from typing import Literal

from patter.audio.formats import MULAW_8K
from patter.providers.carrier import MediaProtocol
from patter.testing.fake_carrier import FakeMediaProtocol

#: what the engine sent: audio to play, a mark to echo, or the order to forget what was not played
Sent = tuple[Literal["audio"], bytes] | tuple[Literal["mark"], str] | tuple[Literal["clear"], None]


class FarEnd(ABC):
    """One media stream as its carrier sees it, in µ-law at 8 kHz. Pure: no I/O, no clock, no randomness.

    Args:
        number: of the call; ids are made from it.

    Attributes:
        carrier_call_id: the carrier's id of the call.
    """

    carrier_call_id: str

    @abstractmethod
    def __init__(self, number: int) -> None: ...

    @abstractmethod
    def protocol(self) -> MediaProtocol:
        """The plugin's own protocol, fresh: the end under test."""

    @abstractmethod
    def opening(self) -> list[str]:
        """The messages that start the stream."""

    @abstractmethod
    def audio(self, payload: bytes) -> str:
        """Audio of the caller."""

    @abstractmethod
    def mark(self, name: str) -> str:
        """A mark that was reached, or given up because of a clear."""

    @abstractmethod
    def digit(self, digit: str) -> str:
        """A key that was pressed."""

    @abstractmethod
    def stop(self) -> str:
        """The end of the stream."""

    @abstractmethod
    def read(self, text: str) -> Sent:
        """What the engine sent. Raises `AssertionError` for a message that the carrier would not understand."""


class FakeFarEnd(FarEnd):
    """The other end of `FakeMediaProtocol`."""

    def __init__(self, number: int) -> None:
        self.carrier_call_id = f"fake-call-{number}"

    def protocol(self) -> MediaProtocol:
        """A fresh protocol."""
        return FakeMediaProtocol()

    def opening(self) -> list[str]:
        """One message."""
        start = {
            "type": "start",
            "stream": f"stream of {self.carrier_call_id}",
            "call": self.carrier_call_id,
            "encoding": MULAW_8K.encoding.value,
            "rate": MULAW_8K.rate,
        }
        return [json.dumps(start)]

    def audio(self, payload: bytes) -> str:
        """Base64 in JSON."""
        return json.dumps({"type": "media", "audio": base64.b64encode(payload).decode("ascii")})

    def mark(self, name: str) -> str:
        """The name."""
        return json.dumps({"type": "mark", "name": name})

    def digit(self, digit: str) -> str:
        """The key."""
        return json.dumps({"type": "dtmf", "digit": digit})

    def stop(self) -> str:
        """With a reason."""
        return json.dumps({"type": "stop", "reason": "the caller hung up"})

    def read(self, text: str) -> Sent:
        """By its type."""
        message = json.loads(text)
        kind = message["type"]
        if kind == "media":
            return "audio", base64.b64decode(message["audio"], validate=True)
        if kind == "mark":
            return "mark", message["name"]
        assert kind == "clear", f"a message of unknown type {kind!r}"
        return "clear", None
