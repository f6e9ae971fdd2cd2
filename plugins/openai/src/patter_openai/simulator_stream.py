"""The chunks of a simulated reply and their bytes, right or wrong as asked. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

_PIECE = re.compile(r"\s*\S{1,6}|\s+")

UsageMode = Literal["standard", "none", "final", "x_groq", "continuous"]
ToolMode = Literal["tokens", "single", "no_index", "index_zero", "interleaved", "late_id"]
Framing = Literal["lf", "crlf", "cr", "comments", "no_space", "split", "merged"]


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """A tool call of the model; `arguments` is its JSON text."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class SimulatedReply:
    """What the model says: reasoning that nobody may hear, text, then calls."""

    text: str = "Hello, this is the simulator. How can I help you?"
    calls: tuple[SimulatedCall, ...] = ()
    reasoning: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Faults:
    """How the server departs from the protocol. Times in s; `..._after` counts chunks.

    `fail_first` are HTTP statuses of the first requests, `finish` is the finish_reason of a reply without calls,
    `finish_stop` says "stop" although there are calls, `no_done` leaves out the last line, `extra_fields` adds what
    vendors add without notice.
    """

    usage: UsageMode = "standard"
    tools: ToolMode = "tokens"
    framing: Framing = "lf"
    finish: Literal["stop", "length", "content_filter"] = "stop"
    finish_stop: bool = False
    no_done: bool = False
    fail_first: tuple[int, ...] = ()
    retry_after: str = ""
    quota: bool = False
    error_after: int | None = None
    error_event_name: bool = False
    drop_after: int | None = None
    headers_s: float = 0.0
    first_token_s: float = 0.0
    token_s: float = 0.0
    stall_after: int | None = None
    stall_s: float = 10.0
    extra_fields: bool = False
    role_in_every_chunk: bool = False


def reply_chunks(reply: SimulatedReply, body: dict[str, Any], faults: Faults) -> list[dict[str, Any]]:
    """All chunks of a reply to that request."""
    calls = reply.calls if body.get("tools") and body["messages"][-1]["role"] != "tool" else ()
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning": piece} for piece in _PIECE.findall(reply.reasoning)]
    deltas += [{"content": piece} for piece in _PIECE.findall(reply.text)]
    deltas += [{"refusal": piece} for piece in _PIECE.findall(reply.refusal)]
    deltas += [{"tool_calls": pieces} for pieces in _call_deltas(calls, faults.tools)]
    if faults.role_in_every_chunk:
        deltas = [{"role": "assistant", "content": "", **delta} for delta in deltas]
    finish = "tool_calls" if calls and not faults.finish_stop else faults.finish
    usage = _usage(body, len(deltas))
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": finish})
    chunks = [_chunk(body, [choice]) for choice in choices]
    _add_usage(chunks, body, usage, faults.usage)
    if faults.extra_fields:
        for number, chunk in enumerate(chunks):
            chunk.update(
                obfuscation="x" * (number % 7), service_tier="default", time_info={"queue_time": 0.1}
            )
    return chunks


def _chunk(body: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": body["model"],
        "choices": choices,
    }


def _usage(body: dict[str, Any], produced: int) -> dict[str, Any]:
    given = len(json.dumps(body["messages"])) // 4
    return {
        "prompt_tokens": given,
        "completion_tokens": produced,
        "total_tokens": given + produced,
        "prompt_tokens_details": {"cached_tokens": given // 2},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _add_usage(
    chunks: list[dict[str, Any]], body: dict[str, Any], usage: dict[str, Any], mode: UsageMode
) -> None:
    asked = bool(body.get("stream_options", {}).get("include_usage"))
    if mode == "standard" and asked:
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append({**_chunk(body, []), "usage": usage})
    elif mode == "final":
        chunks[-1]["usage"] = usage
    elif mode == "x_groq":
        chunks[0]["x_groq"] = {"id": "req_1"}
        chunks[-1]["x_groq"] = {"id": "req_1", "usage": {**usage, "queue_time": 0.1}}
    elif mode == "continuous":
        for number, chunk in enumerate(chunks):
            chunk["usage"] = {**usage, "completion_tokens": min(number, usage["completion_tokens"])}


def _call_deltas(calls: tuple[SimulatedCall, ...], mode: ToolMode) -> Iterator[list[dict[str, Any]]]:
    ids = [f"call_{number}" for number in range(len(calls))]
    whole = [
        {
            "index": number,
            "id": ids[number],
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(calls)
    ]
    if mode == "single":
        yield from ([one] for one in whole)
    elif mode == "no_index":
        yield from ([{key: value for key, value in one.items() if key != "index"}] for one in whole)
    elif mode == "index_zero":
        if whole:
            yield [{**one, "index": 0} for one in whole]
    elif mode == "late_id":
        for number, call in enumerate(calls):
            yield [{"index": number, "function": {"arguments": ""}}]
            yield [{"index": number, "id": ids[number], "function": {"name": call.name, "arguments": ""}}]
            yield from _argument_deltas(number, call)
    else:
        streams = [_token_deltas(number, ids[number], call) for number, call in enumerate(calls)]
        yield from (
            _woven(streams) if mode == "interleaved" else (delta for stream in streams for delta in stream)
        )


def _token_deltas(number: int, call_id: str, call: SimulatedCall) -> Iterator[list[dict[str, Any]]]:
    yield [
        {"index": number, "id": call_id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    ]
    yield from _argument_deltas(number, call)


def _argument_deltas(number: int, call: SimulatedCall) -> Iterator[list[dict[str, Any]]]:
    for begin in range(0, len(call.arguments), 4):
        yield [{"index": number, "function": {"arguments": call.arguments[begin : begin + 4]}}]


def _woven(streams: list[Iterator[list[dict[str, Any]]]]) -> Iterator[list[dict[str, Any]]]:
    while streams:
        for stream in list(streams):
            delta = next(stream, None)
            if delta is None:
                streams.remove(stream)
            else:
                yield delta


def framed(data: str, faults: Faults) -> bytes:
    """One event as bytes."""
    if faults.framing == "crlf":
        return f"data: {data}\r\n\r\n".encode()
    if faults.framing == "cr":
        return f"data: {data}\r\r".encode()
    if faults.framing == "no_space":
        return f"data:{data}\n\n".encode()
    if faults.framing == "comments":
        return f": ping\n\ndata: {data}\n\n".encode()
    return f"data: {data}\n\n".encode()


def parts(packet: bytes, faults: Faults) -> Iterator[bytes]:
    """The packet as it is written: whole, or three bytes at a time, which cuts lines and characters."""
    step = 3 if faults.framing == "split" else max(1, len(packet))
    for begin in range(0, len(packet), step):
        yield packet[begin : begin + step]


def error_event(faults: Faults) -> bytes:
    """An error in mid-stream."""
    error = {"error": {"message": "The server had an error", "type": "server_error", "code": "internal"}}
    name = b"event: error\n" if faults.error_event_name else b""
    return name + framed(json.dumps(error), faults)
