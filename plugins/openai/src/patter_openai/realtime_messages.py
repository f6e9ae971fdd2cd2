"""The messages that the engine sends: the GA shape of the protocol, nothing of the retired one. Pure."""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from typing import Any

from patter.audio.formats import AudioFormat
from patter.providers.llm import Message, ToolSpec
from patter.providers.realtime import RealtimeSession
from patter_openai.realtime_config import OpenAIRealtimeConfig
from patter_openai.realtime_formats import wire_format

ClientMessage = dict[str, Any]

#: models whose transcription takes several languages, not one
_LANGUAGES_MODELS = ("gpt-transcribe", "gpt-live-transcribe")


def appended(chunk: bytes) -> str:
    """The caller's next audio, ready to be sent: base64 needs no escaping, so no JSON is made for each frame."""
    encoded = binascii.b2a_base64(chunk, newline=False).decode("ascii")
    return f'{{"type":"input_audio_buffer.append","audio":"{encoded}"}}'


def dumped(message: ClientMessage) -> str:
    """A message as text. None stays null: leaving a key out means "unchanged"."""
    return json.dumps(message, separators=(",", ":"))


# -- settings


def session_update(
    config: OpenAIRealtimeConfig, session: RealtimeSession, audio_format: AudioFormat
) -> ClientMessage:
    """All settings of a session; the same for a parked and a live connection (PW-03, PW-10)."""
    heard: dict[str, Any] = {
        "format": wire_format(audio_format),
        "transcription": _transcription(config, session.language),
        "turn_detection": turn_detection(config, session),
    }
    if config.noise_reduction is not None:
        heard["noise_reduction"] = {"type": config.noise_reduction}
    spoken: dict[str, Any] = {"format": wire_format(audio_format), "voice": config.voice}
    if config.speed is not None:
        spoken["speed"] = config.speed
    settings: dict[str, Any] = {
        "type": "realtime",
        "instructions": session.instructions,
        "output_modalities": ["audio"],
        "audio": {"input": heard, "output": spoken},
        "tools": [_tool(tool) for tool in session.tools],
        "tool_choice": "auto",
    }
    if config.max_output_tokens is not None:
        settings["max_output_tokens"] = config.max_output_tokens
    if config.reasoning_effort is not None:
        settings["reasoning"] = {"effort": config.reasoning_effort}
    return {"type": "session.update", "session": settings}


def turn_detection_update(detection: dict[str, Any]) -> ClientMessage:
    """The turn detection alone; everything else stays as it is (RT-02, RT-12)."""
    return {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"turn_detection": detection}}},
    }


def turn_detection(
    config: OpenAIRealtimeConfig, session: RealtimeSession, *, guarded: bool = False
) -> dict[str, Any]:
    """The configured turn detection. It answers and stops by itself as far as that is configured, but never while it is
    guarded, nor where Patter decides (RT-24); there it does not ask after a silence either.
    """
    if config.turn_detection == "semantic_vad":
        detection: dict[str, Any] = {"type": "semantic_vad", "eagerness": config.eagerness}
    else:
        detection = {
            "type": "server_vad",
            "threshold": config.threshold,
            "prefix_padding_ms": config.prefix_padding_ms,
            "silence_duration_ms": config.silence_duration_ms,
        }
        if config.idle_timeout_ms is not None and not session.patter_decides:
            detection["idle_timeout_ms"] = config.idle_timeout_ms
    acts = not (guarded or session.patter_decides)
    detection["create_response"] = acts and config.create_response
    detection["interrupt_response"] = acts and config.interrupt_response
    return detection


def _transcription(config: OpenAIRealtimeConfig, language: str | None) -> dict[str, Any] | None:
    if not config.transcription:
        return None
    settings: dict[str, Any] = {"model": config.transcription_model}
    if language:
        code = language.partition("-")[0].lower()  # "pt-BR" is no language to a transcriber
        takes_several = config.transcription_model.startswith(_LANGUAGES_MODELS)
        settings |= {"languages": [code]} if takes_several else {"language": code}
    if config.transcription_prompt:
        settings["prompt"] = config.transcription_prompt
    return settings


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
    }


# -- responses


def response_create(exact_text: str = "") -> ClientMessage:
    """Ask for a response; with a text, for that text word for word and without a tool (RT-01)."""
    if not exact_text:
        return {"type": "response.create"}
    instructions = (
        "Say the text between the quotation marks exactly as it stands, word for word, in its own language. "
        f'Say nothing before it and nothing after it: "{exact_text}"'
    )
    return {"type": "response.create", "response": {"instructions": instructions, "tool_choice": "none"}}


def response_cancel(response_id: str) -> ClientMessage:
    """Stop one response."""
    return {"type": "response.cancel", "response_id": response_id}


# -- the conversation


def truncate(item_id: str, heard_ms: int) -> ClientMessage:
    """Cut an item of the agent's speech to what was heard; what was not heard at all is deleted (RT-17)."""
    if heard_ms <= 0:
        return {"type": "conversation.item.delete", "item_id": item_id}
    return {
        "type": "conversation.item.truncate",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": heard_ms,
    }


def function_output(call_id: str, output: str) -> ClientMessage:
    """The result of a function call."""
    return _created({"type": "function_call_output", "call_id": call_id, "output": output})


def conversation_items(message: Message) -> Iterator[ClientMessage]:
    """The messages that add one entry of a conversation: its text, then its tool calls."""
    if message.role == "tool":
        yield function_output(message.tool_call_id or "", message.content)
        return
    if message.content:
        kind = "output_text" if message.role == "assistant" else "input_text"
        content = [{"type": kind, "text": message.content}]
        yield _created({"type": "message", "role": message.role, "content": content})
    for call in message.tool_calls:
        yield _created(
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        )


def _created(item: dict[str, Any]) -> ClientMessage:
    return {"type": "conversation.item.create", "item": item}
