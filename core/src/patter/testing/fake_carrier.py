"""A telephone carrier in memory, with a media protocol of its own that is no vendor's.

Messages are JSON objects with a `type`. To Patter: ``start`` (stream, call, encoding, rate, parameters), ``media``
(audio, base64), ``mark`` (name), ``dtmf`` (digit), ``stop``. From Patter: ``media``, ``mark``, ``clear``.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from patter.audio.formats import MULAW_8K, AudioFormat, Encoding
from patter.errors import CallGoneError, InputError, ProviderError
from patter.providers.billing import ReportedBill
from patter.providers.carrier import (
    AudioReceived,
    Carrier,
    CarrierHost,
    DialRequest,
    DigitPressed,
    MarkReached,
    MediaEvent,
    MediaProtocol,
    StreamStarted,
    StreamStopped,
    WebhookHandler,
)
from patter.providers.context import ProviderContext
from patter.testing.scene import SHARED_KEY, Scenes

_DIGITS: Final = frozenset("0123456789*#ABCD")
#: longest message that is read, in characters
_LONGEST_MESSAGE: Final = 256 * 1024


class FakeMediaProtocol(MediaProtocol):
    """Reads and writes the messages of one stream."""

    def parse(self, text: str) -> MediaEvent | None:
        """Read one message. Raises `InputError` for anything malformed or unknown."""
        if len(text) > _LONGEST_MESSAGE:
            raise InputError(
                f"a media message of {len(text)} characters; at most {_LONGEST_MESSAGE} are read"
            )
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise InputError("a media message is no JSON") from None
        if not isinstance(message, dict):
            raise InputError("a media message is no JSON object")
        kind = message.get("type")
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise InputError("a media message of unknown type")
        return reader(message)

    def media(self, payload: bytes) -> str:
        """Audio to play."""
        return json.dumps({"type": "media", "audio": base64.b64encode(payload).decode("ascii")})

    def mark(self, name: str) -> str:
        """A mark to echo."""
        return json.dumps({"type": "mark", "name": name})

    def clear(self) -> str:
        """Forget what was not played."""
        return json.dumps({"type": "clear"})


def _text(message: Mapping[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"a media message without {name}")
    return _whole(value)


def _whole(text: str) -> str:
    """The text, unless half a character is in it, which could not be written anywhere."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError("a media message with half a character")
    return text


def _start(message: Mapping[str, Any]) -> MediaEvent:
    parameters = message.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InputError("a start message whose parameters are no object")
    try:
        audio_format = AudioFormat(Encoding(_text(message, "encoding")), message.get("rate", 0))
    except ValueError as error:
        raise InputError(f"a start message with an unknown format: {error}") from None
    if not all(isinstance(value, str | int | float) for value in parameters.values()):
        raise InputError("a start message with a parameter that is no text")
    texts = {_whole(name): _whole(str(value)) for name, value in parameters.items()}
    return StreamStarted(_text(message, "stream"), _text(message, "call"), audio_format, texts)


def _media(message: Mapping[str, Any]) -> MediaEvent:
    try:
        return AudioReceived(base64.b64decode(_text(message, "audio"), validate=True))
    except (binascii.Error, ValueError):
        raise InputError("a media message whose audio is no base64") from None


def _dtmf(message: Mapping[str, Any]) -> MediaEvent:
    digit = _text(message, "digit")
    if digit not in _DIGITS:
        raise InputError("a dtmf message with an unknown digit")
    return DigitPressed(digit)


_READERS: Final[dict[str, Callable[[Mapping[str, Any]], MediaEvent]]] = {
    "start": _start,
    "media": _media,
    "mark": lambda message: MarkReached(_text(message, "name")),
    "dtmf": _dtmf,
    "stop": lambda message: StreamStopped(_text(message, "reason") if message.get("reason") else ""),
}


@dataclass(frozen=True, slots=True)
class Dialled:
    """A call that Patter placed, and the id that the carrier gave it."""

    request: DialRequest
    carrier_call_id: str


class FakeCarrier(Carrier):
    """Takes orders and notes them; `SimulatedCall` is its network and its callers.

    Attributes:
        dialled: the calls that Patter asked for.
        hung_up: the carrier's ids of the calls that Patter ended.
        transferred: the carrier's id and the number of each transfer.
        summaries: of each warm transfer what the human is told, and the caller whom nobody takes.
        spoken: the carrier's id and the text of each message that it spoke with its own voice.
        keys: the carrier's id and the digits of each `send_dtmf`.
        recorded: the carrier's ids of the calls that it was asked to record.
        refuse_recording: raised when it is asked to.
        refuse_dial: raised by the next dials.
        bills: what it billed for a call, by the carrier's id of it; an exception is raised.
        asked_for_bills: the carrier's ids of the calls whose bills were asked for.
        dial_s: how long it takes to answer a dial, in s.
        format: of the audio of its streams.
    """

    def __init__(self, context: ProviderContext, *, encoding: str = "mulaw", rate: int = 8000) -> None:
        self.environment = context.environment
        self.scenes: Scenes = context.shared.get(SHARED_KEY, Scenes)
        self.format = (
            AudioFormat(Encoding(encoding), rate) if (encoding, rate) != ("mulaw", 8000) else MULAW_8K
        )
        self.host: CarrierHost | None = None
        self.dialled: list[Dialled] = []
        self.hung_up: list[str] = []
        self.transferred: list[tuple[str, str]] = []
        self.summaries: list[tuple[str, str]] = []
        self.spoken: list[tuple[str, str]] = []
        self.keys: list[tuple[str, str]] = []
        self.recorded: list[str] = []
        self.refuse_recording: Exception | None = None
        self.refuse_dial: ProviderError | None = None
        self.bills: dict[str, ReportedBill | Exception] = {}
        self.asked_for_bills: list[str] = []
        self.dial_s = 0.0
        self._lines: dict[str, Callable[[str], None]] = {}
        self._calls = 0

    def next_call_id(self) -> str:
        """A fresh id of a call at this carrier."""
        self._calls += 1
        return f"fake-call-{self._calls}"

    def connect_line(self, carrier_call_id: str, end: Callable[[str], None]) -> None:
        """A caller is on the line; `end` hangs up on him."""
        self._lines[carrier_call_id] = end

    def disconnect_line(self, carrier_call_id: str) -> None:
        """The caller is gone."""
        self._lines.pop(carrier_call_id, None)

    # -- what Patter asks for

    def audio_format(self) -> AudioFormat:
        """µ-law at 8 kHz unless it was asked for another."""
        return self.format

    def media_protocol(self) -> MediaProtocol:
        """A fresh protocol."""
        return FakeMediaProtocol()

    def webhooks(self) -> Mapping[str, WebhookHandler]:
        """None: what a webhook would bring, `SimulatedCall` tells the host directly."""
        return {}

    def attach(self, host: CarrierHost) -> None:
        """Learn the host."""
        self.host = host

    async def dial(self, request: DialRequest) -> str:
        """Note the call; who answers it is the test's business."""
        await asyncio.sleep(self.dial_s)
        if self.refuse_dial is not None:
            raise self.refuse_dial
        dialled = Dialled(request, self.next_call_id())
        self.dialled.append(dialled)
        return dialled.carrier_call_id

    async def hangup(self, carrier_call_id: str) -> None:
        """End the call."""
        self.hung_up.append(carrier_call_id)
        self._end(carrier_call_id, "hung up by the application")

    async def transfer(self, carrier_call_id: str, number: str) -> None:
        """Connect the caller elsewhere, which ends the stream. Raises `CallGoneError`."""
        if carrier_call_id not in self._lines:
            raise CallGoneError(f"call {carrier_call_id} has ended")
        self.transferred.append((carrier_call_id, number))
        self._end(carrier_call_id, "transferred")

    async def transfer_warm(
        self, carrier_call_id: str, number: str, summary: str, failure_message: str
    ) -> None:
        """Note what is to be said, and connect the caller elsewhere. Raises `CallGoneError`."""
        await self.transfer(carrier_call_id, number)
        self.summaries.append((summary, failure_message))

    async def send_dtmf(self, carrier_call_id: str, digits: str, delay_ms: int) -> bool:
        """Note the keys."""
        self.keys.append((carrier_call_id, digits))
        return True

    async def start_recording(self, carrier_call_id: str) -> None:
        """Note the call."""
        self.recorded.append(carrier_call_id)
        if self.refuse_recording is not None:
            raise self.refuse_recording

    async def reported_bill(self, carrier_call_id: str) -> ReportedBill | None:
        """What the test put into `bills`; asked only where the record says `reports_bill=True`."""
        self.asked_for_bills.append(carrier_call_id)
        bill = self.bills.get(carrier_call_id)
        if isinstance(bill, Exception):
            raise bill
        return bill

    async def speak_and_hangup(self, carrier_call_id: str, message: str) -> bool:
        """Note the message and hang up."""
        self.spoken.append((carrier_call_id, message))
        self._end(carrier_call_id, "hung up after a message")
        return True

    def _end(self, carrier_call_id: str, reason: str) -> None:
        end = self._lines.get(carrier_call_id)
        if end is not None:
            end(reason)

    async def close(self) -> None:
        """Forget the lines."""
        self._lines.clear()
