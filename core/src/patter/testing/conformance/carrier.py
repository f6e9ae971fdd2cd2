"""What a telephone carrier must do."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from patter.audio.formats import AudioFormat
from patter.environment import Environment
from patter.errors import InputError, WebhookVerificationError
from patter.providers.carrier import (
    CallAnswer,
    CallOffer,
    Carrier,
    MachineDetection,
    MediaProtocol,
    Refuse,
    StatusReport,
    StreamStarted,
    WebhookRequest,
)
from patter.records import CarrierRecord, ProviderKind
from patter.testing.conformance.billing import BilledConformance
from patter.testing.conformance.subject import Server, Subject, closed

MALFORMED = (
    "",
    "no json",
    "null",
    "[]",
    "{}",
    '"text"',
    '{"event": null}',
    '{"event": ["media"]}',
    '{"event": "no-such-event"}',
    '{"event": "media"}',
    '{"event": "media", "media": "text"}',
    '{"event": "media", "media": {"payload": 7}}',
    '{"event": "media", "media": {"payload": "%%%"}}',
    '{"event": "start", "start": {}}',
    '{"event": "mark"}',
    '{"event": "dtmf", "dtmf": {"digit": "Z"}}',
    "[" * 50_000,
    '{"event": "media", "media": {"payload": "' + "A" * 900_000,
)


class RefusingHost:
    """A host that takes no call and notes what reached it."""

    def __init__(self) -> None:
        self.environment = Environment()
        self.reached: list[str] = []

    def webhook_url(self, name: str, **query: str) -> str:
        """An address that leads nowhere."""
        return f"https://phone.invalid/webhooks/{name}"

    async def incoming_call(self, offer: CallOffer) -> CallAnswer:
        """Refuse."""
        self.reached.append("incoming_call")
        return Refuse("")

    async def call_answered(self, call_id: str, carrier_call_id: str) -> CallAnswer:
        """Refuse."""
        self.reached.append("call_answered")
        return Refuse("")

    def call_status(self, report: StatusReport) -> None:
        """Note it."""
        self.reached.append("call_status")

    def machine_detected(self, carrier_call_id: str, detection: MachineDetection) -> None:
        """Note it."""
        self.reached.append("machine_detected")


class CarrierConformance(BilledConformance):
    """Checks of `patter.providers.carrier.Carrier`.

    Attributes:
        start_messages: what the carrier sends at the start of a stream, up to the message that starts it.
    """

    kind: ClassVar[ProviderKind] = "carrier"
    start_messages: ClassVar[Sequence[str]] = ()

    def started(self, carrier: Carrier) -> MediaProtocol:
        """A protocol whose stream has started."""
        protocol, event = carrier.media_protocol(), None
        for message in self.start_messages:
            event = protocol.parse(message)
        if self.start_messages:
            assert isinstance(event, StreamStarted)
            assert event.audio_format == carrier.audio_format()
            assert event.carrier_call_id
        return protocol

    async def work(self, provider: Any) -> None:
        """Attach to a host, and make a protocol."""
        provider.attach(RefusingHost())
        assert self.started(provider).media(b"\xff" * 160)

    def test_it_has_a_format_and_a_fresh_protocol_for_each_connection(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            carrier = subject.make()
            assert isinstance(carrier, Carrier)
            assert isinstance(carrier.audio_format(), AudioFormat)
            first, second = carrier.media_protocol(), carrier.media_protocol()
            assert isinstance(first, MediaProtocol)
            assert first is not second
            await closed(carrier)

        self.run(server, check)

    @pytest.mark.parametrize("number", range(len(MALFORMED)))
    def test_a_malformed_message_is_an_input_error_and_nothing_else(
        self, server: Server, number: int
    ) -> None:
        async def check(subject: Subject) -> None:
            carrier = subject.make()
            for protocol in (carrier.media_protocol(), self.started(carrier)):
                with pytest.raises(InputError):
                    protocol.parse(MALFORMED[number])
            await closed(carrier)

        self.run(server, check)

    def test_messages_to_the_carrier_are_json_and_carry_the_audio_unchanged(self, server: Server) -> None:
        audio = bytes(range(256)) + b"\xff" * 64

        async def check(subject: Subject) -> None:
            assert isinstance(subject.record, CarrierRecord)
            carrier = subject.make()
            protocol = self.started(carrier)
            message = protocol.media(audio)
            assert json.loads(message)
            assert base64.b64encode(audio).decode() in message
            if subject.record.marks:
                assert "mark-17" in protocol.mark("mark-17")
            if subject.record.clear:
                assert json.loads(protocol.clear())
            await closed(carrier)

        self.run(server, check)

    def test_what_the_record_declares_the_carrier_does(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            record, carrier = subject.record, subject.make()
            assert isinstance(record, CarrierRecord)
            declared = {
                "send_dtmf": record.dtmf_out,
                "transfer_warm": "warm" in record.transfers,
                "start_recording": record.recording,
                "speak_and_hangup": record.speaks,
            }
            own = {name: getattr(type(carrier), name) is not getattr(Carrier, name) for name in declared}
            missing = [name for name, promised in declared.items() if promised and not own[name]]
            assert missing == []
            await closed(carrier)

        self.run(server, check)

    def test_a_webhook_without_a_signature_is_refused_before_anything_else(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            carrier, host = subject.make(), RefusingHost()
            carrier.attach(host)
            for name, handler in carrier.webhooks().items():
                for body in (b"", b"CallSid=CA1&From=%2B15550001111", b"{", b"\xff\xfe" * 1000):
                    request = WebhookRequest("POST", host.webhook_url(name), {}, body)
                    with pytest.raises(WebhookVerificationError):
                        await handler(request)
            assert host.reached == []
            await closed(carrier)

        self.run(server, check)
