"""What tool servers and message handlers answer, and the addresses that they are reached at."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from fuzz_target import Target, require, require_text

from patter.call.mcp_messages import (
    EventReader,
    answer_to,
    read_messages,
    read_outcome,
    read_tools,
    result_of,
)
from patter.call.remote_messages import _frame, _spoken
from patter.call.tool_results import result_text
from patter.errors import ConfigError, InputError, ProviderError
from patter.outbound_addresses import check_url, is_public
from patter.tool_schema import check_schema

_URLS = (
    "https://tools.example.com/v1?a=b",
    "http://93.184.216.34:8080/",
    "wss://[2606:2800:220:1::1]/x",
    "http://169.254.169.254.nip.io/latest",
    "http://0x7f000001/",
    "http://127.0.0.1:80@example.com/",
)


def _address(text: str) -> None:
    target = check_url(text, schemes=("http", "https", "ws", "wss"))
    require(target.address is None or is_public(target.address), "an address inside")
    require(not target.trusted and "@" not in urlsplit(target.url).netloc, "an address that hides another")
    require(
        0 < target.port < 65536 and target.host and target.host in text.lower(),
        "another host than the given one",
    )


_ANSWERS = (
    {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "Sunny"}], "isError": False}},
    {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "a", "description": "b", "inputSchema": {"type": "object"}}], "nextCursor": "x"}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "Unknown tool"}},
    {"jsonrpc": "2.0", "id": "s", "method": "ping"},
    {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "resource", "resource": {"text": "r"}}], "structuredContent": {"t": 1}}},
)  # fmt: skip
_EVENTS = tuple(f"event: message\r\ndata: {json.dumps(one)}\r\n\r\n".encode() for one in _ANSWERS)


def _tool_server(raw: bytes) -> None:
    pieces, whole = EventReader(), EventReader()
    events = whole.feed(raw)
    if len(raw) < 3000:
        step = 1 + len(raw) % 5
        found = [one for start in range(0, len(raw), step) for one in pieces.feed(raw[start : start + step])]
        require(found == events, "events that depend on how the bytes were cut")
    for event in events or [raw]:
        for message in read_messages(event):
            answer = answer_to(message)
            require(answer is None or json.dumps(answer), "an answer that cannot be sent")
            result = result_of(message, 1)
            if result is not None:
                _result(result)


def _result(result: dict[str, Any]) -> None:
    with suppress(TypeError, ValueError):  # of which the runner of tools tells the model
        require_text(result_text(read_outcome(result)))
    if "tools" in result:
        for tool in read_tools(result)[0]:
            try:
                check_schema("listed", tool.schema, strict=False)
            except ConfigError:
                continue


_SPOKEN = ({"text": "We are open."}, {"text": "", "done": True})


def _handler(raw: bytes) -> None:
    refused: InputError | None = None
    for content_type in ("text/plain", "application/json"):
        try:
            require_text(_spoken(raw, content_type, "example.com"))
        except InputError as error:
            refused = error
    require_text(_frame(raw.decode("utf-8", "replace"), "example.com").get("text", ""))
    if refused is not None:
        raise refused


_LONGEST = 1 << 20
TARGETS = (
    Target("outbound-address", "text", lambda one: one.text(_URLS), _address, (InputError,), 3),
    Target("tool-server", "bytes", lambda one: one.octets(_EVENTS, _ANSWERS)[:_LONGEST], _tool_server, (ProviderError,), 4, _LONGEST),
    Target("message-handler", "bytes", lambda one: one.octets((b'{"text": "Yes."}', b"Yes."), _SPOKEN)[:_LONGEST], _handler, (InputError,), 2, _LONGEST),
)  # fmt: skip
