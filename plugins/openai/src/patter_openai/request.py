"""The request of chat completions, made of a conversation. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from patter.providers.llm import Message, ToolCall, ToolSpec
from patter_openai.config import OPENAI, OpenAIChatConfig


def request_body(
    config: OpenAIChatConfig, messages: Sequence[Message], tools: Sequence[ToolSpec]
) -> dict[str, Any]:
    """The JSON body. Fields that were not set are left out: every server refuses some of them."""
    body: dict[str, Any] = {
        "model": config.model,
        "messages": [message_body(message) for message in messages],
        "stream": True,
    }
    if config.include_usage:
        body["stream_options"] = {"include_usage": True}
    if tools:
        body["tools"] = [_tool_body(tool) for tool in tools]
    if config.temperature is not None:
        body["temperature"] = config.temperature
    if config.max_tokens is not None:
        # OpenAI's newer models refuse the old name, Ollama knows no other.
        name = "max_completion_tokens" if config.base_url == OPENAI else "max_tokens"
        body[name] = config.max_tokens
    return {**body, **config.extra_body}


def message_body(message: Message) -> dict[str, Any]:
    """One message as the protocol writes it."""
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id or "", "content": message.content}
    if message.tool_calls:
        calls = [_call_body(call) for call in message.tool_calls]
        return {"role": "assistant", "content": message.content or None, "tool_calls": calls}
    return {"role": message.role, "content": message.content}


def _call_body(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": _valid_json(call.arguments)},
    }


def _valid_json(arguments: str) -> str:
    """The arguments, or an empty object where the model wrote no JSON: some servers refuse to read that again."""
    try:
        json.loads(arguments)
    except (ValueError, RecursionError):
        return "{}"
    return arguments


def _tool_body(tool: ToolSpec) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
    }
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}
