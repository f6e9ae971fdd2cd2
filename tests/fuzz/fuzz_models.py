"""What language models' servers send, and dialogue files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from fuzz_target import Target, require, require_text

from patter.errors import ConfigError, ProviderError
from patter.providers.llm import Text, ToolCallDelta
from patter_openai.config import OpenAIChatConfig
from patter_openai.event_stream import EventStreamReader
from patter_openai.reply import ReplyReader, error_details, stream_error
from patter_scripted.loading import load


def _chunk(delta: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, **more}]}


_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "book", "arguments": '{"day":'}}
_CHUNKS = (
    _chunk({"role": "assistant", "content": "Hello 😀"}),
    _chunk({"tool_calls": [_CALL]}),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"monday"}'}}]}),
    _chunk({}, finish_reason="stop"),
    {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}}},
    {"error": {"message": "The server had an error", "type": "server_error", "code": "internal"}},
)  # fmt: skip
_STREAMS = (
    b"".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n".encode() for one in _CHUNKS[:5]) + b"data: [DONE]\n\n",
    b": ping\r\n\r\nevent: error\r\ndata: {\"message\": \"x\"}\r\n\r\n",
    b"data: {}\rdata:[DONE]\r\r",
    "\ufeffdata: {\"choices\":[{\"delta\":{\"content\":\"é\"}}]}\n\n".encode(),
)  # fmt: skip


def _read(reader: ReplyReader, event: Any) -> None:
    for chunk in reader.read(event):
        if isinstance(chunk, Text):
            require_text(chunk.content)
        else:
            require(isinstance(chunk, ToolCallDelta), "no chunk of a reply")
            assert isinstance(chunk, ToolCallDelta)
            require(0 <= chunk.index < 64, "an index that was never counted")
            for one in (chunk.id, chunk.name, chunk.arguments):
                require_text(one or "")
    if reader.usage is not None:
        for count in (reader.usage.input_tokens, reader.usage.output_tokens, reader.usage.cache_read_tokens):
            require(0 <= count < 2**53, f"{count:.3g} tokens" if count < 10**300 else "endless tokens")


def _stream(raw: bytes, *, cut: bool = True) -> None:
    whole = EventStreamReader()
    events = whole.feed(raw) + whole.finish()
    if cut and len(raw) < 2000:  # cut anywhere, the events are the same
        pieces = EventStreamReader()
        step = 1 + len(raw) % 3
        found = [
            event for start in range(0, len(raw), step) for event in pieces.feed(raw[start : start + step])
        ]
        require(found + pieces.finish() == events, "events that depend on how the bytes were cut")
    reader = ReplyReader()
    for event in events:
        _read(reader, event)


_ERRORS = (_CHUNKS[5], {"error": "no"}, {"code": "insufficient_quota", "message": "m"}, "text")


def _error(value: Any) -> None:
    message, code = error_details(value)
    require(isinstance(message, str) and (code is None or len(code) <= 100), "no details")
    require_text(str(stream_error(value)), 300)


def _base_url(text: str) -> None:
    config = OpenAIChatConfig(base_url=text, api_key="s3cr3t")
    require(config.base_url.split("/")[2], "an address without a host")
    require("s3cr3t" not in repr(config), "a key")


_DIALOGUE = """\
greeting: Hello.
slots:
  people: {type: number, ask: "How many?", units: [people]}
intents:
  hours: {patterns: "when ... open|opened", reply: From nine to five.}
  book: {patterns: [book], needs: [people], confirm: "{people}?", done: Done.}
affirm: "yes"
deny: ["no", nope]
accepted: Good.
changed: All right.
ask_change: What else?
more: More?
no_more: Bye.
fallback: Sorry?
"""


_FOLDER = tempfile.TemporaryDirectory(prefix="patter-fuzz-")


def _dialogue(content: bytes) -> None:
    path = Path(_FOLDER.name, "dialogue.yaml")
    path.write_bytes(content)
    load(path)


def _stream_of(value: Any) -> None:
    try:
        raw = json.dumps(value).encode()
    except (RecursionError, ValueError):  # no server can have sent it
        return
    _stream(b"data: " + raw + b"\n\n" + _STREAMS[0], cut=False)


TARGETS = (
    Target("openai-stream", "bytes", lambda one: one.octets(_STREAMS, _CHUNKS), _stream, (ProviderError,), 5),
    Target("openai-chunk", "json", lambda one: one.changed(one.pick(_CHUNKS)), _stream_of, (ProviderError,), 6),
    Target("openai-error", "json", lambda one: one.changed(one.pick(_ERRORS)), _error, (), 2),
    Target("openai-address", "text", lambda one: one.text(("https://api.example.com/v1", "http://127.0.0.1:8080/v1")), _base_url, (ConfigError,), 1),
    Target("dialogue-file", "bytes", lambda one: one.octets((_DIALOGUE.encode(),)), _dialogue, (ConfigError,), 0.15),
)  # fmt: skip
