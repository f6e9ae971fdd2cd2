"""The carrier: one Twilio account of one phone."""

from __future__ import annotations

import re
from collections.abc import Mapping

from patter.audio.formats import MULAW_8K, AudioFormat
from patter.errors import CallGoneError, ConfigError, InputError
from patter.providers.billing import ReportedBill
from patter.providers.carrier import (
    Carrier,
    CarrierHost,
    DialRequest,
    MediaProtocol,
    WebhookHandler,
    WebhookRequest,
)
from patter.providers.context import ProviderContext
from patter_twilio import twiml
from patter_twilio.billing import bill_of
from patter_twilio.config import TwilioConfig
from patter_twilio.media import TwilioMedia
from patter_twilio.rest import TwilioRest
from patter_twilio.transfers import WarmTransfer, WarmTransfers
from patter_twilio.webhooks import TwilioWebhooks

_DESTINATION = re.compile(r"\+[1-9][0-9]{1,14}|sips?:[A-Za-z0-9._~%!$&'*+=-]+@[A-Za-z0-9.:;=\[\]_-]+")
#: What Twilio takes for `Timeout`, in seconds.
_LONGEST_RING_S = 600
#: For how long after the ringing what is said in a warm transfer is kept, in seconds.
WHISPER_S = 300.0


class TwilioCarrier(Carrier):
    """Twilio Programmable Voice with Media Streams."""

    def __init__(self, config: TwilioConfig, context: ProviderContext) -> None:
        self._config = config
        self._rest = TwilioRest(config)
        self._transfers = WarmTransfers()
        self._webhooks = TwilioWebhooks(config, self._transfers)
        self._host: CarrierHost | None = None

    def audio_format(self) -> AudioFormat:
        """µ-law at 8 kHz."""
        return MULAW_8K

    def media_protocol(self) -> MediaProtocol:
        """A fresh protocol for one media connection."""
        return TwilioMedia()

    def webhooks(self) -> Mapping[str, WebhookHandler]:
        """``voice`` for the document of a call, ``status`` for its progress, ``amd`` for who answered.

        ``whisper`` and ``transferred`` for what is said in a warm transfer, and after it.
        """
        return self._webhooks.handlers()

    def attach(self, host: CarrierHost) -> None:
        """Learn the host. Raises `ConfigError` without an auth token, unless signatures are not required."""
        self._webhooks.attach(host)
        self._host = host

    def verify_media_upgrade(self, request: WebhookRequest) -> None:
        """Check the signature of a media connection, which is over its URL alone."""
        self._webhooks.verify(request)

    async def dial(self, request: DialRequest) -> str:
        """Place a call; its document is asked for when it is answered, so waiting in Twilio's queue costs nothing."""
        if self._host is None:
            raise ConfigError(
                "Twilio cannot dial before the phone serves: it has no address to answer calls at"
            )
        return await self._rest.create_call(_dial_form(request, self._host))

    async def hangup(self, carrier_call_id: str) -> None:
        """End the call in whatever state it is; one that already ended is fine."""
        try:
            await self._rest.update_call(carrier_call_id, [("Status", "completed")])
        except CallGoneError:
            return

    async def transfer(self, carrier_call_id: str, number: str) -> None:
        """Connect the caller to an E.164 number or SIP URI. Twilio drops the media stream for that."""
        _require_destination(number)
        document = twiml.dial(number, ring_timeout_s=self._config.transfer_ring_timeout_s)
        await self._rest.update_call(carrier_call_id, [("Twiml", document)])

    async def transfer_warm(
        self, carrier_call_id: str, number: str, summary: str, failure_message: str
    ) -> None:
        """Connect the caller, who hears it ring, once whoever answers has heard `summary`. Raises the same."""
        _require_destination(number)
        if self._host is None:
            raise ConfigError("Twilio cannot transfer before the phone serves: it has no address to ask at")
        host, ring_s = self._host, self._config.transfer_ring_timeout_s
        transfer_id = host.environment.new_id("transfer")
        now = host.environment.clock.monotonic()
        # While the two talk nothing of it is needed any more: it may be forgotten then.
        self._transfers.add(
            transfer_id, WarmTransfer(summary, failure_message, now + ring_s + WHISPER_S), now
        )
        document = twiml.dial(
            number,
            ring_timeout_s=ring_s,
            whisper_url=host.webhook_url("whisper", transfer=transfer_id),
            after_url=host.webhook_url("transferred", transfer=transfer_id),
        )
        try:
            await self._rest.update_call(carrier_call_id, [("Twiml", document)])
        except BaseException:
            self._transfers.take(transfer_id)
            raise

    async def start_recording(self, carrier_call_id: str) -> None:
        """Record caller and agent, each on a channel of its own; Twilio keeps the recording."""
        form = [("RecordingChannels", "dual"), ("RecordingTrack", "both")]
        await self._rest.record_call(carrier_call_id, form)

    async def speak_and_hangup(self, carrier_call_id: str, message: str) -> bool:
        """Speak with Twilio's own voice and hang up; a call that already ended is fine."""
        document = twiml.say_and_hangup(
            message, voice=self._config.voice, language=self._config.voice_language
        )
        try:
            await self._rest.update_call(carrier_call_id, [("Twiml", document)])
        except CallGoneError:
            return True
        return True

    async def reported_bill(self, carrier_call_id: str) -> ReportedBill | None:
        """Duration and price of a call that is over; its price is known some seconds to minutes after its end.

        The price is that of the call alone: Twilio bills media streams and recordings as items of their own.
        """
        return bill_of(await self._rest.fetch_call(carrier_call_id))

    async def close(self) -> None:
        """Close the connections to Twilio's API."""
        await self._rest.close()


def _require_destination(number: str) -> None:
    if len(number) > 256 or _DESTINATION.fullmatch(number) is None:
        raise InputError("a call goes to an E.164 number such as +15550001234, or to a SIP URI")


def _dial_form(request: DialRequest, host: CarrierHost) -> list[tuple[str, str]]:
    """The form of `POST Calls.json` (CC-06)."""
    _require_destination(request.to)
    _require_destination(request.from_number)
    form = [
        ("To", request.to),
        ("From", request.from_number),
        ("Url", host.webhook_url("voice", call=request.call_id)),
        ("Method", "POST"),
        ("StatusCallback", host.webhook_url("status")),
        ("StatusCallbackMethod", "POST"),
        *(("StatusCallbackEvent", event) for event in ("initiated", "ringing", "answered", "completed")),
    ]
    if request.ring_timeout_s is not None:
        form.append(("Timeout", str(min(max(round(request.ring_timeout_s), 1), _LONGEST_RING_S))))
    if request.max_duration_s is not None:
        form.append(("TimeLimit", str(max(round(request.max_duration_s), 1))))
    if request.machine_detection:
        form += [
            ("MachineDetection", "DetectMessageEnd"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", host.webhook_url("amd")),
            ("AsyncAmdStatusCallbackMethod", "POST"),
        ]
    return form
