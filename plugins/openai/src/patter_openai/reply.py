"""From the events of a stream to the chunks of a reply. Pure; tolerant of what servers make of the protocol."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from typing import Any, Final

from patter.errors import ProviderError, RateLimitedError
from patter.providers.llm import LLMChunk, Text, ToolCallDelta, Usage
from patter.redaction import redact
from patter_openai.event_stream import ServerEvent

logger = logging.getLogger(__name__)

PROVIDER: Final = "openai"
_MOST_CALLS: Final = 64
_LONGEST_ARGUMENTS: Final = 1024 * 1024
#: a server that counts more tokens in a reply has miscounted
_MOST_TOKENS: Final = 10**9
#: errors in errors are unwrapped so often
_DEEPEST_ERROR: Final = 8
_HALF_CHARACTER: Final = re.compile("[\ud800-\udfff]")
#: error codes that waiting does not help against
QUOTA_CODES: Final = frozenset(("insufficient_quota", "billing_hard_limit_reached"))

_Key = tuple[int | str, ...]


class ReplyReader:
    """Reads one reply.

    Tool calls are told apart by index, else by id, else by position, and an id that changes at an index begins a new
    call: servers differ in all three. The chunks carry an index of our own.
    """

    def __init__(self) -> None:
        self.done = False
        self.finished = False
        self.usage: Usage | None = None
        self._calls: dict[_Key, int] = {}
        self._count = 0
        self._identified: set[int] = set()
        self._named: set[int] = set()
        self._arguments = 0

    def read(self, event: ServerEvent) -> Iterator[LLMChunk]:
        """The chunks of one event. Raises `ProviderError` for an error of the server or a broken message."""
        if event.data.strip() == "[DONE]":
            self.done = True
            return
        try:
            message = json.loads(event.data)
        except (ValueError, RecursionError):
            raise ProviderError("the server sent an event that is not JSON", provider=PROVIDER) from None
        if not isinstance(message, dict):
            raise ProviderError("the server sent an event that is no object", provider=PROVIDER)
        if message.get("error") or event.name == "error":
            raise stream_error(message.get("error") or message)
        self._read_usage(message)
        choices = message.get("choices")
        for choice in choices[:1] if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                yield from self._read_choice(choice)

    def _read_choice(self, choice: dict[str, Any]) -> Iterator[LLMChunk]:
        delta = choice.get("delta")
        if isinstance(delta, dict):
            # reasoning, in whatever field, is not for the caller's ears
            for field in ("content", "refusal"):
                text = delta.get(field)
                if isinstance(text, str) and text:
                    yield Text(_whole(text))
            calls = delta.get("tool_calls")
            for position, call in enumerate(calls if isinstance(calls, list) else []):
                if isinstance(call, dict):
                    yield self._read_call(call, position)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finished = True
            if reason in ("length", "content_filter"):
                logger.warning("the model's reply was cut: %s", reason)

    def _read_call(self, call: dict[str, Any], position: int) -> ToolCallDelta:
        call_id = call.get("id") if isinstance(call.get("id"), str) and call["id"] else None
        index = self._index_of(call.get("index"), call_id, position)
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        name = function.get("name") if isinstance(function.get("name"), str) and function["name"] else None
        if index in self._named:
            name = None  # some servers repeat it with every piece
        elif name:
            self._named.add(index)
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = _dumped(arguments)  # not the protocol, but what is meant is plain
        arguments = _whole(arguments) if isinstance(arguments, str) else ""
        self._arguments += len(arguments)
        if self._arguments > _LONGEST_ARGUMENTS:
            raise ProviderError("the model's tool arguments are too long", provider=PROVIDER)
        return ToolCallDelta(
            index,
            id=_whole(call_id) if call_id else None,
            name=_whole(name) if name else None,
            arguments=arguments,
        )

    def _index_of(self, given: Any, call_id: str | None, position: int) -> int:
        numbered = isinstance(given, int) and not isinstance(given, bool)
        place: _Key = ("position", position)
        if numbered:
            place = ("index", given)
        elif call_id is not None:
            place = ("id", call_id)
        index = self._calls.get(place)
        if call_id is not None:
            known = self._calls.get((*place, call_id))
            # An id that comes late belongs to the call of its place, unless that has one already.
            index = known if known is not None else None if index in self._identified else index
        if index is None:
            index, self._count = self._count, self._count + 1
            if index >= _MOST_CALLS:
                raise ProviderError("the model calls too many tools at once", provider=PROVIDER)
        self._calls[place] = index
        if call_id is not None:
            self._calls[(*place, call_id)] = index
            self._identified.add(index)
            if not numbered:
                self._calls[("position", position)] = index  # its next pieces may have neither index nor id
        return index

    def _read_usage(self, message: dict[str, Any]) -> None:
        extra = message.get("x_groq")
        candidates = (message.get("usage"), extra.get("usage") if isinstance(extra, dict) else None)
        for usage in candidates:
            if isinstance(usage, dict):
                self.usage = _usage(usage)
                return


def _usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    return Usage(
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        cache_read_tokens=cached,
    )


def _count(value: Any) -> int:
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if counted else 0


def _whole(text: str) -> str:
    """The text without half characters, which JSON can spell and nobody can send on."""
    return text if text.isascii() else _HALF_CHARACTER.sub("\ufffd", text)


def _dumped(value: dict[str, Any]) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        raise ProviderError("the model's tool arguments are nested too deep", provider=PROVIDER) from None


def error_details(error: Any) -> tuple[str, str | None]:
    """Message and code of an error object, in any of the shapes that servers give it; not yet redacted."""
    for _ in range(_DEEPEST_ERROR):
        inner = error.get("error") if isinstance(error, dict) else None
        if not isinstance(inner, dict | str):
            break
        error = inner
    if isinstance(error, dict):
        code = error.get("code") or error.get("type")
        return _quoted(error.get("message")), _quoted(code)[:100] if code else None
    return _quoted(error), None


def _quoted(value: Any) -> str:
    try:
        return _whole(str(value or "unknown error"))
    except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
        return "unknown error"


def stream_error(error: Any) -> ProviderError:
    """The exception for an error that came within the stream."""
    message, code = error_details(error)
    text = f"the model failed: {redact(message)}"
    if code in ("rate_limit_exceeded", "rate_limit_error", "429", *QUOTA_CODES):
        return RateLimitedError(text, provider=PROVIDER, vendor_code=code)
    return ProviderError(text, provider=PROVIDER, vendor_code=code)
