"""What the simulated vendor takes for a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_FIELDS: Final = frozenset(
    [
        "systemPrompt",
        "model",
        "voice",
        "externalVoice",
        "temperature",
        "languageHint",
        "initialMessages",
        "joinTimeout",
        "maxDuration",
        "timeExceededMessage",
        "inactivityMessages",
        "selectedTools",
        "medium",
        "recordingEnabled",
        "firstSpeaker",
        "firstSpeakerSettings",
        "vadSettings",
        "initialOutputMedium",
        "metadata",
        "initialState",
        "dataConnection",
        "callbacks",
    ]
)
_DATA_MESSAGES: Final = frozenset(
    [
        "pong",
        "state",
        "transcript",
        "clientToolInvocation",
        "playbackClearBuffer",
        "callStarted",
        "debug",
        "callEvent",
        "toolUsed",
    ]
)
_MESSAGE_ROLES: Final = frozenset({"MESSAGE_ROLE_USER", "MESSAGE_ROLE_AGENT"})
_RATES: Final = frozenset({8000, 16000, 22050, 24000, 32000, 44100, 48000})
_DURATION: Final = re.compile(r"\d+(\.\d+)?s")


class BadCall(Exception):
    """A request that the vendor answers with 400."""


def check_call(body: Any) -> None:
    """Raises `BadCall` for a call that the vendor would not make."""
    fields = _object(body, _FIELDS, "the call")
    for name in ("joinTimeout", "maxDuration"):
        _duration(fields.get(name, "30s"), name)
    if len(fields.get("languageHint", "")) > 16:
        raise BadCall("languageHint: at most 16 characters")
    temperature = fields.get("temperature", 0)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 1:
        raise BadCall("temperature: from 0 to 1")
    if "voice" in fields and "externalVoice" in fields:
        raise BadCall("voice and externalVoice exclude each other")
    _first_speaker(fields)
    _medium(fields.get("medium"))
    for message in fields.get("initialMessages", ()):
        _object(message, frozenset({"role", "text", "medium"}), "initialMessages")
        if message.get("role") not in _MESSAGE_ROLES:
            raise BadCall(f"initialMessages: unknown role {message.get('role')!r}")
    for tool in fields.get("selectedTools", ()):
        _tool(tool)


def _first_speaker(fields: Mapping[str, Any]) -> None:
    if "firstSpeakerSettings" not in fields:
        return
    settings = _object(fields["firstSpeakerSettings"], frozenset({"agent", "user"}), "firstSpeakerSettings")
    if len(settings) != 1:
        raise BadCall("firstSpeakerSettings: exactly one of agent and user")
    (who,) = settings
    if fields.get("firstSpeaker", f"FIRST_SPEAKER_{who.upper()}") != f"FIRST_SPEAKER_{who.upper()}":
        raise BadCall("firstSpeaker and firstSpeakerSettings contradict each other")
    if who == "agent":
        agent = _object(settings["agent"], frozenset({"uninterruptible", "text", "prompt", "delay"}), "agent")
        if "text" in agent and "prompt" in agent:
            raise BadCall("firstSpeakerSettings.agent: text and prompt exclude each other")
        _duration(agent.get("delay", "0s"), "delay")
    else:
        _object(settings["user"], frozenset({"fallback"}), "user")


def _medium(medium: Any) -> None:
    if medium is None or "serverWebSocket" not in medium:
        raise BadCall("medium: this simulator has server WebSockets alone")
    known = frozenset({"inputSampleRate", "outputSampleRate", "clientBufferSizeMs", "dataMessages"})
    socket = _object(medium["serverWebSocket"], known, "serverWebSocket")
    if socket.get("inputSampleRate") not in _RATES:
        raise BadCall("serverWebSocket.inputSampleRate: required")
    if socket.get("outputSampleRate", 8000) not in _RATES:
        raise BadCall("serverWebSocket.outputSampleRate")
    _object(socket.get("dataMessages", {}), _DATA_MESSAGES, "dataMessages")


def _tool(tool: Any) -> None:
    selected = _object(tool, frozenset({"temporaryTool", "toolName", "toolId"}), "selectedTools")
    if "temporaryTool" not in selected:
        return
    known = frozenset(
        [
            "modelToolName",
            "description",
            "dynamicParameters",
            "staticParameters",
            "client",
            "http",
            "timeout",
            "agentReaction",
        ]
    )
    temporary = _object(selected["temporaryTool"], known, "temporaryTool")
    name = temporary.get("modelToolName", "")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise BadCall(f"modelToolName: {name!r}")
    if ("client" in temporary) == ("http" in temporary):
        raise BadCall(f"{name}: exactly one of client and http")
    for parameter in temporary.get("dynamicParameters", ()):
        one = _object(parameter, frozenset({"name", "location", "schema", "required"}), name)
        if not one.get("name") or not isinstance(one.get("schema"), dict):
            raise BadCall(f"{name}: a parameter needs a name and a schema")


def _object(value: Any, known: frozenset[str], what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadCall(f"{what}: an object")
    unknown = sorted(set(value) - known)
    if unknown:
        raise BadCall(f"{what}: unknown fields {unknown}")
    return value


def _duration(value: Any, name: str) -> None:
    if not isinstance(value, str) or not _DURATION.fullmatch(value):
        raise BadCall(f"{name}: a duration such as '30s'")
