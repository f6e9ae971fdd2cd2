"""The simulator, as OpenAI's own SDK sees it. The SDK is an oracle here: the plugin does not use it."""

from __future__ import annotations

import asyncio

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from patter_openai.simulator import Faults, SimulatedCall, SimulatedReply, Simulator
from patter_openai.simulator_stream import reply_chunks

TOOLS = [
    {"type": "function", "function": {"name": "book", "parameters": {"type": "object", "properties": {}}}}
]
ASKED = [{"role": "user", "content": "Hello?"}]
REPLY = SimulatedReply("One moment, ä€😀.", (SimulatedCall("book", '{"people": 4}'),))


async def ask(simulator, key="test-key", **request):
    async with openai.AsyncOpenAI(base_url=simulator.base_url, api_key=key, max_retries=0) as client:
        stream = await client.chat.completions.create(
            **{
                "model": "m",
                "messages": ASKED,
                "stream": True,
                "stream_options": {"include_usage": True},
                **request,
            }
        )
        return [chunk async for chunk in stream]


@pytest.mark.parametrize("framing", ["lf", "crlf", "comments", "no_space", "split", "merged"])
def test_the_sdk_reads_it(framing):
    async def main():
        async with Simulator(REPLY, faults=Faults(framing=framing)) as simulator:
            return await ask(simulator, tools=TOOLS)

    chunks = asyncio.run(main())
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    deltas = [chunk.choices[0].delta for chunk in chunks[:-1]]
    assert "".join(delta.content or "" for delta in deltas) == REPLY.text
    pieces = [call for delta in deltas for call in delta.tool_calls or []]
    assert "".join(piece.function.arguments for piece in pieces) == REPLY.calls[0].arguments
    assert [piece.id for piece in pieces if piece.id] == ["call_0"]


@pytest.mark.parametrize("tools", ["tokens", "single", "index_zero", "interleaved", "late_id"])
@pytest.mark.parametrize("usage", ["standard", "none", "final", "continuous"])
def test_its_chunks_are_of_the_sdks_type(tools, usage):
    body = {"model": "m", "messages": ASKED, "tools": TOOLS, "stream_options": {"include_usage": True}}
    chunks = reply_chunks(REPLY, body, Faults(tools=tools, usage=usage))
    for chunk in chunks:
        parsed = ChatCompletionChunk.model_validate(chunk)
        assert parsed.model_dump(exclude_unset=True) == chunk


def test_the_sdk_raises_what_it_should():
    async def main():
        async with Simulator() as simulator:
            with pytest.raises(openai.AuthenticationError):
                await ask(simulator, key="wrong")
            with pytest.raises(openai.BadRequestError, match="one of"):
                await ask(simulator, messages=[{"role": "boss", "content": "x"}])
            with pytest.raises(openai.BadRequestError, match="must answer"):
                await ask(simulator, messages=[*ASKED, {"role": "tool", "tool_call_id": "x", "content": "y"}])
        async with Simulator(faults=Faults(fail_first=(429, 500), retry_after="1")) as simulator:
            with pytest.raises(openai.RateLimitError):
                await ask(simulator)
            with pytest.raises(openai.InternalServerError):
                await ask(simulator)
            assert await ask(simulator)
        async with Simulator(faults=Faults(error_after=3)) as simulator:
            with pytest.raises(openai.APIError, match="had an error"):
                await ask(simulator)
        async with Simulator(profile="cerebras") as simulator:
            with pytest.raises(openai.BadRequestError, match="service_tier"):
                await ask(simulator, service_tier="default")

    asyncio.run(main())


def test_the_sdk_lists_the_models():
    async def main():
        async with (
            Simulator() as simulator,
            openai.AsyncOpenAI(base_url=simulator.base_url, api_key="test-key") as client,
        ):
            return [model.id async for model in client.models.list()]

    assert asyncio.run(main()) == ["m"]


def test_it_says_what_it_saw():
    async def main():
        async with Simulator() as simulator:
            await ask(simulator)
            (request,) = simulator.completions
            assert request.body["messages"] == ASKED
            assert request.outcome == "complete"
            assert request.chunks_sent > 3

    asyncio.run(main())


def test_a_function_can_answer():
    async def main():
        async with Simulator(
            lambda body: SimulatedReply(body["messages"][-1]["content"].upper())
        ) as simulator:
            return await ask(simulator)

    chunks = asyncio.run(main())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "HELLO?"
