"""What the simulated vendor refuses."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from patter_elevenlabs.simulator_terms import Faults, SimulatedAgent

#: format settings that clients send although no schema has them: ignored, not refused
_IGNORED: Final = frozenset({"tts.output_format", "tts.agent_output_audio_format", "asr.input_format"})
_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "conversation_initiation_client_data": (),
    "pong": ("event_id",),
    "client_tool_result": ("tool_call_id", "result"),
    "contextual_update": ("text",),
    "user_message": (),
    "user_activity": (),
    "feedback": ("event_id", "score"),
    "mcp_tool_approval_result": ("tool_call_id", "is_approved"),
    "multimodal_message": (),
}


class Refused(Exception):
    """Ends the conversation. `error_type` is the vendor's word, `code` the close code; "" closes without an error."""

    def __init__(self, error_type: str, message: str, code: int = 1008) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.code = code


def read_message(raw: str) -> dict[str, Any]:
    """A message of the client. Raises `Refused` for what the vendor does not take."""
    try:
        message = json.loads(raw)
    except ValueError:
        raise Refused("invalid_message", "not JSON") from None
    if not isinstance(message, dict):
        raise Refused("invalid_message", "not an object")
    if "user_audio_chunk" in message:
        if len(message) > 1:
            raise Refused("invalid_message", "audio with other fields")
        return message
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _NEEDS:
        raise Refused("invalid_message", f"unknown type {kind!r}")
    missing = [name for name in _NEEDS[kind] if name not in message]
    if missing:
        raise Refused("missing_fields", ", ".join(missing))
    if kind == "client_tool_result" and not isinstance(message["result"], str):
        raise Refused("value_error", "result must be a string")
    return message


def caller_audio(message: Mapping[str, Any]) -> bytes:
    """The audio of a chunk. Raises `Refused` if it is no base64."""
    try:
        return base64.b64decode(message["user_audio_chunk"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Refused("invalid_message", "no base64") from None


def overrides(message: Mapping[str, Any], agent: SimulatedAgent, faults: Faults) -> dict[str, Any]:
    """What the conversation changes, by path, as far as the agent allows it. Raises `Refused`."""
    found = dict(_leaves(message.get("conversation_config_override") or {}))
    changed: dict[str, Any] = {}
    for path, value in found.items():
        if path in _IGNORED:
            continue
        if path in agent.overrides:
            changed[path] = value
        elif faults.disallowed == "error":
            raise Refused("override_error", f"Override for field '{path}' is not allowed by config.")
        elif faults.disallowed == "close":
            raise Refused("", path)
    variables = message.get("dynamic_variables") or {}
    missing = [name for name in agent.required_variables if name not in variables]
    if missing:
        raise Refused("missing_dynamic_variable", f"Missing required dynamic variables: {missing}")
    return changed


def _leaves(value: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        here = f"{path}.{name}" if path else name
        if isinstance(one, dict) and here != "turn.soft_timeout_config":
            yield from _leaves(one, here)
        else:
            yield here, one
