"""The messages of a Media Streams connection: https://www.twilio.com/docs/voice/media-streams/websocket-messages.

Audio arrives and leaves as a message every 20 ms, so these two have a short way. For audio from the caller it is
taken only for a message spelt exactly as Twilio spells it; every other spelling is read as JSON, with the same result.
"""

from __future__ import annotations

import binascii
import json
import re
from typing import Any

from patter.audio.formats import MULAW_8K
from patter.errors import InputError, InternalError
from patter.providers.carrier import (
    AudioReceived,
    DigitPressed,
    MarkReached,
    MediaEvent,
    MediaProtocol,
    StreamStarted,
    StreamStopped,
)

#: Longest message that is read, in characters; Twilio's are below 400.
MAX_MESSAGE = 64 * 1024
#: Most audio in one message, in bytes: 2 s. Twilio sends 160.
MAX_AUDIO = 16_000
MAX_PARAMETERS = 64
MAX_PARAMETER_LENGTH = 4096
MAX_NAME_LENGTH = 256

_STREAM_SID = re.compile(r"MZ[0-9a-fA-F]{32}")
_CALL_SID = re.compile(r"CA[0-9a-fA-F]{32}")
_DIGIT = re.compile(r"[0-9*#A-D]")
# The spelling Twilio uses. Its strings hold digits and hexadecimal only, hence neither quotes nor escapes; the payload
# follows and is held to the base64 alphabet by its decoder.
_AUDIO_HEAD = re.compile(
    r'\{"event":"media","sequenceNumber":"[0-9]++","streamSid":"([0-9A-Za-z]++)",'
    r'"media":\{"track":"inbound","chunk":"[0-9]++","timestamp":"[0-9]++","payload":"'
)
_AUDIO_TAIL = '"}}'


class TwilioMedia(MediaProtocol):
    """One media stream, µ-law at 8 kHz both ways."""

    def __init__(self) -> None:
        self._stream_sid = ""
        self._stopped = False
        self._audio_head = ""
        self._control_tail = ""

    def parse(self, text: str) -> MediaEvent | None:
        """Read one message; see `MediaProtocol.parse`."""
        if len(text) > MAX_MESSAGE:
            raise InputError(f"Twilio message of {len(text)} characters; at most {MAX_MESSAGE} are read")
        head = _AUDIO_HEAD.match(text)
        if (
            head is not None
            and head[1] == self._stream_sid
            and not self._stopped
            and text.endswith(_AUDIO_TAIL)
        ):
            try:
                payload = binascii.a2b_base64(text[head.end() : -3], strict_mode=True)
            except ValueError:
                pass
            else:
                if 0 < len(payload) <= MAX_AUDIO:
                    return AudioReceived(payload)
        return self._parse_json(text)

    def media(self, payload: bytes) -> str:
        """The message that plays `payload`, headerless µ-law at 8 kHz."""
        if not self._audio_head:
            raise InternalError("media for a Twilio stream that has not started")
        return self._audio_head + binascii.b2a_base64(payload, newline=False).decode("ascii") + _AUDIO_TAIL

    def mark(self, name: str) -> str:
        """The message that asks for a mark."""
        return '{"event":"mark"' + self._control() + ',"mark":{"name":' + json.dumps(name) + "}}"

    def clear(self) -> str:
        """The message that empties Twilio's playout buffer; it answers with all marks that were pending."""
        return '{"event":"clear"' + self._control() + "}"

    def _control(self) -> str:
        if not self._control_tail:
            raise InternalError("a control message for a Twilio stream that has not started")
        return self._control_tail

    def _parse_json(self, text: str) -> MediaEvent | None:
        message = _object(_decoded(text), "message")
        event = message.get("event")
        if event == "connected":
            return None
        if event == "start":
            return self._started(message)
        self._require_stream(message)
        if event == "media":
            return _audio(_object(message.get("media"), "media"))
        if event == "mark":
            return MarkReached(_name(_object(message.get("mark"), "mark").get("name"), "mark name"))
        if event == "dtmf":
            return DigitPressed(_matching(_DIGIT, _object(message.get("dtmf"), "dtmf").get("digit"), "digit"))
        if event == "stop":
            self._stopped = True
            return StreamStopped()
        raise InputError(
            f"Twilio message with an unknown event: {ascii(event)[:80] if isinstance(event, str) else '?'}"
        )

    def _require_stream(self, message: dict[str, Any]) -> None:
        if not self._stream_sid:
            raise InputError("Twilio message before the start of its stream")
        if message.get("streamSid") != self._stream_sid:
            raise InputError("Twilio message of another stream")
        if self._stopped:
            raise InputError("Twilio message after the end of its stream")

    def _started(self, message: dict[str, Any]) -> StreamStarted:
        if self._stream_sid:
            raise InputError("second start on a Twilio stream")
        start = _object(message.get("start"), "start")
        stream_sid = _matching(_STREAM_SID, message.get("streamSid"), "streamSid")
        if start.get("streamSid", stream_sid) != stream_sid:
            raise InputError("Twilio start with two stream ids")
        call_sid = _matching(_CALL_SID, start.get("callSid"), "callSid")
        _require_mulaw(_object(start.get("mediaFormat"), "mediaFormat"))
        parameters = _parameters(start.get("customParameters"))
        self._stream_sid = stream_sid
        self._control_tail = f',"streamSid":"{stream_sid}"'
        self._audio_head = f'{{"event":"media"{self._control_tail},"media":{{"payload":"'
        return StreamStarted(stream_sid, call_sid, MULAW_8K, parameters)


def _decoded(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"Twilio message that is no JSON ({type(error).__name__})") from None


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"Twilio {what} is no JSON object but {type(value).__name__}")
    return value


def _matching(pattern: re.Pattern[str], value: object, what: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise InputError(f"Twilio {what} is malformed")
    return value


def _name(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME_LENGTH or not value.isprintable():
        raise InputError(f"Twilio {what} is malformed")
    return value


def _audio(media: dict[str, Any]) -> AudioReceived:
    if media.get("track", "inbound") != "inbound":
        raise InputError("Twilio audio of another track than the caller's")
    payload = media.get("payload")
    if not isinstance(payload, str):
        raise InputError("Twilio audio without a payload")
    try:
        audio = binascii.a2b_base64(payload, strict_mode=True)
    except ValueError:
        raise InputError("Twilio audio that is no base64") from None
    if not 0 < len(audio) <= MAX_AUDIO:
        raise InputError(f"Twilio audio of {len(audio)} bytes; 1 to {MAX_AUDIO} are taken")
    return AudioReceived(audio)


def _require_mulaw(media_format: dict[str, Any]) -> None:
    encoding, rate, channels = (media_format.get(key) for key in ("encoding", "sampleRate", "channels"))
    if encoding != "audio/x-mulaw" or rate not in (8000, "8000") or channels not in (1, "1"):
        raise InputError("Twilio stream that is not mono µ-law at 8 kHz")


def _parameters(value: object) -> dict[str, str]:
    if value is None:
        return {}
    parameters = _object(value, "customParameters")
    if len(parameters) > MAX_PARAMETERS:
        raise InputError(f"Twilio start with {len(parameters)} parameters; at most {MAX_PARAMETERS} are read")
    for name, text in parameters.items():
        if not isinstance(text, str) or max(len(name), len(text)) > MAX_PARAMETER_LENGTH:
            raise InputError("Twilio parameter that is no text or too long")
        if any("\ud800" <= character <= "\udfff" for character in name + text):
            raise InputError("Twilio parameter with half a character")
    return parameters
