"""The voice, status and machine detection webhooks, as a host hears of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from twilio.request_validator import RequestValidator

from patter.environment import Environment
from patter.errors import ConfigError, InputError, WebhookVerificationError
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    CallStatus,
    Connect,
    MachineDetection,
    Refuse,
    StatusReport,
    WebhookRequest,
    WebhookResponse,
)
from patter.providers.context import ProviderContext
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.config import TwilioConfig

ACCOUNT = "AC" + "1" * 32
CALL = "CA" + "2" * 32
TOKEN = "t0ken-of-the-account"
PUBLIC = "https://voice.example.com/webhooks/twilio/"
STREAM_URL = "wss://voice.example.com/ws/twilio/abc"


class Host:
    """A host that answers with what it was given and keeps what it was told."""

    def __init__(self, answer: CallAnswer | None = None) -> None:
        self.environment = Environment()
        self.answer = answer or Connect("call_1", STREAM_URL)
        self.told: list[Any] = []

    def webhook_url(self, name: str, **query: str) -> str:
        return PUBLIC + name + ("?" + urlencode(query) if query else "")

    async def incoming_call(self, offer: CallOffer) -> CallAnswer:
        self.told.append(offer)
        return self.answer

    async def call_answered(self, call_id: str, carrier_call_id: str) -> CallAnswer:
        self.told.append((call_id, carrier_call_id))
        return self.answer

    def call_status(self, report: StatusReport) -> None:
        self.told.append(report)

    def machine_detected(self, carrier_call_id: str, detection: MachineDetection) -> None:
        self.told.append((carrier_call_id, detection))


def carrier(**settings: Any) -> TwilioCarrier:
    config = TwilioConfig(**{"account_sid": ACCOUNT, "auth_token": TOKEN, **settings})
    return TwilioCarrier(config, ProviderContext(Environment(), shared=None))  # type: ignore[arg-type]


def attached(host: Host, **settings: Any) -> TwilioCarrier:
    twilio = carrier(**settings)
    twilio.attach(host)
    return twilio


def signed(name: str, form: Sequence[tuple[str, str]], *, token: str = TOKEN) -> WebhookRequest:
    url = PUBLIC + name
    signature = RequestValidator(token).compute_signature(url, dict(form))
    query = dict(parse_qsl(urlsplit(url).query))
    return WebhookRequest("POST", url, {"x-twilio-signature": signature}, urlencode(form).encode(), query)


def post(twilio: TwilioCarrier, request: WebhookRequest) -> WebhookResponse:
    name = urlsplit(request.url).path.rsplit("/", 1)[1]
    return asyncio.run(twilio.webhooks()[name](request))  # type: ignore[arg-type]


def ringing(**more: str) -> list[tuple[str, str]]:
    fields = {
        "CallSid": CALL,
        "AccountSid": ACCOUNT,
        "From": "+15550009876",
        "To": "+15550001234",
        "CallStatus": "ringing",
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
    }
    return list({**fields, **more}.items())


def verbs(response: WebhookResponse) -> list[str]:
    assert (response.status, response.content_type) == (200, "text/xml")
    return [element.tag for element in ElementTree.fromstring(response.body).iter()][1:]


def test_an_inbound_call_is_offered_and_gets_one_stream() -> None:
    host = Host()

    response = post(
        attached(host), signed("voice", ringing(CallerName="Ann\r\nX", StirVerstat="TN-Validation-Passed-A"))
    )

    parameters = {"CallerName": "AnnX", "StirVerstat": "TN-Validation-Passed-A"}
    assert host.told == [CallOffer(CALL, "+15550009876", "+15550001234", parameters)]
    assert verbs(response) == ["Connect", "Stream"]
    assert ElementTree.fromstring(response.body)[0][0].attrib == {"url": STREAM_URL}


def test_an_answered_outbound_call_is_asked_for_by_our_id() -> None:
    host = Host()
    form = ringing(Direction="outbound-api", CallStatus="in-progress")

    response = post(attached(host), signed("voice?call=call_7", form))

    assert host.told == [("call_7", CALL)]
    assert verbs(response) == ["Connect", "Stream"]


def test_an_outbound_call_without_our_id_is_not_taken_for_an_inbound_one() -> None:
    host = Host()

    with pytest.raises(InputError):
        post(attached(host), signed("voice", ringing(Direction="outbound-api")))

    assert host.told == []


@pytest.mark.parametrize(
    ("answer", "name", "expected"),
    [
        (Refuse("Please call later."), "voice", ["Say", "Hangup"]),
        (Refuse(""), "voice", ["Reject"]),
        (Refuse("", CallStatus.BUSY), "voice", ["Reject"]),
        (Refuse("Goodbye."), "voice?call=call_7", ["Say", "Hangup"]),
        (Refuse(""), "voice?call=call_7", ["Hangup"]),
    ],
)
def test_a_refused_call_hears_the_message_or_nothing(answer: Refuse, name: str, expected: list[str]) -> None:
    response = post(attached(Host(answer)), signed(name, ringing()))

    assert verbs(response) == expected
    assert answer.message in response.body


STATUS_CASES = {
    "queued": CallStatus.INITIATED,
    "initiated": CallStatus.INITIATED,
    "ringing": CallStatus.RINGING,
    "answered": CallStatus.IN_PROGRESS,
    "in-progress": CallStatus.IN_PROGRESS,
    "completed": CallStatus.COMPLETED,
    "busy": CallStatus.BUSY,
    "no-answer": CallStatus.NO_ANSWER,
    "failed": CallStatus.FAILED,
    "canceled": CallStatus.CANCELED,
}


@pytest.mark.parametrize(("word", "status"), STATUS_CASES.items())
def test_every_status_is_mapped(word: str, status: CallStatus) -> None:
    host = Host()

    assert post(attached(host), signed("status", ringing(CallStatus=word, SequenceNumber="2"))).status == 204
    assert host.told == [StatusReport(CALL, status, sequence=2)]


def test_the_end_of_a_call_carries_its_duration_and_sip_code() -> None:
    host = Host()
    form = ringing(CallStatus="busy", SequenceNumber="3", CallDuration="61", SipResponseCode="486")

    post(attached(host), signed("status", form))

    assert host.told == [StatusReport(CALL, CallStatus.BUSY, sequence=3, duration_s=61, reason="SIP 486")]


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        ("human", "human"),
        ("fax", "fax"),
        ("unknown", "unknown"),
        ("machine_start", "machine"),
        ("machine_end_beep", "machine"),
        ("machine_end_silence", "machine"),
        ("machine_end_other", "machine"),
        ("something_new", "unknown"),
    ],
)
@pytest.mark.behaviour("CC-13")
def test_machine_detection_is_normalised_and_keeps_the_raw_word(raw: str, result: str) -> None:
    host = Host()
    form = [
        ("CallSid", CALL),
        ("AccountSid", ACCOUNT),
        ("AnsweredBy", raw),
        ("MachineDetectionDuration", "2100"),
    ]
    before = host.environment.clock.monotonic()

    assert post(attached(host), signed("amd", form)).status == 204

    ((sid, detection),) = host.told
    assert (sid, detection.result, detection.raw) == (CALL, result, raw)
    assert before <= detection.t <= host.environment.clock.monotonic()


@pytest.mark.parametrize("name", ["voice", "status", "amd"])
def test_a_wrong_or_missing_signature_tells_the_host_nothing(name: str) -> None:
    host = Host()
    twilio = attached(host)
    wrong = signed(name, ringing(AnsweredBy="human"), token="another")
    unsigned = WebhookRequest("POST", wrong.url, {}, wrong.body)

    for request in (wrong, unsigned):
        with pytest.raises(WebhookVerificationError):
            post(twilio, request)

    assert host.told == []


def test_signatures_can_be_turned_off() -> None:
    host = Host()
    unsigned = WebhookRequest("POST", PUBLIC + "voice", {}, urlencode(ringing()).encode())

    assert verbs(post(attached(host, auth_token=None, require_signature=False), unsigned)) == [
        "Connect",
        "Stream",
    ]


def test_without_an_auth_token_nothing_is_attached_or_answered() -> None:
    twilio = carrier(auth_token=None)

    with pytest.raises(ConfigError, match="TWILIO_AUTH_TOKEN"):
        twilio.attach(Host())
    with pytest.raises(ConfigError):
        post(twilio, signed("voice", ringing()))
    with pytest.raises(ConfigError):
        twilio.verify_media_upgrade(WebhookRequest("GET", STREAM_URL, {}))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("voice", ringing(AccountSid="AC" + "9" * 32)),
        ("voice", ringing(CallSid="CA1")),
        ("voice", ringing(CallSid="CA" + "2" * 31 + "/")),
        ("status", ringing(CallStatus="on fire")),
        ("status", ringing(CallSid="")),
        ("amd", [("AccountSid", ACCOUNT)]),
        ("voice", []),
    ],
)
def test_a_signed_but_malformed_request_is_an_input_error(name: str, form: list[tuple[str, str]]) -> None:
    host = Host()

    with pytest.raises(InputError):
        post(attached(host), signed(name, form))

    assert host.told == []


def test_the_upgrade_of_a_media_stream_is_signed_over_its_address_alone() -> None:
    twilio = attached(Host())
    signature = RequestValidator(TOKEN).compute_signature(STREAM_URL, {})

    twilio.verify_media_upgrade(WebhookRequest("GET", STREAM_URL, {"x-twilio-signature": signature}))
    with pytest.raises(WebhookVerificationError):
        twilio.verify_media_upgrade(
            WebhookRequest("GET", STREAM_URL + "x", {"x-twilio-signature": signature})
        )
    with pytest.raises(WebhookVerificationError):
        twilio.verify_media_upgrade(WebhookRequest("GET", STREAM_URL, {}))
