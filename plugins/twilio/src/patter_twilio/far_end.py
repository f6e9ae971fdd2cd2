"""Twilio's end of a media stream, message by message, for simulated calls in virtual time."""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping

from patter.providers.carrier import MediaProtocol
from patter.testing.far_end import FarEnd, Sent
from patter_twilio.media import TwilioMedia


class TwilioFarEnd(FarEnd):
    """What Twilio writes and reads; see https://www.twilio.com/docs/voice/media-streams/websocket-messages."""

    def __init__(self, number: int) -> None:
        self.carrier_call_id = f"CA{number:032x}"
        self._stream_sid = f"MZ{number:032x}"
        self._sequence = 0
        self._chunk = 0

    def protocol(self) -> MediaProtocol:
        """A fresh protocol."""
        return TwilioMedia()

    def opening(self) -> list[str]:
        """`connected` and `start`."""
        start = {
            "accountSid": f"AC{0:032x}",
            "streamSid": self._stream_sid,
            "callSid": self.carrier_call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {},
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return [json.dumps(connected, separators=(",", ":")), self._message("start", start)]

    def audio(self, payload: bytes) -> str:
        """As Twilio spells it; 20 ms a chunk."""
        self._sequence += 1
        self._chunk += 1
        encoded = binascii.b2a_base64(payload, newline=False).decode("ascii")
        return (
            f'{{"event":"media","sequenceNumber":"{self._sequence}","streamSid":"{self._stream_sid}",'
            f'"media":{{"track":"inbound","chunk":"{self._chunk}","timestamp":"{self._chunk * 20}",'
            f'"payload":"{encoded}"}}}}'
        )

    def mark(self, name: str) -> str:
        """The name."""
        return self._message("mark", {"name": name})

    def digit(self, digit: str) -> str:
        """The key."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def stop(self) -> str:
        """The end of the stream."""
        return self._message("stop", {"accountSid": f"AC{0:032x}", "callSid": self.carrier_call_id})

    def read(self, text: str) -> Sent:
        """By its event."""
        message = json.loads(text)
        assert message["streamSid"] == self._stream_sid, "a message of another stream"
        event = message["event"]
        if event == "media":
            return "audio", binascii.a2b_base64(message["media"]["payload"], strict_mode=True)
        if event == "mark":
            return "mark", message["mark"]["name"]
        assert event == "clear", f"an event that Twilio does not know: {event!r}"
        return "clear", None

    def _message(self, event: str, body: Mapping[str, object]) -> str:
        self._sequence += 1
        message = {
            "event": event,
            "sequenceNumber": str(self._sequence),
            "streamSid": self._stream_sid,
            event: body,
        }
        return json.dumps(message, separators=(",", ":"))
