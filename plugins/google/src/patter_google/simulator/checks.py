"""What the simulated vendor takes for a message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_MEMBERS: Final = ("setup", "clientContent", "realtimeInput", "toolResponse", "contextUpdate")
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "setup": frozenset(
        [
            "model",
            "generationConfig",
            "systemInstruction",
            "tools",
            "realtimeInputConfig",
            "inputAudioTranscription",
            "outputAudioTranscription",
            "sessionResumption",
            "contextWindowCompression",
            "historyConfig",
            "proactivity",
            "explicitVadSignal",
            "safetySettings",
        ]
    ),
    "setup.generationConfig": frozenset(
        [
            "responseModalities",
            "temperature",
            "maxOutputTokens",
            "speechConfig",
            "thinkingConfig",
            "enableAffectiveDialog",
            "topP",
            "topK",
            "seed",
            "mediaResolution",
        ]
    ),
    "setup.generationConfig.speechConfig": frozenset({"voiceConfig", "languageCode"}),
    "setup.realtimeInputConfig": frozenset(
        {"automaticActivityDetection", "activityHandling", "turnCoverage"}
    ),
    "setup.realtimeInputConfig.automaticActivityDetection": frozenset(
        [
            "disabled",
            "startOfSpeechSensitivity",
            "endOfSpeechSensitivity",
            "prefixPaddingMs",
            "silenceDurationMs",
        ]
    ),
    "setup.sessionResumption": frozenset({"handle", "transparent"}),
    "setup.contextWindowCompression": frozenset({"triggerTokens", "slidingWindow"}),
    "setup.historyConfig": frozenset({"initialHistoryInClientContent"}),
    "setup.inputAudioTranscription": frozenset({"languageCodes"}),
    "setup.outputAudioTranscription": frozenset({"languageCodes"}),
    "clientContent": frozenset({"turns", "turnComplete"}),
    "realtimeInput": frozenset(
        ["audio", "text", "activityStart", "activityEnd", "audioStreamEnd", "mediaChunks", "video"]
    ),
    "realtimeInput.audio": frozenset({"data", "mimeType"}),
    "toolResponse": frozenset({"functionResponses"}),
    "contextUpdate": frozenset({"systemInstruction", "tools"}),
}
_RESPONSE: Final = frozenset({"id", "name", "response", "scheduling", "willContinue"})
_FUNCTION: Final = frozenset(
    {"name", "description", "parameters", "parametersJsonSchema", "behavior", "response"}
)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
#: below these the client's own names begin
_OPAQUE: Final = frozenset({"parametersJsonSchema", "parameters", "args", "response"})
_UNDERSCORE: Final = re.compile(r"_([a-z])")


class BadMessage(Exception):
    """A message upon which the vendor closes the socket with 1007."""


def camel_case(value: Any) -> Any:
    """The message with the names of its fields as they are on the wire: the vendor takes both spellings."""
    if isinstance(value, list):
        return [camel_case(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {_UNDERSCORE.sub(lambda found: found[1].upper(), key): one for key, one in value.items()}
    return {key: one if key in _OPAQUE else camel_case(one) for key, one in named.items()}


def member_of(message: Any) -> str:
    """Which of the messages it is; its fields are known ones. Raises `BadMessage`."""
    if not isinstance(message, dict):
        raise BadMessage("Invalid JSON payload received.")
    for name in message:
        if name not in _MEMBERS:
            raise BadMessage(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    if len(message) != 1:
        raise BadMessage("Invalid value (oneof), oneof field 'message_type' is already set.")
    (name,) = message
    _check(name, message[name])
    return str(name)


def _check(path: str, value: Any) -> None:
    known = _FIELDS.get(path)
    if known is None:
        return
    if not isinstance(value, dict):
        raise BadMessage(f"Invalid value at '{path}'.")
    for name, one in value.items():
        if name not in known:
            raise BadMessage(
                f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
            )
        _check(f"{path}.{name}", one)
    if path == "setup":
        _functions(value.get("tools", []))
    if path == "toolResponse":
        for one in value.get("functionResponses", []):
            _known(one, _RESPONSE, "toolResponse.functionResponses")


def _functions(tools: Any) -> None:
    for tool in tools:
        for one in tool.get("functionDeclarations", []):
            _known(one, _FUNCTION, "setup.tools")
            if not _NAME.fullmatch(one.get("name", "")):
                raise BadMessage("Invalid function name.")
            if "parameters" in one and "parametersJsonSchema" in one:
                raise BadMessage("parameters and parametersJsonSchema exclude each other.")


def _known(value: Any, known: frozenset[str], path: str) -> None:
    unknown = sorted(set(value) - known)
    if unknown:
        raise BadMessage(
            f"Invalid JSON payload received. Unknown name \"{unknown[0]}\" at '{path}': Cannot find field."
        )
