"""What Twilio sends, and the documents that are made of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

from fuzz_inputs import Inputs
from fuzz_target import Target, require, require_text

from patter.environment import Environment
from patter.errors import InputError, PatterError, WebhookVerificationError
from patter.providers.carrier import (
    AudioReceived,
    CallAnswer,
    CallOffer,
    CallStatus,
    Connect,
    DigitPressed,
    MachineDetection,
    MarkReached,
    Refuse,
    StatusReport,
    StreamStarted,
    StreamStopped,
    WebhookRequest,
)
from patter.server.application import LONGEST_BODY
from patter_twilio import rest, twiml
from patter_twilio.config import TwilioConfig
from patter_twilio.media import MAX_AUDIO, TwilioMedia
from patter_twilio.signature import SignatureCheck
from patter_twilio.transfers import WarmTransfers
from patter_twilio.webhooks import TwilioWebhooks

_ACCOUNT = "AC" + "0" * 32
_CALL = "CA" + "1" * 32
_STREAM = "MZ" + "2" * 32


# -- media

_START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": _STREAM,
    "start": {
        "accountSid": _ACCOUNT,
        "streamSid": _STREAM,
        "callSid": _CALL,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"name": "Ada"},
    },
}


def _message(event: str, **body: Any) -> dict[str, Any]:
    return {"event": event, "sequenceNumber": "2", "streamSid": _STREAM, event: body}


_MEDIA = (
    _START,
    {"event": "connected", "protocol": "Call", "version": "1.0.0"},
    _message("media", track="inbound", chunk="1", timestamp="20", payload="/////////w=="),
    _message("mark", name="m-1"),
    _message("dtmf", track="inbound_track", digit="5"),
    _message("stop", accountSid=_ACCOUNT, callSid=_CALL),
)
_MEDIA_TEXTS = tuple(json.dumps(one, separators=(",", ":")) for one in _MEDIA)


def _media(text: str) -> None:
    fresh, started = TwilioMedia(), TwilioMedia()
    started.parse(_MEDIA_TEXTS[0])
    refused: InputError | None = None
    for protocol in (fresh, started):
        try:
            event = protocol.parse(text)
        except InputError as error:
            refused = error
            continue
        if isinstance(event, StreamStarted):
            for one in (
                event.stream_id,
                event.carrier_call_id,
                *event.parameters,
                *event.parameters.values(),
            ):
                require_text(one, 4096)
        elif isinstance(event, AudioReceived):
            require(0 < len(event.payload) <= MAX_AUDIO, "audio of a wrong size")
        elif isinstance(event, MarkReached):
            require_text(event.name, 256)
        elif isinstance(event, DigitPressed):
            require(event.digit in set("0123456789*#ABCD"), "no key")
        else:
            require(event is None or isinstance(event, StreamStopped), "no media event")
    if refused is not None:
        require(len(str(refused)) < 500, "an endless error text")
        raise refused


# -- webhooks


class _Desk:
    """A phone that takes calls, or refuses them in the caller's own words."""

    environment = Environment()

    def __init__(self) -> None:
        self.refuses = False

    def webhook_url(self, name: str, **query: str) -> str:
        return f"https://voice.example.com/webhooks/twilio/{name}"

    async def incoming_call(self, offer: CallOffer) -> CallAnswer:
        for one in (offer.carrier_call_id, offer.caller, offer.callee, *offer.parameters.values()):
            require_text(one, 256)
        if offer.caller.startswith("+1"):
            return Connect("call_1", "wss://voice.example.com/ws/twilio/" + "t" * 64)
        return Refuse(offer.caller, CallStatus.BUSY)

    async def call_answered(self, call_id: str, carrier_call_id: str) -> CallAnswer:
        require_text(call_id)
        return Refuse(call_id)

    def call_status(self, report: StatusReport) -> None:
        require(report.duration_s is None or 0 <= report.duration_s < 1e9, "a wrong duration")
        require_text(report.reason, 20)

    def machine_detected(self, carrier_call_id: str, detection: MachineDetection) -> None:
        require_text(detection.raw, 256)


def _webhooks() -> TwilioWebhooks:
    config = TwilioConfig(account_sid=_ACCOUNT, require_signature=False, voice="alice")
    webhooks = TwilioWebhooks(config, WarmTransfers())
    webhooks.attach(_Desk())
    return webhooks


_WEBHOOKS = _webhooks()
_FORMS = tuple(
    urlencode({"AccountSid": _ACCOUNT, "CallSid": _CALL, "From": caller, "To": "+15550001234", **more}).encode()
    for caller, more in (
        ("+15550009876", {"Direction": "inbound", "CallerName": "Ada"}),
        ("sip:<Dial>&'\"@x", {"Direction": "inbound", "FromCity": "Köln"}),
        ("+1", {"CallStatus": "completed", "CallDuration": "5", "SequenceNumber": "3", "SipResponseCode": "486"}),
        ("+1", {"AnsweredBy": "machine_start"}),
    )
)  # fmt: skip


def _webhook(body: bytes) -> None:
    query = {"call": body[-12:].decode("utf-8", "replace")} if len(body) % 3 == 0 else {}
    request = WebhookRequest("POST", "https://voice.example.com/webhooks/twilio/voice", {}, body, query)
    refused: InputError | None = None
    for handler in _WEBHOOKS.handlers().values():
        try:
            handler(request).send(None)
        except StopIteration as done:
            if done.value.body:
                _check_document(done.value.body)
        except InputError as error:
            refused = error
        else:
            require(False, "a handler that waits for something")
    if refused is not None:
        raise refused


_CHECK = SignatureCheck("token", "key", "shared")
_SIGNED = (
    {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "x-twilio-webhooks-signature-settings": "algorithm=HMAC_SHA256,key=key"},
    {"x-twilio-signature": "abc"},
)  # fmt: skip


def _signature(values: Any) -> None:
    headers = (
        {str(name): value for name, value in values.items() if isinstance(value, str)}
        if isinstance(values, dict)
        else {}
    )
    path = next(iter(headers.values()), "").encode("ascii", "replace").decode()
    query = {"bodySHA256": path} if len(path) % 2 else {}
    request = WebhookRequest("POST", f"https://voice.example.com/{path}", headers, _FORMS[0], query)
    _CHECK.verify(request)
    require(False, "a signature that nobody made")


# -- documents (SC-09)

_ALLOWED = {
    "Response": set(),
    "Say": {"voice", "language"},
    "Hangup": set(),
    "Connect": set(),
    "Stream": {"url"},
    "Reject": {"reason"},
    "Dial": {"timeout"},
    "Number": set(),
    "Sip": set(),
}


def _check_document(document: str) -> ElementTree.Element:
    require_text(document)
    try:
        root = ElementTree.fromstring(document.encode())
    except ElementTree.ParseError as error:
        require(False, f"a document that is no XML: {error}")
        raise
    for element in root.iter():
        require(element.tag in _ALLOWED, f"a verb {element.tag!r}")
        require(set(element.attrib) <= _ALLOWED[element.tag], f"attributes {set(element.attrib)}")
    return root


def _documents(text: str) -> None:
    say = twiml.say_and_hangup(text, voice=text[:100], language=text[-20:])
    require(len(say) <= twiml.MAX_LENGTH, f"a document of {len(say)} characters")
    spoken = [one.tag for one in _check_document(say)]
    require(spoken in (["Say", "Hangup"], ["Hangup"]), f"verbs {spoken}")
    short = text[:100_000]
    for document, tags in (
        (twiml.connect_stream(short), ["Response", "Connect", "Stream"]),
        (
            twiml.dial(short, ring_timeout_s=30),
            ["Response", "Dial", "Sip" if short[:4].lower() == "sip:" else None],
        ),
    ):
        found = [one.tag for one in _check_document(document).iter()]
        require(len(found) == 3 and found[:2] == tags[:2], f"verbs {found}")


# -- answers of the REST API

_ANSWERS = ({"code": 21211, "message": "no", "status": 400}, {"sid": _CALL}, {"code": 20404})


def _answer(value: Any) -> None:
    body = value if isinstance(value, dict) else {"code": value}
    for status in (400, 404, 429, 503):
        error = rest._error(status, body, "1" if status == 429 else None)
        require(isinstance(error, PatterError) and len(str(error)) < 1000, "an endless error text")


def _changed(seeds: tuple[Any, ...]) -> Any:
    return lambda inputs: _drawn(inputs, seeds)


def _drawn(inputs: Inputs, seeds: tuple[Any, ...]) -> Any:
    return inputs.changed(inputs.pick(seeds))


_WORDS = (
    "Hello & goodbye <b>\"x\" 'y'</b>",
    "wss://voice.example.com/ws/twilio/abc?a=1&b=2",
    "sip:desk@example.com",
    "&" * 900,
)

TARGETS = (
    Target("twilio-media", "text", lambda one: one.text(_MEDIA_TEXTS, _MEDIA), _media, (InputError,), 6),
    Target("twilio-webhook", "bytes", lambda one: one.octets(_FORMS)[:LONGEST_BODY], _webhook, (InputError,), 3, LONGEST_BODY),
    Target("twilio-signature", "json", _changed(_SIGNED), _signature, (WebhookVerificationError,), 2),
    Target("twilio-document", "text", lambda one: one.text(_WORDS), _documents, (), 3),
    Target("twilio-answer", "json", _changed(_ANSWERS), _answer, (), 2),
)  # fmt: skip
