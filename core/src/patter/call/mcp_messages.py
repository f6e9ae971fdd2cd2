"""The Model Context Protocol as messages: what is asked, and what an answer says. Pure.

https://modelcontextprotocol.io/specification/2025-11-25, "Lifecycle", "Streamable HTTP" and "Tools".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from patter.errors import ProviderError
from patter.redaction import redact

#: the revision that is offered, and those that an answer may choose: all that begin with `initialize`
OFFERED: Final = "2025-11-25"
SPOKEN: Final = frozenset(("2024-11-05", "2025-03-26", "2025-06-18", OFFERED))
#: longest answer, in bytes; in a stream, of all its events
LONGEST_ANSWER: Final = 1 << 20

_METHOD_NOT_FOUND: Final = -32601


@dataclass(frozen=True, slots=True)
class ListedTool:
    """A tool as its server describes it, unchecked."""

    name: Any
    description: Any
    schema: Any


def request(number: int, method: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A request; its answer has the same number."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    return message if params is None else {**message, "params": dict(params)}


def initialize(number: int, version: str) -> dict[str, Any]:
    """The first request of a session; `version` is Patter's own."""
    client = {"name": "patter", "version": version}
    return request(
        number, "initialize", {"protocolVersion": OFFERED, "capabilities": {}, "clientInfo": client}
    )


INITIALIZED: Final[Mapping[str, Any]] = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class EventReader:
    """The data of the events of a ``text/event-stream``, however it is cut into pieces."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The events that this piece completes."""
        lines = (self._rest + piece).replace(b"\r\n", b"\n").split(b"\n")
        self._rest = lines.pop()
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line in (b"", b"\r") and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
        return events


def read_messages(raw: bytes) -> list[dict[str, Any]]:
    """The messages in a body or an event: one, or a batch. Raises `ProviderError` for what is none."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise ProviderError("an answer that is not JSON") from None
    messages = value if isinstance(value, list) else [value]
    if not all(isinstance(one, dict) for one in messages):
        raise ProviderError("an answer that is no JSON-RPC message")
    return messages


def result_of(message: Mapping[str, Any], number: int) -> dict[str, Any] | None:
    """The result if this is the answer to request `number`, None for anything else.

    Raises `ProviderError` for an error of the protocol and for a result that is no object.
    """
    if "method" in message or message.get("id") != number:
        return None
    if "error" in message:
        error = message["error"]
        text = error.get("message") if isinstance(error, dict) else error
        code = error.get("code") if isinstance(error, dict) else None
        raise ProviderError(f"error {_quoted(code)}: {_quoted(text)}", vendor_code=_quoted(code))
    result = message.get("result")
    if not isinstance(result, dict):
        raise ProviderError("an answer without a result")
    return result


def answer_to(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a server that asks is told: a ping is answered, all else is not offered; None where it does not ask."""
    number, method = message.get("id"), message.get("method")
    if not isinstance(method, str) or not isinstance(number, int | str):
        return None
    if method == "ping":
        return {"jsonrpc": "2.0", "id": number, "result": {}}
    error = {"code": _METHOD_NOT_FOUND, "message": "this client offers no methods"}
    return {"jsonrpc": "2.0", "id": number, "error": error}


def read_tools(result: Mapping[str, Any]) -> tuple[list[ListedTool], str | None]:
    """A page of ``tools/list``: its tools, and where the next one begins."""
    listed = result.get("tools")
    if not isinstance(listed, list):
        raise ProviderError("a list of tools that is none")
    tools = [
        ListedTool(one.get("name"), one.get("description") or one.get("title") or "", one.get("inputSchema"))
        for one in listed
        if isinstance(one, dict)
    ]
    cursor = result.get("nextCursor")
    return tools, cursor if isinstance(cursor, str) and cursor else None


def read_outcome(result: Mapping[str, Any]) -> Any:
    """What the model is told of ``tools/call``: its text, its structured content, or ``{"error": text}``.

    An error of the tool itself is told and not tried again: the server ran the tool, and says what the model can do.
    """
    content = result.get("content")
    pieces = [_text(one) for one in content if isinstance(one, dict)] if isinstance(content, list) else []
    text = "\n".join(piece for piece in pieces if piece)
    if result.get("isError") is True:
        return {"error": text or "the tool failed"}
    return text if text or "structuredContent" not in result else result["structuredContent"]


def _text(item: Mapping[str, Any]) -> str:
    if isinstance(item.get("text"), str):
        return str(item["text"])
    resource = item.get("resource")
    if isinstance(resource, dict) and isinstance(resource.get("text"), str):
        return str(resource["text"])
    return f"[{_quoted(item.get('type', 'unknown'))}, which cannot be read aloud]"


def _quoted(value: Any) -> str:
    """A text or number as it is, and nothing of what a server nests without end."""
    return redact(value) if isinstance(value, str | int) else type(value).__name__
