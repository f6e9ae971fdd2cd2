"""A language model connected to its simulator."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from patter.environment import Environment
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.llm import Message, Text, ToolCallDelta, ToolSpec
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter_openai.chat import OpenAIChat
from patter_openai.config import OpenAIChatConfig
from patter_openai.simulator import SimulatedCall, Simulator

KEY = "test-key"
ASKED = [Message("system", "Be kind."), Message("user", "Hello?")]
TOOL = ToolSpec("book", "Books.", {"type": "object", "properties": {"people": {"type": "integer"}}})
CALLS = (SimulatedCall("book", '{"people": 4, "day": "friday"}'), SimulatedCall("hours", '{"day": "é€😀"}'))


def virtually(body, faults=None, reply=None, *, profile="openai", **settings):
    """Run `body(model, simulator)` in virtual time, both ends in one memory network."""

    async def main():
        async with connected(faults, reply, profile=profile, host="llm.example", port=80, **settings) as (
            model,
            simulator,
        ):
            await body(model, simulator)

    run_virtual(main(), network=MemoryNetwork())


@asynccontextmanager
async def connected(faults=None, reply=None, *, profile="openai", host="127.0.0.1", port=0, **settings):
    shared = SharedObjectPool()
    environment = Environment.seeded(1, VirtualClock(asyncio.get_running_loop()))
    async with Simulator(reply, faults=faults, profile=profile, key=KEY, host=host, port=port) as simulator:
        config = OpenAIChatConfig(
            **{"api_key": KEY, "base_url": simulator.base_url, "model": "m", **settings}
        )
        model = OpenAIChat(config, ProviderContext(environment, shared, call_id="call_1"))
        try:
            yield model, simulator
        finally:
            await model.close()
            await shared.close()


async def chunks_of(model, messages=ASKED, tools=(), cancel_event=None):
    event = cancel_event or asyncio.Event()
    return [chunk async for chunk in model.stream(messages, tools, cancel_event=event, call_id="call_1")]


def text_of(chunks):
    return "".join(chunk.content for chunk in chunks if isinstance(chunk, Text))


def calls_of(chunks):
    """Name, id and arguments of the tool calls, put together as core does."""
    calls = {}
    for chunk in chunks:
        if isinstance(chunk, ToolCallDelta):
            name, call_id, arguments = calls.get(chunk.index, ("", "", ""))
            calls[chunk.index] = (chunk.name or name, chunk.id or call_id, arguments + chunk.arguments)
    return [calls[index] for index in sorted(calls)]


def now():
    return asyncio.get_running_loop().time()
