"""What the servers of speech-to-speech engines send."""

from __future__ import annotations

import json
from typing import Any

from fuzz_target import Target, require, require_text

from patter.audio.formats import MULAW_8K
from patter.providers.hosted_agent import ORDERLY
from patter.providers.realtime import RealtimeEvent, RealtimeSession
from patter.providers.vendor_json import typed_object
from patter_elevenlabs.convai_reading import ConversationReader
from patter_openai.realtime_events import EventReader
from patter_ultravox.reading import CallReader

_PLACE = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
_USAGE = {
    "total_tokens": 190,
    "input_tokens": 130,
    "output_tokens": 60,
    "input_token_details": {
        "text_tokens": 30,
        "audio_tokens": 100,
        "cached_tokens": 90,
        "cached_tokens_details": {"text_tokens": 20, "audio_tokens": 70},
    },
    "output_token_details": {"text_tokens": 10, "audio_tokens": 50},
}
_DETECTION = {"type": "server_vad", "create_response": False, "interrupt_response": False}
_AUDIO = {
    "input": {"format": {"type": "audio/pcmu"}, "turn_detection": _DETECTION},
    "output": {"format": {"type": "audio/pcm", "rate": 24000}},
}
_CALL = {"type": "function_call", "name": "book", "call_id": "c1", "arguments": '{"day": "monday"}'}
_HEARD = "conversation.item.input_audio_transcription"
_ERROR = {"type": "invalid_request_error", "code": "unknown_parameter", "message": "no", "param": "session.x"}
_EVENTS = (
    {"type": "session.created", "session": {"type": "realtime", "audio": _AUDIO}},
    {"type": "session.updated", "session": {"type": "realtime", "audio": _AUDIO}},
    {"type": "input_audio_buffer.speech_started", "audio_start_ms": 512, "item_id": "item_u1"},
    {"type": f"{_HEARD}.delta", "item_id": "item_u1", "content_index": 0, "delta": "hel"},
    {
        "type": f"{_HEARD}.completed",
        "item_id": "item_u1",
        "transcript": "hello 😀",
        "usage": {"seconds": 1.2},
    },
    {"type": f"{_HEARD}.failed", "item_id": "item_u1", "error": {"code": "x", "message": "y"}},
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "output": []}},
    {
        "type": "response.output_item.added",
        "response_id": "resp_1",
        "item": {"id": "item_1", "type": "message"},
    },
    {"type": "response.output_audio_transcript.delta", **_PLACE, "delta": "Hé"},
    {"type": "response.output_audio.delta", **_PLACE, "delta": "/////w=="},
    {"type": "response.output_audio_transcript.done", **_PLACE, "transcript": "Hé!"},
    {"type": "response.output_item.done", "response_id": "resp_1", "item": _CALL},
    {"type": "response.canceled", "response_id": "resp_1"},
    {
        "type": "response.done",
        "response": {
            "id": "resp_1",
            "status": "cancelled",
            "status_details": {"type": "cancelled", "reason": "turn_detected"},
            "usage": _USAGE,
        },
    },
    {"type": "error", "error": {**_ERROR, "event_id": "guard-2"}},
)


def _openai_message(raw: bytes) -> None:
    """One message in the middle of a response, and what follows it."""
    reader = EventReader(MULAW_8K)
    for known in (_EVENTS[0], _EVENTS[6]):
        reader.read(json.dumps(known))
    for event in (*reader.read(raw), *reader.read(json.dumps(_EVENTS[13])), *reader.give_up_waiting()):
        _check(event)
    require(reader.read(json.dumps(_EVENTS[13])) == [], "a response that is done twice")


def _openai_event(value: Any) -> None:
    try:
        raw = json.dumps(value).encode()
    except (RecursionError, ValueError):  # no server can have sent it
        return
    _openai_message(raw)


def _check(event: RealtimeEvent) -> None:
    require(isinstance(event.audio, bytes), "audio that is none")
    require_text(event.text, 64 * 1024)
    for short in (event.response_id, event.item_id, event.detail, event.parameter, event.request):
        require_text(short or "", 200)
    if event.call is not None:
        for text in (event.call.id, event.call.name, event.call.arguments):
            require(text, "a call without a name")
            require_text(text, 64 * 1024)
    if event.usage is not None:
        usage = event.usage
        for count in (usage.input_text, usage.input_audio, usage.output_text, usage.output_audio):
            require(0 <= count < 2**53, "tokens that nobody can count")


_CONVAI = (
    {"type": "audio", "audio_event": {"audio_base_64": "/////w==", "event_id": 5}},
    {"type": "agent_response", "agent_response_event": {"agent_response": "Hé!", "event_id": 4}},
    {"type": "agent_chat_response_part", "text_response_part": {"text": "Hé", "type": "delta", "event_id": 4}},
    {"type": "agent_response_complete", "agent_response_complete_event": {"event_id": 5}},
    {"type": "user_transcript", "user_transcription_event": {"user_transcript": "hello 😀", "event_id": 6}},
    {"type": "interruption", "interruption_event": {"event_id": 5}},
    {"type": "client_tool_call", "client_tool_call": {"tool_name": "book", "tool_call_id": "c", "parameters": {"day": 1.5}}},
    {"type": "agent_tool_response", "agent_tool_response": {"tool_name": "end_call", "tool_call_id": "c", "tool_type": "system"}},
    {"type": "error", "error_event": {"code": 1008, "error_type": "override_error", "message": "no"}},
)  # fmt: skip
_ULTRAVOX = (
    {"type": "state", "state": "listening"},
    {"type": "transcript", "role": "agent", "medium": "voice", "text": None, "delta": "Hé", "final": False, "ordinal": 1},
    {"type": "transcript", "role": "agent", "medium": "voice", "text": "Hé!", "delta": None, "final": True, "ordinal": 1},
    {"type": "transcript", "role": "user", "medium": "voice", "text": "hello 😀", "delta": None, "final": True, "ordinal": 2},
    {"type": "client_tool_invocation", "toolName": "book", "invocationId": "c", "parameters": {"day": 1.5}},
    {"type": "playback_clear_buffer"},
)  # fmt: skip


def _elevenlabs_message(raw: bytes) -> None:
    """One message while the agent speaks, and what becomes of the response."""
    reader = ConversationReader(RealtimeSession("", first_message="Hé"), MULAW_8K, 0.0)
    for known in _CONVAI[:2]:
        list(reader.read(known, 0.0))
    message = typed_object(raw)
    events = list(reader.read(message, 0.1)) if message is not None else []
    _check_ended([*events, *reader.expire(1e9), *reader.end(1e9, ORDERLY)])


def _ultravox_message(raw: bytes) -> None:
    """The same for a data message."""
    reader = CallReader(MULAW_8K, 0.0)
    list(reader.read_audio(b"\xff" * 80, 0.0))
    message = typed_object(raw.decode("utf-8", "replace"))
    events = list(reader.read(message, 0.1)) if message is not None else []
    _check_ended([*events, *reader.expire(1e9), *reader.end(1e9, ORDERLY)])


def _check_ended(events: list[RealtimeEvent]) -> None:
    for event in events:
        _check(event)
    done = [event.response_id for event in events if event.kind == "response_done"]
    require(len(done) == len(set(done)), "a response that is done twice")
    require(bool(done), "a response that is never done")


TARGETS = (
    Target("elevenlabs-convai-message", "bytes", lambda one: one.octets(tuple(json.dumps(event).encode() for event in _CONVAI), _CONVAI), _elevenlabs_message, (), 2),
    Target("ultravox-message", "bytes", lambda one: one.octets(tuple(json.dumps(event).encode() for event in _ULTRAVOX), _ULTRAVOX), _ultravox_message, (), 2),
    Target("openai-engine-message", "bytes", lambda one: one.octets(tuple(json.dumps(event).encode() for event in _EVENTS), _EVENTS), _openai_message, (), 2),
    Target("openai-engine-event", "json", lambda one: one.changed(one.pick(_EVENTS)), _openai_event, (), 3),
)  # fmt: skip
