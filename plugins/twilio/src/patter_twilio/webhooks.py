"""What Twilio asks of us over HTTP: the document for a call, its progress, and who answered.

Field names and values: https://www.twilio.com/docs/voice/twiml#request-parameters and
https://www.twilio.com/docs/voice/answering-machine-detection.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from patter.errors import ConfigError, InputError
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    CallStatus,
    CarrierHost,
    Connect,
    MachineDetection,
    Refuse,
    StatusReport,
    WebhookHandler,
    WebhookRequest,
    WebhookResponse,
)
from patter_twilio import twiml
from patter_twilio.config import TwilioConfig
from patter_twilio.signature import SignatureCheck
from patter_twilio.transfers import WarmTransfers

CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")

STATUSES: Mapping[str, CallStatus] = {
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
ANSWERED_BY: Mapping[str, Literal["human", "machine", "fax", "unknown"]] = {
    "human": "human",
    "machine_start": "machine",
    "machine_end_beep": "machine",
    "machine_end_silence": "machine",
    "machine_end_other": "machine",
    "fax": "fax",
    "unknown": "unknown",
}
#: Fields about the caller that reach `CallOffer.parameters` when Twilio sends them.
CALLER_FIELDS = (
    "CallerName",
    "ForwardedFrom",
    "ParentCallSid",
    "StirVerstat",
    "FromCity",
    "FromState",
    "FromZip",
    "FromCountry",
    "ToCity",
    "ToState",
    "ToZip",
    "ToCountry",
)

#: What a caller hears whom nobody took, where it is not known what he was to hear.
UNTAKEN = "Sorry, nobody can take your call. Goodbye."

_MAX_FIELD = 256


class TwilioWebhooks:
    """The webhooks of one account, told to one host."""

    def __init__(self, config: TwilioConfig, transfers: WarmTransfers) -> None:
        self._config = config
        self._transfers = transfers
        self._check = signature_check(config)
        self._host: CarrierHost | None = None

    def attach(self, host: CarrierHost) -> None:
        """Learn the host.

        Raises:
            ConfigError: signatures are required and the auth token is missing.
        """
        if self._config.require_signature and self._check is None:
            raise ConfigError(
                "Twilio webhooks are signed with the account's auth token, and none is known: set TWILIO_AUTH_TOKEN "
                "or auth_token, or turn the check off with require_signature=False"
            )
        self._host = host

    def handlers(self) -> dict[str, WebhookHandler]:
        """The handlers by name."""
        return {
            "voice": self.voice,
            "status": self.status,
            "amd": self.machine_detection,
            "whisper": self.whisper,
            "transferred": self.transferred,
        }

    def verify(self, request: WebhookRequest) -> None:
        """Check a signature, unless that was turned off.

        Raises:
            WebhookVerificationError: it is missing or wrong.
            ConfigError: there is nothing to check it with.
        """
        if not self._config.require_signature:
            return
        if self._check is None:
            raise ConfigError("no auth token to check Twilio's signatures with: set TWILIO_AUTH_TOKEN")
        self._check.verify(request)

    async def voice(self, request: WebhookRequest) -> WebhookResponse:
        """The document for a call: an inbound one that rings, or one of ours (query `call`) that was answered."""
        host, form = self._read(request)
        call_sid = _call_sid(form)
        dialled = request.query.get("call")
        if dialled is not None:
            answer = await host.call_answered(dialled, call_sid)
        elif form.get("Direction", "inbound").startswith("outbound"):
            raise InputError("Twilio asks for the document of an outbound call without saying of which")
        else:
            answer = await host.incoming_call(_offer(call_sid, form))
        return WebhookResponse(200, self._document(answer, answered=dialled is not None), twiml.CONTENT_TYPE)

    async def status(self, request: WebhookRequest) -> WebhookResponse:
        """Progress of a call. Twilio promises no order, and reports may come twice."""
        host, form = self._read(request)
        status = STATUSES.get(form.get("CallStatus", ""))
        if status is None:
            raise InputError("Twilio reports a call status that is not known")
        sip_code = form.get("SipResponseCode", "")
        host.call_status(
            StatusReport(
                _call_sid(form),
                status,
                sequence=_number(form.get("SequenceNumber")),
                duration_s=_number(form.get("CallDuration")),
                reason=f"SIP {sip_code}"
                if re.fullmatch(r"[1-6][0-9]{2}", sip_code) and sip_code != "200"
                else "",
            )
        )
        return WebhookResponse(204)

    async def machine_detection(self, request: WebhookRequest) -> WebhookResponse:
        """The result of asynchronous machine detection."""
        host, form = self._read(request)
        raw = _line(form.get("AnsweredBy", ""))
        detection = MachineDetection(ANSWERED_BY.get(raw, "unknown"), raw, host.environment.clock.monotonic())
        host.machine_detected(_call_sid(form), detection)
        return WebhookResponse(204)

    async def whisper(self, request: WebhookRequest) -> WebhookResponse:
        """What is said to the human who answers a warm transfer, before the two are connected."""
        self._read(request)
        transfer = self._transfers.get(request.query.get("transfer", ""))
        summary = transfer.summary if transfer is not None else ""
        config = self._config
        document = twiml.say(summary, voice=config.voice, language=config.voice_language)
        return WebhookResponse(200, document, twiml.CONTENT_TYPE)

    async def transferred(self, request: WebhookRequest) -> WebhookResponse:
        """A warm transfer is over: the caller is told if nobody took it."""
        _, form = self._read(request)
        transfer = self._transfers.take(request.query.get("transfer", ""))
        talked = form.get("DialCallStatus") == "completed" and form.get("DialBridged") != "false"
        message = "" if talked else UNTAKEN if transfer is None else transfer.failure_message
        config = self._config
        document = twiml.say_and_hangup(message, voice=config.voice, language=config.voice_language)
        return WebhookResponse(200, document, twiml.CONTENT_TYPE)

    def _read(self, request: WebhookRequest) -> tuple[CarrierHost, dict[str, str]]:
        self.verify(request)
        if self._host is None:
            raise ConfigError("Twilio's webhooks are not attached to a phone that serves")
        try:
            form = dict(request.form())
        except ValueError:
            raise InputError("Twilio request with a form that cannot be read") from None
        if form.get("AccountSid") != self._config.account_sid:
            raise InputError("Twilio request about another account than the configured one")
        return self._host, form

    def _document(self, answer: CallAnswer, *, answered: bool) -> str:
        if isinstance(answer, Connect):
            return twiml.connect_stream(answer.stream_url)
        return self._refusal(answer, answered=answered)

    def _refusal(self, answer: Refuse, *, answered: bool) -> str:
        if answer.message.strip():
            return twiml.say_and_hangup(
                answer.message, voice=self._config.voice, language=self._config.voice_language
            )
        return twiml.hangup() if answered else twiml.reject(busy=answer.status is CallStatus.BUSY)


def signature_check(config: TwilioConfig) -> SignatureCheck | None:
    """The check for an account; None without an auth token."""
    if config.auth_token is None:
        return None
    shared = config.shared_key_secret
    return SignatureCheck(
        config.auth_token.get_secret_value(),
        config.shared_key_id,
        None if shared is None else shared.get_secret_value(),
    )


def _offer(call_sid: str, form: Mapping[str, str]) -> CallOffer:
    parameters = {name: _line(form[name]) for name in CALLER_FIELDS if form.get(name)}
    return CallOffer(call_sid, _line(form.get("From", "")), _line(form.get("To", "")), parameters)


def _line(value: str) -> str:
    """A field as one line of bounded length: a caller chooses his SIP name, and it will be logged and shown."""
    return "".join(character for character in value[:_MAX_FIELD] if character.isprintable())


def _call_sid(form: Mapping[str, str]) -> str:
    sid = form.get("CallSid", "")
    if CALL_SID.fullmatch(sid) is None:
        raise InputError("Twilio request without a valid CallSid")
    return sid


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,9}", text) else None
