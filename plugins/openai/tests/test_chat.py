"""The language model against its simulator, over loopback and in the memory network."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest
from simulated_chat import ASKED, CALLS, TOOL, calls_of, chunks_of, connected, text_of, virtually

import patter_openai
from patter.environment import Environment
from patter.errors import (
    ProviderError,
)
from patter.plugins.building import SharedObjectPool, build
from patter.plugins.manager import PluginManager
from patter.plugins.resolving import resolve
from patter.providers.context import ProviderContext
from patter.providers.llm import LLM, Done, Message, ToolCall, ToolCallDelta, Usage
from patter_openai.simulator import Faults, SimulatedReply

REPLY = SimulatedReply("Grüß Gott — 你好, how can I help? 😀")


@pytest.mark.parametrize("framing", ["lf", "crlf", "cr", "comments", "no_space", "split", "merged"])
@pytest.mark.parametrize("no_done", [False, True])
def test_reads_a_reply_however_it_is_framed(framing, no_done):
    async def body(model, simulator):
        chunks = await chunks_of(model)
        assert text_of(chunks) == REPLY.text
        usage, done = chunks[-2:]
        assert isinstance(usage, Usage)
        assert not usage.estimated
        assert done == Done()

    virtually(body, Faults(framing=framing, no_done=no_done), REPLY)


@pytest.mark.parametrize("usage", ["standard", "final", "x_groq", "continuous", "none"])
def test_finds_the_token_count_wherever_it_is(usage):
    async def body(model, simulator):
        found = [chunk for chunk in await chunks_of(model) if isinstance(chunk, Usage)]
        if usage == "none":
            assert found == [], "core estimates"
        else:
            (found,) = found
            produced = simulator.completions[0].chunks_sent
            assert found.output_tokens in (produced - 1, produced - 2)
            assert found.cache_read_tokens == found.input_tokens // 2 > 0
            assert not found.estimated

    virtually(body, Faults(usage=usage))


@pytest.mark.parametrize("tools", ["tokens", "single", "no_index", "index_zero", "interleaved", "late_id"])
@pytest.mark.parametrize("finish_stop", [False, True])
def test_puts_tool_calls_together(tools, finish_stop):
    async def body(model, simulator):
        chunks = await chunks_of(model, tools=[TOOL])
        assert text_of(chunks) == "One moment."
        assert calls_of(chunks) == [
            (call.name, f"call_{number}", call.arguments) for number, call in enumerate(CALLS)
        ]
        # each name comes once, or who adds up the pieces gets it twice
        assert [chunk.name for chunk in chunks if isinstance(chunk, ToolCallDelta) and chunk.name] == [
            "book",
            "hours",
        ]
        answered = [
            *ASKED,
            Message("assistant", "One moment.", tuple(ToolCall(i, n, a) for n, i, a in calls_of(chunks))),
            *(Message("tool", "ok", tool_call_id=call_id) for _, call_id, _ in calls_of(chunks)),
        ]
        assert text_of(await chunks_of(model, answered, [TOOL])) == "One moment."

    virtually(body, Faults(tools=tools, finish_stop=finish_stop), SimulatedReply("One moment.", CALLS))


def test_reasoning_is_not_spoken_and_a_refusal_is():
    async def body(model, simulator):
        assert text_of(await chunks_of(model)) == "I cannot."

    reply = SimulatedReply("", reasoning="The caller wants something.", refusal="I cannot.")
    virtually(body, Faults(extra_fields=True, role_in_every_chunk=True), reply)


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_reply_that_was_cut_is_logged(finish, caplog):
    async def body(model, simulator):
        assert text_of(await chunks_of(model)) == SimulatedReply().text

    virtually(body, Faults(finish=finish))
    assert finish in caplog.text


@pytest.mark.parametrize("profile", ["openai", "groq", "cerebras", "ollama", "vllm"])
def test_every_vendor_takes_the_request(profile):
    async def body(model, simulator):
        for messages in (
            ASKED,
            [
                *ASKED,
                Message("assistant", "", (ToolCall("c", "book", "{bad"),)),
                Message("tool", "x", tool_call_id="c"),
            ],
        ):
            assert text_of(await chunks_of(model, messages, [TOOL])) == SimulatedReply().text
        await model.warmup()

    virtually(body, profile=profile, temperature=0.5, max_tokens=100)


def test_a_server_of_ones_own_needs_no_key():
    async def body(model, simulator):
        await chunks_of(model)
        assert "Authorization" not in simulator.completions[0].headers

    virtually(body, profile="ollama", api_key=None)


# -- connections


def test_one_connection_serves_all_requests():
    async def body(model, simulator):
        await model.warmup()
        for _ in range(3):
            await chunks_of(model)
        assert len(simulator.requests) == 4
        assert len(simulator.connections) == 1
        assert simulator.requests[0].path == "/v1/models"

    virtually(body)


def test_works_over_real_sockets():
    async def main():
        async with connected(reply=REPLY) as (model, simulator):
            await model.warmup()
            assert text_of(await chunks_of(model)) == REPLY.text
            assert text_of(await chunks_of(model)) == REPLY.text
            assert len(simulator.connections) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    "event",
    [
        "{}",
        '{"choices": null}',
        '{"choices": [null]}',
        '{"choices": [{}]}',
        '{"choices": [{"delta": null}]}',
        '{"choices": [{"delta": {"content": 5, "tool_calls": {}}}]}',
        '{"choices": [{"delta": {"tool_calls": [null, {}, {"function": null}, {"index": true, "id": 5}]}}]}',
        '{"usage": [], "x_groq": []}',
        '{"usage": {"prompt_tokens": "x", "completion_tokens": -1, "prompt_tokens_details": []}}',
    ],
)
def test_odd_messages_do_no_harm(event):
    from patter_openai.event_stream import ServerEvent
    from patter_openai.reply import ReplyReader

    assert all(isinstance(chunk, ToolCallDelta) for chunk in ReplyReader().read(ServerEvent("", event)))


@pytest.mark.parametrize(
    "event", ["{", "[]", "1", '{"error": "boom"}', '{"error": {"message": "boom"}}', "[" * 100_000]
)
def test_broken_messages_are_errors(event):
    from patter_openai.event_stream import ServerEvent
    from patter_openai.reply import ReplyReader

    with pytest.raises(ProviderError):
        list(ReplyReader().read(ServerEvent("", event)))


def test_tool_calls_are_bounded():
    from patter_openai.event_stream import ServerEvent
    from patter_openai.reply import ReplyReader

    calls = [{"id": f"c{number}"} for number in range(1000)]
    long = [{"index": 0, "function": {"arguments": "x" * 2_000_000}}]
    for many in (calls, long):
        with pytest.raises(ProviderError, match="too"):
            list(
                ReplyReader().read(
                    ServerEvent("", json.dumps({"choices": [{"delta": {"tool_calls": many}}]}))
                )
            )


def test_the_record_leads_to_the_model():
    manager = PluginManager(
        environ={"PATTER_DISABLE_PLUGIN_AUTOLOAD": "1", "OPENAI_API_KEY": "sk-test-0123456789"}
    )
    manager.register(patter_openai, "openai")
    resolved = resolve(manager, "llm", "openai/gpt-4.1?temperature=0.2")
    model = build(manager, resolved, ProviderContext(Environment(), SharedObjectPool()))
    assert isinstance(model, LLM)
    assert repr(model) == "<OpenAIChat gpt-4.1>"


def test_importing_the_plugin_imports_nothing_else():
    code = "import sys, patter_openai; print(sorted({'aiohttp', 'openai', 'pydantic', 'asyncio'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert found.strip() == "[]"
