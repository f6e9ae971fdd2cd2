"""What is sent to an agent, and what may be believed of what it sends."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from patter.audio.formats import AudioFormat, Encoding

if TYPE_CHECKING:
    from patter.providers.realtime import RealtimeSession
    from patter_elevenlabs.convai_config import ElevenLabsConvaiConfig

#: of an id or a name
LONGEST_NAME: Final = 200
#: how much of a lost conversation is told to the one that goes on, in characters
LONGEST_HISTORY: Final = 20_000

_RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
_FORMATS: Final = {
    "ulaw_8000": AudioFormat(Encoding.MULAW, 8000),
    **{f"pcm_{rate}": AudioFormat(Encoding.PCM16, rate) for rate in _RATES},
}
_CODE = re.compile(r"[A-Za-z0-9_]{1,64}")
_SPEAKERS: Final = {"user": "Caller", "assistant": "You"}


# -- to the agent


def initiation(config: ElevenLabsConvaiConfig, session: RealtimeSession) -> dict[str, Any]:
    """The first message of a conversation: what this call changes of the agent, and nothing else (RT-22).

    Each override has to be allowed in the agent, so what nobody asked for is left out. With no first message the agent
    begins as it is set up, except where a lost conversation goes on: there it waits, since it has greeted before.
    """
    agent: dict[str, Any] = {}
    prompt: dict[str, Any] = {}
    if session.instructions and not config.hosted_prompt:
        prompt["prompt"] = session.instructions
    if config.llm is not None:
        prompt["llm"] = config.llm
    if prompt:
        agent["prompt"] = prompt
    if session.first_message or session.history:
        agent["first_message"] = "" if session.history else session.first_message
    if session.language is not None:
        agent["language"] = session.language
    override: dict[str, Any] = {"agent": agent} if agent else {}
    if config.voice_id is not None:
        override["tts"] = {"voice_id": config.voice_id}
    message: dict[str, Any] = {"type": "conversation_initiation_client_data"}
    if override:
        message["conversation_config_override"] = override
    if config.extra_body:
        message["custom_llm_extra_body"] = config.extra_body
    if config.dynamic_variables:
        message["dynamic_variables"] = config.dynamic_variables
    if config.user_id is not None:
        message["user_id"] = config.user_id
    return message


def history_update(session: RealtimeSession) -> dict[str, Any] | None:
    """What was said before, for an agent that was not there; None for nothing. It says nothing in reply."""
    lines = [
        f"{_SPEAKERS[message.role]}: {message.content}"
        for message in session.history
        if message.role in _SPEAKERS and message.content
    ]
    if not lines:
        return None
    said = "\n".join(lines)[-LONGEST_HISTORY:]
    return {
        "type": "contextual_update",
        "text": f"This call goes on after a lost connection. What was said before:\n{said}",
    }


def audio_chunk(chunk: bytes) -> str:
    """A frame of the caller's audio: the one message without a type."""
    return f'{{"user_audio_chunk":"{base64.b64encode(chunk).decode("ascii")}"}}'


def tool_result(call_id: str, output: str) -> dict[str, Any]:
    """The result of a client tool; the vendor takes nothing but text."""
    return {"type": "client_tool_result", "tool_call_id": call_id, "result": output, "is_error": False}


# -- from the agent


def number(fields: Mapping[str, Any], name: str) -> int | None:
    """The whole number under that name; None if there is none."""
    value = fields.get(name)
    return value if type(value) is int and abs(value) < 1 << 53 else None


def code(value: object) -> str:
    """A word of the vendor's own vocabulary; "unknown" for what looks like none, which might hold anything."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "unknown"


def audio_of(fields: Mapping[str, Any]) -> bytes:
    """The audio of an event; b"" if there is none that can be read."""
    value = fields.get("audio_base_64")
    if not isinstance(value, str):
        return b""
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


def format_of(fields: Mapping[str, Any], name: str) -> AudioFormat | None:
    """The audio format that the vendor names there; None if it is none that is known."""
    value = fields.get(name)
    return _FORMATS.get(value) if isinstance(value, str) else None
