"""What a call is made of, and what may be believed of what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.llm import ToolSpec
    from patter.providers.realtime import RealtimeSession
    from patter_ultravox.config import UltravoxConfig

#: audio that the vendor may send ahead, in ms: it is told to be dropped when the caller interrupts
BUFFER_MS: Final = 30_000
#: of an id or a name
LONGEST_NAME: Final = 200
_LONGEST_URL: Final = 4_000
_LONGEST_LANGUAGE: Final = 16

_ROLES: Final = {"user": "MESSAGE_ROLE_USER", "assistant": "MESSAGE_ROLE_AGENT"}
_DATA_MESSAGES: Final = {
    "state": True,
    "transcript": True,
    "clientToolInvocation": True,
    "playbackClearBuffer": True,
    "callStarted": True,
    "debug": False,
}


def call_request(
    config: UltravoxConfig, session: RealtimeSession, formats: tuple[AudioFormat, AudioFormat]
) -> dict[str, Any]:
    """The body of the request that makes a call.

    The first message is a scripted one that nothing interrupts (RT-23); without one the caller speaks first, also where
    a lost call goes on.
    """
    takes, gives = formats
    body: dict[str, Any] = {
        **config.extra_body,
        "systemPrompt": session.instructions,
        "model": config.model,
        "maxDuration": f"{config.max_duration_s}s",
        "firstSpeakerSettings": _first_speaker("" if session.history else session.first_message),
        "medium": {
            "serverWebSocket": {
                "inputSampleRate": takes.rate,
                "outputSampleRate": gives.rate,
                "clientBufferSizeMs": BUFFER_MS,
                "dataMessages": dict(_DATA_MESSAGES),
            }
        },
    }
    if config.voice is not None:
        body["voice"] = config.voice
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if session.language is not None:
        body["languageHint"] = session.language[:_LONGEST_LANGUAGE]
    history = _history(session)
    if history:
        body["initialMessages"] = history
    if session.tools:
        body["selectedTools"] = _tools(session.tools)
    return body


def _first_speaker(first_message: str) -> dict[str, Any]:
    if not first_message:
        return {"user": {}}
    return {"agent": {"uninterruptible": True, "text": first_message}}


def _history(session: RealtimeSession) -> list[dict[str, str]]:
    return [
        {"role": _ROLES[message.role], "text": message.content}
        for message in session.history
        if message.role in _ROLES and message.content
    ]


def _tools(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """Tools of the call alone, run by its client; each property of a schema is a parameter of its own."""
    return [
        {
            "temporaryTool": {
                "modelToolName": tool.name,
                "description": tool.description,
                "dynamicParameters": _parameters(tool.parameters),
                "client": {},
            }
        }
        for tool in tools
    ]


def _parameters(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", ())
    # A property may point into the definitions of the whole schema.
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    return [
        {
            "name": name,
            "location": "PARAMETER_LOCATION_BODY",
            "schema": {**one, **shared} if "$ref" in json.dumps(one) else one,
            "required": name in required,
        }
        for name, one in schema.get("properties", {}).items()
    ]


def tool_result(call_id: str, output: str) -> dict[str, Any]:
    """The result of a client tool, upon which the agent speaks."""
    return {
        "type": "client_tool_result",
        "invocationId": call_id,
        "result": output,
        "responseType": "tool-response",
        "agentReaction": "speaks",
    }


# -- from the vendor


def join_url(answer: object, *, encrypted: bool) -> str | None:
    """Where the call is joined, which is a secret; None if the answer names no such place.

    `encrypted`: whether the call was made over TLS; then it is joined over TLS too.
    """
    url = answer.get("joinUrl") if isinstance(answer, dict) else None
    if not isinstance(url, str) or len(url) > _LONGEST_URL or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    known = ("wss",) if encrypted else ("wss", "ws")
    return url if parts.scheme in known and parts.hostname else None
