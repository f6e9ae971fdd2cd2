"""The language model when its server fails, before and after the first token."""

from __future__ import annotations

import asyncio
import logging

import pytest
from simulated_chat import ASKED, chunks_of, now, text_of, virtually

from patter.environment import Environment
from patter.errors import (
    PartialStreamError,
    ProviderAuthError,
    ProviderDisconnected,
    ProviderError,
    ProviderTimeout,
    RateLimitedError,
)
from patter.plugins.building import SharedObjectPool
from patter.providers.context import ProviderContext
from patter.providers.llm import Done, Message, Text, ToolCall
from patter.testing.memory_network import MemoryNetwork
from patter.testing.virtual_loop import run_virtual
from patter_openai.chat import OpenAIChat
from patter_openai.config import OpenAIChatConfig
from patter_openai.simulator import Faults, SimulatedReply

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
