"""Cancelling and closing the language model at any time (LM-01)."""

from __future__ import annotations

import asyncio

import pytest
from simulated_chat import ASKED, CALLS, TOOL, calls_of, chunks_of, now, virtually

from patter.errors import (
    ProviderDisconnected,
    ProviderError,
)
from patter.providers.llm import Done, Text, ToolCallDelta, Usage
from patter_openai.simulator import Faults, SimulatedReply


@pytest.mark.behaviour("LM-01")
@pytest.mark.parametrize(
    "faults",
    [Faults(token_s=1), Faults(first_token_s=5), Faults(headers_s=5), Faults(fail_first=(500,) * 5)],
    ids=["in the reply", "before the first token", "before the headers", "between two tries"],
)
def test_a_cancellation_ends_stream_and_connection(faults):
    async def body(model, simulator):
        cancel = asyncio.Event()
        asyncio.get_running_loop().call_later(0.25, cancel.set)
        chunks = await chunks_of(model, cancel_event=cancel)
        assert now() - 0.25 < 0.1
        assert not any(isinstance(chunk, Usage | Done) for chunk in chunks)
        await asyncio.sleep(0.1)
        (request, *_) = simulator.completions
        if request.outcome != "refused":
            assert request.outcome == "disconnected"
            assert request.ended_at - 0.25 < 0.1
        await asyncio.sleep(20)
        assert len(simulator.completions) == 1

    virtually(body, faults)
    virtually(all_chunk_types, Faults(tools="interleaved"), SimulatedReply("One moment.", CALLS))


async def all_chunk_types(model, simulator):
    """text, tool_call (assembled by index), usage, done, in this order."""
    chunks = await chunks_of(model, tools=[TOOL])
    kinds = list(dict.fromkeys(type(chunk) for chunk in chunks))
    assert kinds == [Text, ToolCallDelta, Usage, Done]
    usage = chunks[-2]
    assert usage.input_tokens > 0
    assert usage.output_tokens > 0
    assert (usage.cache_read_tokens > 0, usage.cache_write_tokens) == (True, 0)
    assert [(name, arguments) for name, _, arguments in calls_of(chunks)] == [
        (call.name, call.arguments) for call in CALLS
    ]


def test_a_cancellation_between_two_chunks_of_one_packet():
    async def body(model, simulator):
        cancel = asyncio.Event()
        chunks = []
        async for chunk in model.stream(ASKED, [], cancel_event=cancel, call_id="c"):
            chunks.append(chunk)
            cancel.set()
        assert len(chunks) == 1

    virtually(body, Faults(framing="merged"))


def test_a_cancellation_before_the_request():
    async def body(model, simulator):
        cancel = asyncio.Event()
        cancel.set()
        assert await chunks_of(model, cancel_event=cancel) == []

    virtually(body)


def test_closing_the_stream_closes_the_connection():
    async def body(model, simulator):
        stream = model.stream(ASKED, [], cancel_event=asyncio.Event(), call_id="c")
        await anext(stream)
        await stream.aclose()
        await asyncio.sleep(0.1)
        assert simulator.completions[0].outcome == "disconnected"
        assert simulator.completions[0].chunks_sent <= 2

    virtually(body, Faults(token_s=1))


def test_cancelling_the_task_leaves_nothing():
    async def body(model, simulator):
        for after_s in (0.0, 0.01, 1.0, 2.5):
            task = asyncio.create_task(chunks_of(model))
            await asyncio.sleep(after_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.1)
        assert {request.outcome for request in simulator.completions} <= {"disconnected"}

    virtually(body, Faults(first_token_s=2, token_s=1))


def test_close_ends_the_streams():
    async def body(model, simulator):
        task = asyncio.create_task(chunks_of(model))
        await asyncio.sleep(0.5)
        await model.close()
        await model.close()
        with pytest.raises(ProviderError):
            await task
        with pytest.raises(ProviderDisconnected, match="closed"):
            await chunks_of(model)

    virtually(body, Faults(token_s=1))
