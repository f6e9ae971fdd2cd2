"""Telephone carriers: webhooks, call control and the media stream of a call.

A carrier plugin does no serving of its own. Core owns the HTTP server and the media sockets; the plugin says which
webhooks it answers and how the messages of its media stream are read and written (`MediaProtocol`, pure), and tells
core what happened through `CarrierHost`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.environment import Environment
    from patter.providers.billing import ReportedBill


class CallStatus(StrEnum):
    """The state of a call as people speak of it (CC-20)."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELED = "canceled"
    WEBHOOK_ERROR = "webhook_error"

    @property
    def is_terminal(self) -> bool:
        """Whether a call in this state is over; such a state is never left (CC-03)."""
        return self not in (CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS)


# -- the media stream -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamStarted:
    """The media stream is up; audio follows in `audio_format`."""

    stream_id: str
    carrier_call_id: str
    audio_format: AudioFormat
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class AudioReceived:
    """A frame of the caller's audio in the stream's format. Not frozen: one is made for every 20 ms of every call."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class MarkReached:
    """The carrier played all audio before the mark, or gave it up because of a clear."""

    name: str


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The caller pressed a key: one of ``0-9 * # A-D``."""

    digit: str


@dataclass(frozen=True, slots=True)
class StreamStopped:
    """The carrier ended the stream."""

    reason: str = ""


MediaEvent = StreamStarted | AudioReceived | MarkReached | DigitPressed | StreamStopped


class MediaProtocol(ABC):
    """The messages of one media stream; pure, one instance per connection."""

    @abstractmethod
    def parse(self, text: str) -> MediaEvent | None:
        """Read one text message; None for one that is known and of no interest.

        Raises `InputError` for anything malformed, unknown or of another stream; core then drops it with one log
        line and keeps the connection (CC-05). Bounded work for any input.
        """

    @abstractmethod
    def media(self, payload: bytes) -> str:
        """The message that plays `payload`, audio in the stream's format."""

    @abstractmethod
    def mark(self, name: str) -> str:
        """The message that asks for a `MarkReached(name)`; never called when the record says `marks=False`."""

    @abstractmethod
    def clear(self) -> str:
        """The message that empties the carrier's playout buffer; never called when the record says `clear=False`."""


# -- webhooks ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """An HTTP request as it arrived.

    `url` is the public address rebuilt from the configured public host, path and query, never from request headers
    (SC-02). `headers` has lower-case names. `body` is at most 256 KiB.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)  # the signature is among them
    body: bytes = field(default=b"", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    def form(self) -> list[tuple[str, str]]:
        """The body as form fields in their order, empty values included; bytes that are not UTF-8 are replaced."""
        return parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The answer to a webhook."""

    status: int = 204
    body: str = field(default="", repr=False)  # may hold the address of a stream with its token
    content_type: str = "text/plain"


WebhookHandler = Callable[[WebhookRequest], Awaitable[WebhookResponse]]


# -- what a carrier tells core, and asks of it ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallOffer:
    """An inbound call that rings, as the carrier's verified webhook describes it."""

    carrier_call_id: str
    caller: str
    callee: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connect:
    """Open one bidirectional media stream to `stream_url` (its path carries the single-use token)."""

    call_id: str
    stream_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Speak `message` and hang up; an empty message rejects without a word (CC-21)."""

    message: str
    status: CallStatus = CallStatus.FAILED


CallAnswer = Connect | Refuse


@dataclass(frozen=True, slots=True)
class MachineDetection:
    """Who answered an outbound call; `raw` is the carrier's own word, `t` monotonic seconds (CC-13)."""

    result: Literal["human", "machine", "fax", "unknown"]
    raw: str
    t: float


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A status callback. `sequence` orders reports of one call where the carrier numbers them."""

    carrier_call_id: str
    status: CallStatus
    sequence: int | None = None
    duration_s: float | None = None
    reason: str = ""


class CarrierHost(Protocol):
    """What core offers to a carrier plugin, from `Carrier.attach()` on."""

    @property
    def environment(self) -> Environment:
        """Clock, randomness, ids."""

    def webhook_url(self, name: str, **query: str) -> str:
        """The public URL of one of this carrier's webhooks. Raises `ConfigError` when no public URL is known."""

    async def incoming_call(self, offer: CallOffer) -> CallAnswer:
        """Decide about an inbound call; at once, except for the hooks' budget of 2 s."""

    async def call_answered(self, call_id: str, carrier_call_id: str) -> CallAnswer:
        """The answer document of an outbound call is asked for. An unknown call is refused."""

    def call_status(self, report: StatusReport) -> None:
        """A verified status callback; duplicates, unknown calls and any order are fine."""

    def machine_detected(self, carrier_call_id: str, detection: MachineDetection) -> None:
        """A verified machine detection result."""


@dataclass(frozen=True, slots=True)
class DialRequest:
    """An outbound call. `ring_timeout_s` None leaves the carrier's default."""

    call_id: str
    to: str
    from_number: str
    ring_timeout_s: float | None = None
    machine_detection: bool = True
    max_duration_s: float | None = None


class Carrier(ABC):
    """One carrier account of one `Patter`; made without I/O."""

    @abstractmethod
    def audio_format(self) -> AudioFormat:
        """Format of its media streams."""

    @abstractmethod
    def media_protocol(self) -> MediaProtocol:
        """A fresh protocol for one media connection."""

    @abstractmethod
    def webhooks(self) -> Mapping[str, WebhookHandler]:
        """Handlers by name; each answers `POST /webhooks/<carrier>/<name>` and checks the signature itself.

        A handler raises `WebhookVerificationError` (answered 403) before it reads anything else of the request.
        """

    @abstractmethod
    def attach(self, host: CarrierHost) -> None:
        """Learn the host; called once, before serving.

        Raises `ConfigError` when a secret that signatures need is missing and checks were not turned off (SC-01).
        """

    def verify_media_upgrade(self, request: WebhookRequest) -> None:  # noqa: B027 - not every carrier signs it
        """Check a signed media upgrade; raises `WebhookVerificationError`."""

    @abstractmethod
    async def dial(self, request: DialRequest) -> str:
        """Place a call; returns the carrier's id of it. Raises `InputError`, `ProviderError`."""

    @abstractmethod
    async def hangup(self, carrier_call_id: str) -> None:
        """End the call; one that already ended is fine."""

    @abstractmethod
    async def transfer(self, carrier_call_id: str, number: str) -> None:
        """Cold transfer: connect the caller to `number`, which ends the media stream. Raises `CallGoneError`."""

    async def transfer_warm(
        self, carrier_call_id: str, number: str, summary: str, failure_message: str
    ) -> None:
        """Warm transfer: hold the caller, dial `number`, speak `summary` to who answers, and connect the two.

        Called only where the record's `transfers` has "warm". It ends the media stream. A caller whom nobody takes hears
        `failure_message` before the hang-up (CC-12). Raises `CallGoneError`, `ProviderError`.
        """
        raise NotImplementedError

    async def send_dtmf(self, carrier_call_id: str, digits: str, delay_ms: int) -> bool:
        """Press keys towards the caller; False where the carrier cannot, and core plays their tones (CC-09)."""
        return False

    async def start_recording(self, carrier_call_id: str) -> None:  # noqa: B027 - not every carrier records
        """Record both sides from now on; called once in an answered call, where the record says `recording=True`.

        Raises `ProviderError`.
        """

    async def speak_and_hangup(self, carrier_call_id: str, message: str) -> bool:
        """Speak one message with the carrier's own voice and hang up; False where the carrier cannot (CC-21)."""
        return False

    async def reported_bill(self, carrier_call_id: str) -> ReportedBill | None:
        """What the carrier says that it billed for a call that is over (CO-08); None while it does not know.

        Asked only where the record says `reports_bill=True`, and again later while the amount is missing. Raises
        `ProviderError`.
        """
        return None

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent, allowed before `attach()`, ends within 1 s."""
