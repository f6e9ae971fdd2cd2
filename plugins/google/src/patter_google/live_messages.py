"""The messages to Gemini Live, and what may be believed of those that come back. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from patter.providers.vendor_json import text

if TYPE_CHECKING:
    from patter.providers.realtime import RealtimeSession
    from patter_google.live_config import GeminiLiveConfig

ClientMessage = dict[str, Any]

#: rate of the caller's audio and of the agent's, in Hz: the vendor's own
HEARD_RATE: Final = 16_000
SPOKEN_RATE: Final = 24_000
#: of an id or a name
LONGEST_NAME: Final = 200
#: of what a session is resumed with
LONGEST_HANDLE: Final = 8_192

_ROLES: Final = {"user": "user", "assistant": "model"}
_URL_SAFE: Final = str.maketrans("-_", "+/")


def dumped(message: ClientMessage) -> str:
    """A message as text."""
    return json.dumps(message, separators=(",", ":"))


# -- to the vendor


def setup(config: GeminiLiveConfig, session: RealtimeSession, handle: str = "") -> ClientMessage:
    """All settings of a session; the same for a parked and a live connection (PW-03, PW-10).

    `handle` is what a session is resumed with; the key of it is left out where there is none, which some models refuse.
    """
    resumption = {"handle": handle} if handle else {}
    body: dict[str, Any] = {
        **config.extra_setup,
        "model": config.model if "/" in config.model else f"models/{config.model}",
        "generationConfig": _generation(config, session),
        "realtimeInputConfig": _turns(config, patter_decides=session.patter_decides),
        "sessionResumption": resumption,
    }
    if session.instructions:
        body["systemInstruction"] = {"parts": [{"text": session.instructions}]}
    if session.tools:
        body["tools"] = [{"functionDeclarations": _tools(session)}]
    if config.transcription:
        body["inputAudioTranscription"] = {"languageCodes": [session.language]} if session.language else {}
        body["outputAudioTranscription"] = {}
    if config.compression:
        body["contextWindowCompression"] = {"slidingWindow": {}}
    if not handle and not config.asks_with_content and history(config, session) is not None:
        body["historyConfig"] = {"initialHistoryInClientContent": True}
    return {"setup": body}


def _generation(config: GeminiLiveConfig, session: RealtimeSession) -> dict[str, Any]:
    speech: dict[str, Any] = {}
    if config.voice is not None:
        speech["voiceConfig"] = {"prebuiltVoiceConfig": {"voiceName": config.voice}}
    if session.language is not None:
        speech["languageCode"] = session.language
    more = config.extra_setup.get("generationConfig")
    settings: dict[str, Any] = {**(more if isinstance(more, dict) else {}), "responseModalities": ["AUDIO"]}
    if speech:
        settings["speechConfig"] = speech
    if config.temperature is not None:
        settings["temperature"] = config.temperature
    if config.max_output_tokens is not None:
        settings["maxOutputTokens"] = config.max_output_tokens
    return settings


def _turns(config: GeminiLiveConfig, *, patter_decides: bool) -> dict[str, Any]:
    """Where Patter decides, nothing but its own word begins or ends a turn of the caller (RT-24)."""
    if patter_decides:
        return {
            "automaticActivityDetection": {"disabled": True},
            "activityHandling": "START_OF_ACTIVITY_INTERRUPTS",
        }
    found: dict[str, Any] = {"disabled": False}
    if config.start_sensitivity is not None:
        found["startOfSpeechSensitivity"] = f"START_SENSITIVITY_{config.start_sensitivity.upper()}"
    if config.end_sensitivity is not None:
        found["endOfSpeechSensitivity"] = f"END_SENSITIVITY_{config.end_sensitivity.upper()}"
    if config.prefix_padding_ms is not None:
        found["prefixPaddingMs"] = config.prefix_padding_ms
    if config.silence_duration_ms is not None:
        found["silenceDurationMs"] = config.silence_duration_ms
    return {"automaticActivityDetection": found, "activityHandling": "START_OF_ACTIVITY_INTERRUPTS"}


def _tools(session: RealtimeSession) -> list[dict[str, Any]]:
    declared: list[dict[str, Any]] = []
    for tool in session.tools:
        one: dict[str, Any] = {"name": tool.name, "description": tool.description}
        if tool.parameters.get("properties"):
            one["parametersJsonSchema"] = dict(tool.parameters)
        declared.append(one)
    return declared


def history(config: GeminiLiveConfig, session: RealtimeSession) -> ClientMessage | None:
    """What was said before, which asks for no response; None when nothing was."""
    turns = [
        {"role": _ROLES[message.role], "parts": [{"text": message.content}]}
        for message in session.history
        if message.role in _ROLES and message.content
    ]
    if not turns:
        return None
    return {"clientContent": {"turns": turns, "turnComplete": not config.asks_with_content}}


def audio(chunk: bytes) -> str:
    """The caller's next audio, ready to be sent: base64 needs no escaping, so no JSON is made for each frame."""
    encoded = binascii.b2a_base64(chunk, newline=False).decode("ascii")
    kind = f"audio/pcm;rate={HEARD_RATE}"
    return f'{{"realtimeInput":{{"audio":{{"data":"{encoded}","mimeType":"{kind}"}}}}}}'


def activity(*, begins: bool) -> ClientMessage:
    """The caller's turn begins, which stops what the model says, or ends, which it answers."""
    return {"realtimeInput": {"activityStart" if begins else "activityEnd": {}}}


def request(config: GeminiLiveConfig, exact_text: str) -> ClientMessage:
    """Ask for a response; with a text, for that text word for word. There is no message that guarantees the words."""
    asked = (
        "Say the text between the quotation marks exactly as it stands, word for word, in its own language. "
        f'Say nothing before it and nothing after it, and call no function: "{exact_text}"'
        if exact_text
        else "Please go on."
    )
    if config.asks_with_content:
        turn = {"role": "user", "parts": [{"text": asked}]}
        return {"clientContent": {"turns": [turn], "turnComplete": True}}
    return {"realtimeInput": {"text": asked}}


def tool_response(results: Iterable[tuple[str, str, str]]) -> ClientMessage:
    """The results of all calls of one message, as (id, name, output); the model then goes on by itself."""
    answers = [{"id": one, "name": name, "response": {"output": output}} for one, name, output in results]
    return {"toolResponse": {"functionResponses": answers}}


# -- from the vendor


def parts(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of the list under that name."""
    value = fields.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def spoken(inline: Mapping[str, Any]) -> bytes:
    """The audio of a part, in either alphabet of base64; b"" if there is none that can be read."""
    data = inline.get("data")
    if not isinstance(data, str) or not text(inline, "mimeType").startswith("audio/pcm"):
        return b""
    try:
        return base64.b64decode(data.translate(_URL_SAFE) + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def seconds(value: object, default: float) -> float:
    """A duration such as ``9.5s``, from 0 to 600 s."""
    if isinstance(value, str) and len(value) <= 20 and value.endswith("s"):
        try:
            found = float(value[:-1])
        except ValueError:
            return default
        return min(max(found, 0.0), 600.0) if found == found else default
    return default
