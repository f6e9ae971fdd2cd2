"""A chain of language models: who is asked when, and what comes out when one breaks (LM-03, LM-08)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from patter.call.fallback_llm import PROBE, FallbackLLM
from patter.errors import (
    AllProvidersFailedError,
    PartialStreamError,
    ProviderAuthError,
    ProviderError,
    ProviderTimeout,
)
from patter.providers.llm import LLM, Done, LLMChunk, Message, Text, ToolCallDelta, ToolSpec, Usage
from patter.testing.virtual_loop import run_virtual

HANGS = "hangs"
ASKED = [Message("system", "Be brief."), Message("user", "How late is it?")]


class Model(LLM):
    """Answers each request with the next of its plans, and with the last of them from then on."""

    def __init__(self, *plans: Any) -> None:
        self.plans = list(plans)
        self.asked: list[tuple[float, Sequence[Message]]] = []
        self.open = self.closed = self.warmed = 0

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec],
        *,
        cancel_event: asyncio.Event,
        call_id: str,
    ) -> AsyncIterator[LLMChunk]:
        self.asked.append((asyncio.get_running_loop().time(), messages))
        plan = self.plans.pop(0) if len(self.plans) > 1 else self.plans[0]
        self.open += 1
        try:
            for step in plan if isinstance(plan, list) else [plan]:
                if isinstance(step, Exception):
                    raise step
                if step == HANGS:
                    await asyncio.get_running_loop().create_future()
                yield Text(step) if isinstance(step, str) else step
            yield Done()
        finally:
            self.open -= 1

    async def warmup(self) -> None:
        self.warmed += 1

    async def close(self) -> None:
        self.closed += 1

    @property
    def moments(self) -> list[float]:
        return [moment for moment, _ in self.asked]


class Chain:
    """A chain of models called one, two, … and what it tells."""

    def __init__(self, *models: Model) -> None:
        self.failures: list[tuple[str, str]] = []
        names = ("one", "two", "three")
        self.llm = FallbackLLM(list(zip(names, models, strict=False)), "call_1", self._told)

    def _told(self, reference: str, error: ProviderError) -> None:
        self.failures.append((reference, str(error)))

    async def answer(self) -> str:
        return "".join([chunk.content async for chunk in self.chunks() if isinstance(chunk, Text)])

    def chunks(self) -> AsyncIterator[LLMChunk]:
        return self.llm.stream(ASKED, [], cancel_event=asyncio.Event(), call_id="call_1")


def virtually(scenario: Any) -> None:
    run_virtual(scenario())


@pytest.mark.behaviour("LM-03")
def test_models_are_asked_in_their_order_and_each_once_more() -> None:
    async def scenario() -> None:
        one, two, three = Model(ProviderError("no")), Model(ProviderError("nor I")), Model("It is two.")
        chain = Chain(one, two, three)
        assert await chain.answer() == "It is two."
        assert [len(model.asked) for model in (one, two, three)] == [2, 2, 1]
        assert chain.failures == [("one", "no")] * 2 + [("two", "nor I")] * 2
        assert chain.llm.healthy == ("three",)
        # who failed is left out
        assert await chain.answer() == "It is two."
        assert [len(model.asked) for model in (one, two, three)] == [2, 2, 2]
        assert all(messages == ASKED for model in (one, two, three) for _, messages in model.asked)
        await chain.llm.close()
        assert [model.closed for model in (one, two, three)] == [1, 1, 1]

    virtually(scenario)


@pytest.mark.behaviour("LM-03")
def test_one_retry_may_be_enough_and_whatever_a_plugin_raises_is_a_failure() -> None:
    async def scenario() -> None:
        one, two = Model(ValueError("a defect"), "Two."), Model("Unasked.")
        chain = Chain(one, two)
        assert await chain.answer() == "Two."
        assert (len(one.asked), len(two.asked)) == (2, 0)
        assert chain.llm.healthy == ("one", "two")
        await chain.llm.close()

    virtually(scenario)


@pytest.mark.behaviour("LM-03")
@pytest.mark.parametrize("first", ["It ", ToolCallDelta(0, "c1", "clock")])
def test_after_the_first_token_nobody_else_is_asked(first: Any) -> None:
    async def scenario() -> None:
        one, two = Model([first, ProviderError("gone")]), Model("It is two.")
        chain = Chain(one, two)
        chunks = chain.chunks()
        assert await anext(chunks) == (Text(first) if isinstance(first, str) else first)
        with pytest.raises(PartialStreamError, match="one broke off"):
            await anext(chunks)
        assert (len(one.asked), len(two.asked)) == (1, 0)
        # the next turn is another one's
        assert await chain.answer() == "It is two."
        await chain.llm.close()

    virtually(scenario)


@pytest.mark.behaviour("LM-03")
def test_what_is_no_token_does_not_bind_the_turn_to_a_model() -> None:
    async def scenario() -> None:
        one = Model([Usage(1, 0), "", ProviderError("gone")])
        chain = Chain(one, Model("It is two."))
        assert await chain.answer() == "It is two."
        assert len(one.asked) == 2
        await chain.llm.close()

    virtually(scenario)


@pytest.mark.behaviour("LM-03")
def test_when_all_fail_one_error_says_so_and_a_wrong_key_is_not_tried_twice() -> None:
    async def scenario() -> None:
        one, two = Model(ProviderAuthError("401")), Model(ProviderError("down"), ProviderError("down"), "Up.")
        chain = Chain(one, two)
        with pytest.raises(AllProvidersFailedError, match="one, two") as raised:
            await chain.answer()
        assert isinstance(raised.value.__cause__, ProviderError)
        assert (len(one.asked), len(two.asked)) == (1, 2)
        # with nobody left all are asked again, and who answers is in use again
        assert await chain.answer() == "Up."
        assert chain.llm.healthy == ("two",)
        await chain.llm.close()

    virtually(scenario)


@pytest.mark.behaviour("LM-03")
def test_who_failed_is_probed_every_thirty_seconds_and_used_again_when_healthy() -> None:
    async def scenario() -> None:
        down = ProviderError("down")
        one, two = Model(down, down, down, HANGS, ["Hello", HANGS], "It is one."), Model("It is two.")
        chain = Chain(one, two)
        assert await chain.answer() == "It is two."
        await asyncio.sleep(89)
        assert chain.llm.healthy == ("two",)
        assert await chain.answer() == "It is two."
        await asyncio.sleep(2)
        assert one.moments == [0.0, 0.0, 30.0, 60.0, 90.0]
        assert all(messages == [PROBE] for _, messages in one.asked[2:])
        assert chain.llm.healthy == ("one", "two")
        assert one.open == 0  # a probe reads no further than the first token
        assert await chain.answer() == "It is one."
        before = len(one.asked)
        await asyncio.sleep(100)
        assert len(one.asked) == before  # nobody is probed any more
        assert len(asyncio.all_tasks()) == 1

    virtually(scenario)


@pytest.mark.behaviour("LM-08")
def test_a_silent_model_has_failed_after_fifteen_seconds_and_its_stream_is_closed() -> None:
    async def scenario() -> None:
        one, two = Model([Usage(1, 0), "", HANGS]), Model("It is two.")
        chain = Chain(one, two)
        assert await chain.answer() == "It is two."
        assert one.moments == [0.0, 15.0]
        assert two.moments == [30.0]
        assert one.open == 0
        assert [text for _, text in chain.failures] == ["one gave no answer within 15 s"] * 2
        await chain.llm.close()

    virtually(scenario)


def test_silence_after_the_first_token_is_no_failure_of_the_chain() -> None:
    async def scenario() -> None:
        class Slow(Model):
            async def stream(self, *arguments: Any, **options: Any) -> AsyncIterator[LLMChunk]:
                yield Text("It is ")
                await asyncio.sleep(40)
                yield Text("late.")

        chain = Chain(Slow(), Model("Unasked."))
        assert await chain.answer() == "It is late."
        assert chain.failures == []

    virtually(scenario)


def test_closing_stops_the_probes_and_warming_warms_the_first() -> None:
    async def scenario() -> None:
        one, two = Model(ProviderTimeout("late")), Model("Two.")
        chain = Chain(one, two)
        await chain.llm.warmup()
        assert (one.warmed, two.warmed) == (1, 0)
        await chain.answer()
        await asyncio.sleep(31)
        await chain.llm.close()
        await chain.llm.close()
        asked = len(one.asked)
        await asyncio.sleep(100)
        assert (len(one.asked), len(asyncio.all_tasks())) == (asked, 1)

    virtually(scenario)


def test_a_model_that_hangs_while_closing_does_not_keep_the_others_open() -> None:
    async def scenario() -> None:
        class Stuck(Model):
            async def close(self) -> None:
                await asyncio.get_running_loop().create_future()

        two = Model("Two.")
        chain = Chain(Stuck("One."), two)
        began = asyncio.get_running_loop().time()
        await chain.llm.close()
        assert asyncio.get_running_loop().time() - began < 1.0
        assert two.closed == 1

    virtually(scenario)
