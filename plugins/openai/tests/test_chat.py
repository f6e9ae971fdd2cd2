"""The language model against its simulator, over loopback and in the memory network."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest

import patter_openai
from patter.environment import Environment
from patter.errors import (
    PartialStreamError,
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.plugins.building import SharedObjectPool, build
from patter.plugins.manager import PluginManager
from patter.plugins.resolving import resolve
from patter.providers.context import ProviderContext
from patter.providers.llm import LLM, Done, Message, Text, ToolCall, ToolCallDelta, ToolSpec, Usage
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter_openai.chat import OpenAIChat
from patter_openai.config import OpenAIChatConfig
from patter_openai.simulator import Faults, SimulatedCall, SimulatedReply, Simulator

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
def test_finds_the_token_count_wherever_it_is(usage, caplog):
    async def body(model, simulator):
        for _ in range(2):
            (found,) = [chunk for chunk in await chunks_of(model) if isinstance(chunk, Usage)]
            if usage == "none":
                assert found == Usage(14 // 4, len(SimulatedReply().text) // 4, estimated=True)
            else:
                produced = simulator.completions[0].chunks_sent
                assert found.output_tokens in (produced - 1, produced - 2)
                assert found.cache_read_tokens == found.input_tokens // 2 > 0

    with caplog.at_level(logging.INFO):
        virtually(body, Faults(usage=usage))
    assert caplog.text.count("no token count") == (usage == "none")


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


# -- LM-07


@pytest.mark.behaviour("LM-07")
def test_tries_again_before_the_first_token_but_not_with_a_bad_key(caplog):
    async def limited(model, simulator):
        started = now()
        assert text_of(await chunks_of(model)) == SimulatedReply().text
        assert now() - started == pytest.approx(4.0)  # two times Retry-After
        assert [request.outcome for request in simulator.completions] == ["refused", "refused", "complete"]

    virtually(limited, Faults(fail_first=(429, 503), retry_after="2"))

    async def failing(model, simulator):
        started = now()
        assert text_of(await chunks_of(model)) == SimulatedReply().text
        assert 1.5 <= now() - started <= 1.7  # 0.5 s, 1 s, jitter

    virtually(failing, Faults(fail_first=(500, 502)))

    async def too_long(model, simulator):
        with pytest.raises(RateLimitedError) as caught:
            await chunks_of(model)
        assert caught.value.retry_after_s == 60
        assert now() < 1
        assert len(simulator.completions) == 1

    virtually(too_long, Faults(fail_first=(429,) * 9, retry_after="60"))

    async def hopeless(model, simulator):
        with pytest.raises(ProviderError, match="500"):
            await chunks_of(model)
        assert len(simulator.completions) == 3

    virtually(hopeless, Faults(fail_first=(500,) * 9))

    async def bad_key(model, simulator):
        with pytest.raises(ProviderAuthError, match="OPENAI_API_KEY") as caught:
            await chunks_of(model)
        with pytest.raises(ProviderAuthError):
            await model.warmup()
        assert "sesame" not in f"{caught.value!r} {caught.value.__dict__} {caught.value.__cause__} {model!r}"
        assert len(simulator.completions) == 1

    with caplog.at_level(logging.DEBUG):
        virtually(bad_key, api_key="wrong-open-sesame-4711")
        virtually(forbidden, Faults(fail_first=(403,)))
    assert "sesame" not in caplog.text


async def forbidden(model, simulator):
    with pytest.raises(ProviderAuthError):
        await chunks_of(model)
    assert len(simulator.completions) == 1


def test_an_exhausted_quota_is_not_tried_again():
    async def body(model, simulator):
        with pytest.raises(RateLimitedError, match="quota") as caught:
            await chunks_of(model)
        assert caught.value.vendor_code == "insufficient_quota"
        assert len(simulator.completions) == 1

    virtually(body, Faults(quota=True))


def test_a_bad_request_is_not_tried_again():
    async def body(model, simulator):
        unanswered = [
            *ASKED,
            Message("assistant", "", (ToolCall("c", "book", "{}"),)),
            Message("user", "so?"),
        ]
        with pytest.raises(ProviderError, match="tool_call_ids did not have response"):
            await chunks_of(model, unanswered)
        twice = [*unanswered[:-1], *[Message("tool", "x", tool_call_id="c")] * 2]
        with pytest.raises(ProviderError, match="must answer a preceding"):
            await chunks_of(model, twice)
        assert len(simulator.completions) == 2

    virtually(body)


def test_no_server_is_a_lost_connection():
    async def main():
        context = ProviderContext(Environment(), SharedObjectPool())
        model = OpenAIChat(OpenAIChatConfig(base_url="http://nowhere.example/v1"), context)
        await model.warmup()
        with pytest.raises(ProviderDisconnected, match=r"nowhere\.example"):
            await chunks_of(model)
        assert now() == pytest.approx(1.6, abs=0.2)  # it was tried three times
        await context.shared.close()

    run_virtual(main(), network=MemoryNetwork())


# -- failures in mid-stream


@pytest.mark.parametrize("named", [False, True])
def test_an_error_in_mid_stream(named):
    async def body(model, simulator):
        stream = model.stream(ASKED, [], cancel_event=asyncio.Event(), call_id="c")
        assert isinstance(await anext(stream), Text)
        with pytest.raises(PartialStreamError, match="had an error") as caught:
            [chunk async for chunk in stream]
        assert caught.value.vendor_code == "internal"
        assert len(simulator.completions) == 1

    virtually(body, Faults(error_after=4, error_event_name=named))


def test_an_error_before_the_first_token():
    async def body(model, simulator):
        with pytest.raises(ProviderError, match="had an error") as caught:
            await chunks_of(model)
        assert not isinstance(caught.value, PartialStreamError)

    virtually(body, Faults(error_after=0))


def test_a_connection_that_breaks_in_mid_stream():
    async def body(model, simulator):
        with pytest.raises(PartialStreamError):
            await chunks_of(model)

    virtually(body, Faults(drop_after=4))


def test_a_server_that_falls_silent():
    async def body(model, simulator):
        with pytest.raises(PartialStreamError, match="silence_s=10"):
            await chunks_of(model)
        assert now() == pytest.approx(10, abs=0.1)

    virtually(body, Faults(stall_after=4, stall_s=30))

    async def patient(model, simulator):
        assert text_of(await chunks_of(model)) == SimulatedReply().text

    virtually(patient, Faults(stall_after=4, stall_s=9.9))


@pytest.mark.parametrize(
    ("faults", "reply"),
    [
        (Faults(first_token_s=60), None),
        (Faults(headers_s=60), None),
        (Faults(first_token_s=45, framing="comments"), None),
        (Faults(token_s=0.5), SimulatedReply(reasoning="hm " * 100)),
        (Faults(fail_first=(500, 500), first_token_s=14), None),
    ],
    ids=["first token", "headers", "comments", "reasoning", "retries"],
)
def test_the_first_token_has_a_time_limit(faults, reply):
    async def body(model, simulator):
        with pytest.raises(ProviderTimeout, match="first_token_s=15"):
            await chunks_of(model)
        assert now() == pytest.approx(15, abs=0.1)
        await asyncio.sleep(1)
        assert simulator.completions[-1].outcome == "disconnected"

    virtually(body, faults, reply)


def test_a_finished_reply_needs_no_end():
    """Some servers keep the connection open after the last word."""

    async def body(model, simulator):
        chunks = await chunks_of(model)
        assert text_of(chunks) == "Yes."
        assert chunks[-1] == Done()
        assert now() < 3

    # the chunks are: role, text, finish, usage
    virtually(body, Faults(stall_after=3, stall_s=60), SimulatedReply("Yes."))


# -- LM-01: cancelling


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
