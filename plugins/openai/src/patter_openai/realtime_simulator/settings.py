"""The settings of a simulated session: what may be set, what that does, and what is refused."""

from __future__ import annotations

import copy
from typing import Any, Final

from patter.audio.formats import AudioFormat
from patter_openai.realtime_formats import known_format

Tree = dict[str, Any]

_DETECTION: Final[dict[str, Tree]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}
_FORMAT: Final[Tree] = {"type": None, "rate": None}
_TRANSCRIPTION: Final = dict.fromkeys(("model", "language", "languages", "prompt", "delay", "keywords"))
_OUTPUT: Final[Tree] = {"format": _FORMAT, "voice": None, "speed": None}
#: what a client may set: a nested tree whose leaves are None
SESSION_KEYS: Final[Tree] = {
    **dict.fromkeys(("type", "model", "instructions", "output_modalities", "tools", "tool_choice")),
    **dict.fromkeys(
        ("parallel_tool_calls", "max_output_tokens", "truncation", "tracing", "include", "prompt")
    ),
    "reasoning": {"effort": None},
    "audio": {
        "input": {
            "format": _FORMAT,
            "noise_reduction": {"type": None, "strength": None},
            "transcription": _TRANSCRIPTION,
            "turn_detection": {key: None for kind in _DETECTION.values() for key in kind},
        },
        "output": _OUTPUT,
    },
}
#: what a request for a response may set for that response alone
RESPONSE_KEYS: Final[Tree] = {
    **dict.fromkeys(("instructions", "output_modalities", "conversation", "input", "metadata", "tools")),
    **dict.fromkeys(("tool_choice", "max_output_tokens", "parallel_tool_calls", "prompt")),
    "reasoning": {"effort": None},
    "audio": {"output": {"format": _FORMAT, "voice": None}},
}


class Refusal(Exception):
    """An error that answers a message; it changes nothing."""

    def __init__(self, code: str, text: str, param: str | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.param = param


def unknown_key(given: Any, known: Tree | None, path: str) -> str | None:
    """The path of the first key that does not exist."""
    if not isinstance(given, dict) or known is None:
        return None
    for key, value in given.items():
        if key not in known:
            return f"{path}.{key}" if path else str(key)
        found = unknown_key(value, known[key], f"{path}.{key}" if path else key)
        if found is not None:
            return found
    return None


class SessionSettings:
    """What a session does. `update` is all or nothing."""

    def __init__(self, model: str, audio: Any = None) -> None:
        self.voice_locked = False
        self._forced_audio = audio
        pcm = {"type": "audio/pcm", "rate": 24000}
        self.values: Tree = {
            "type": "realtime",
            "model": model,
            "instructions": "You are a helpful voice assistant.",
            "output_modalities": ["audio"],
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "truncation": "auto",
            "tracing": None,
            "include": None,
            "prompt": None,
            "audio": {
                "input": {
                    "format": pcm,
                    "noise_reduction": None,
                    "transcription": None,
                    "turn_detection": dict(_DETECTION["server_vad"]),
                },
                "output": {"format": pcm, "voice": "alloy", "speed": 1.0},
            },
        }

    def update(self, given: Any) -> None:
        """Set what is given; what is absent stays as it is, null clears. Raises `Refusal`."""
        if not isinstance(given, dict):
            raise Refusal("invalid_type", "session must be an object", "session")
        if "type" not in given:
            raise Refusal("missing_required_parameter", "Missing required parameter", "session.type")
        if given["type"] != "realtime":
            raise Refusal("invalid_value", "this session is of the type realtime", "session.type")
        unknown = unknown_key(given, SESSION_KEYS, "session")
        if unknown is not None:
            raise Refusal("unknown_parameter", f"Unknown parameter: '{unknown}'", unknown)
        made = copy.deepcopy(self.values)
        for key, value in given.items():
            if key != "audio":
                made[key] = copy.deepcopy(value)
        self._check(made)
        audio = given.get("audio") or {}
        self._set_input(made["audio"]["input"], audio.get("input") or {})
        self._set_output(made["audio"]["output"], audio.get("output") or {})
        self._force(made["audio"])
        self.values = made

    def _check(self, made: Tree) -> None:
        if made["model"] != self.values["model"]:
            raise Refusal("invalid_value", "the model cannot be changed", "session.model")
        if made["output_modalities"] not in (["audio"], ["text"]):
            raise Refusal("invalid_value", "either audio or text", "session.output_modalities")
        limit = made["max_output_tokens"]
        if limit != "inf" and not (isinstance(limit, int) and 1 <= limit <= 4096):
            raise Refusal("invalid_value", "from 1 to 4096, or inf", "session.max_output_tokens")
        if not isinstance(made["instructions"], str):
            raise Refusal("invalid_type", "must be text", "session.instructions")
        for number, tool in enumerate(made["tools"] or []):
            if not isinstance(tool, dict) or tool.get("type") != "function" or not tool.get("name"):
                raise Refusal("invalid_value", "a tool has a type and a name", f"session.tools[{number}]")

    def _set_input(self, made: Tree, given: Tree) -> None:
        path = "session.audio.input"
        if "format" in given:
            made["format"] = _checked_format(given["format"], f"{path}.format")
        for key in ("noise_reduction", "transcription"):
            if key in given:
                made[key] = copy.deepcopy(given[key])
        if "turn_detection" in given:
            made["turn_detection"] = _detection(given["turn_detection"], f"{path}.turn_detection")

    def _set_output(self, made: Tree, given: Tree) -> None:
        path = "session.audio.output"
        if "format" in given:
            made["format"] = _checked_format(given["format"], f"{path}.format")
        if "voice" in given:
            if self.voice_locked and given["voice"] != made["voice"]:
                raise Refusal("cannot_update_voice", "the voice has been heard", f"{path}.voice")
            made["voice"] = given["voice"]
        if "speed" in given:
            if not isinstance(given["speed"], int | float) or not 0.25 <= given["speed"] <= 1.5:
                raise Refusal("invalid_value", "from 0.25 to 1.5", f"{path}.speed")
            made["speed"] = given["speed"]

    def _force(self, audio: Tree) -> None:
        for end, forced in (self._forced_audio or {}).items():
            audio[end]["format"] = dict(forced)

    # -- what the session asks

    @property
    def heard(self) -> AudioFormat:
        """The format of the caller's audio."""
        return known_format(self.values["audio"]["input"]["format"]) or _unknown()

    @property
    def spoken(self) -> AudioFormat:
        """The format of its own audio."""
        return known_format(self.values["audio"]["output"]["format"]) or _unknown()

    @property
    def detection(self) -> Tree | None:
        """Its turn detection; None when there is none."""
        found: Tree | None = self.values["audio"]["input"]["turn_detection"]
        return found

    @property
    def transcribes(self) -> bool:
        """Whether the caller's words are transcribed."""
        return self.values["audio"]["input"]["transcription"] is not None


def _checked_format(given: Any, path: str) -> Tree:
    if known_format(given) is None:
        raise Refusal("invalid_value", "no such format", path)
    if given["type"] == "audio/pcm":
        if given.get("rate", 24000) != 24000:
            raise Refusal("invalid_value", "PCM has 24000 Hz", f"{path}.rate")
        return {"type": "audio/pcm", "rate": 24000}
    if "rate" in given:
        raise Refusal("unknown_parameter", "G.711 has no rate", f"{path}.rate")
    return {"type": given["type"]}


def _detection(given: Any, path: str) -> Tree | None:
    if given is None:
        return None
    if not isinstance(given, dict) or "type" not in given:
        raise Refusal("missing_required_parameter", "Missing required parameter", f"{path}.type")
    defaults = _DETECTION.get(given["type"]) if isinstance(given["type"], str) else None
    if defaults is None:
        raise Refusal("invalid_value", "server_vad or semantic_vad", f"{path}.type")
    for key in given:
        if key not in defaults:
            raise Refusal("unknown_parameter", f"not with {given['type']}", f"{path}.{key}")
    return {**defaults, **given}


def _unknown() -> AudioFormat:
    raise Refusal("invalid_value", "no such format")
