"""What the simulated vendors refuse in a request."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final


class BadRequest(Exception):
    """An HTTP 400 with this text."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One vendor's rules."""

    needs_key: bool = True
    refused: frozenset[str] = frozenset()
    strict_arguments: bool = False


PROFILES: Final = {
    "openai": Profile(),
    "groq": Profile(refused=frozenset(("logprobs", "logit_bias", "top_logprobs"))),
    "cerebras": Profile(
        refused=frozenset(
            ("frequency_penalty", "presence_penalty", "logit_bias", "parallel_tool_calls", "service_tier")
        )
    ),
    "ollama": Profile(needs_key=False, strict_arguments=True),
    "vllm": Profile(needs_key=False),
}
_ROLES: Final = ("system", "developer", "user", "assistant", "tool")


def check_request(body: Any, profile: Profile) -> None:
    """Raises `BadRequest` for what that vendor does not take."""
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    for name in ("model", "messages"):
        if not body.get(name):
            raise BadRequest(f"you must provide {name}")
    if body.get("stream") is not True:
        raise BadRequest("this simulator only streams")
    refused = sorted(profile.refused & set(body))
    if refused:
        raise BadRequest(f"{refused[0]} is not supported")
    for tool in body.get("tools", []):
        if tool.get("type") != "function" or "name" not in tool.get("function", {}):
            raise BadRequest("tools must be functions with a name")
        if tool["function"].get("parameters", {}).get("type") != "object":
            raise BadRequest("a tool's parameters must be of type object")
    _check_messages(body["messages"], profile)


def _check_messages(messages: Any, profile: Profile) -> None:
    open_calls: list[str] = []
    for message in messages:
        role = message.get("role")
        if role not in _ROLES:
            raise BadRequest(f"{role!r} is not one of {', '.join(_ROLES)}")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise BadRequest(
                    "messages with role 'tool' must answer a preceding message with 'tool_calls'"
                )
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise BadRequest(f"tool_call_ids did not have response messages: {', '.join(open_calls)}")
        if role != "assistant" and not isinstance(message.get("content"), str | list):
            raise BadRequest("content must be a string")
        open_calls = _calls(message, profile)
    if open_calls:
        raise BadRequest(f"tool_call_ids did not have response messages: {', '.join(open_calls)}")


def _calls(message: dict[str, Any], profile: Profile) -> list[str]:
    calls = message.get("tool_calls")
    if calls is None:
        if message["role"] == "assistant" and not isinstance(message.get("content"), str):
            raise BadRequest("an assistant message needs content or tool_calls")
        return []
    if not calls:
        raise BadRequest("tool_calls must not be empty")
    for call in calls:
        if profile.strict_arguments:
            try:
                json.loads(call["function"]["arguments"])
            except ValueError:
                raise BadRequest("tool call arguments must be valid JSON") from None
    return [call["id"] for call in calls]
