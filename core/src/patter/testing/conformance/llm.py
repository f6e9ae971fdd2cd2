"""What a language model must do."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any, ClassVar

import pytest

from patter.metrics.cost_meter import CallMeter
from patter.providers.llm import LLM, Done, LLMChunk, Message, Text, ToolCallDelta, ToolSpec, Usage
from patter.records import LLMRecord, ProviderKind
from patter.testing.conformance.parking import ParkingConformance
from patter.testing.conformance.subject import Server, Subject, closed

#: a stream ends within this after its cancel event, in s (LM-01)
STOP_S = 0.1
LOOKUP = ToolSpec(
    "look_up",
    "Looks up the opening hours of a day.",
    {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
)


class LLMConformance(ParkingConformance):
    """Checks of `patter.providers.llm.LLM`.

    Attributes:
        question: what the model is asked; it must answer it with some words.
        tool_question: what makes it call `look_up(day)`, if it can be made to.
    """

    kind: ClassVar[ProviderKind] = "llm"
    question: ClassVar[str] = "Hello, how are you?"
    tool_question: ClassVar[str | None] = None

    async def work(self, provider: Any) -> None:
        """Answer one question."""
        await self.answer(provider, self.question)

    async def use(self, provider: Any, meter: CallMeter) -> None:
        """Answer one question."""
        with meter.request(provider, [Message("user", self.question)]) as bill:
            for chunk in await self.answer(provider, self.question):
                bill.take(chunk)

    async def answer(self, model: LLM, question: str, tools: tuple[ToolSpec, ...] = ()) -> list[LLMChunk]:
        """All chunks of the answer."""
        messages = [Message("system", "You are helpful."), Message("user", question)]
        stream: Any = model.stream(messages, tools, cancel_event=asyncio.Event(), call_id="call_1")
        async with aclosing(stream) as chunks:
            return [chunk async for chunk in chunks]

    def test_it_streams_text_and_ends_with_done(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            model = subject.make()
            assert isinstance(model, LLM)
            chunks = await self.answer(model, self.question)
            texts = [chunk.content for chunk in chunks if isinstance(chunk, Text)]
            assert "".join(texts).strip()
            assert all(texts)
            assert [type(chunk) for chunk in chunks].count(Done) == 1
            assert isinstance(chunks[-1], Done)
            await closed(model)

        self.run(server, check)

    def test_usage_is_reported_once(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            model = subject.make()
            found = [one for one in await self.answer(model, self.question) if isinstance(one, Usage)]
            assert len(found) <= 1, "without the vendor's own figure none is to be sent: core estimates"
            for usage in found:
                assert 0 <= usage.cache_read_tokens + usage.cache_write_tokens <= usage.input_tokens
                assert usage.output_tokens >= 0
                assert not usage.estimated
            await closed(model)

        self.run(server, check)

    @pytest.mark.parametrize("chunks_before", [0, 1])
    def test_the_cancel_event_ends_the_stream(self, server: Server, chunks_before: int) -> None:
        async def check(subject: Subject) -> None:
            loop, cancel = asyncio.get_running_loop(), asyncio.Event()
            model = subject.make()
            stream: Any = model.stream(
                [Message("user", self.question)], [], cancel_event=cancel, call_id="call_1"
            )
            for _ in range(chunks_before):
                await anext(stream)
            cancel.set()
            began = loop.time()
            assert [chunk async for chunk in stream] == []
            assert loop.time() - began <= STOP_S
            await closed(model)

        self.run(server, check)

    def test_closing_the_stream_ends_it(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            loop = asyncio.get_running_loop()
            model = subject.make()
            stream: Any = model.stream(
                [Message("user", self.question)], [], cancel_event=asyncio.Event(), call_id="call_1"
            )
            await anext(stream)
            began = loop.time()
            await stream.aclose()
            assert loop.time() - began <= STOP_S
            await self.work(model)
            await closed(model)

        self.run(server, check)

    def test_a_tool_call_can_be_put_together_and_answered(self, server: Server) -> None:
        if self.tool_question is None:
            pytest.skip("tool_question is not set")
        question = self.tool_question

        async def check(subject: Subject) -> None:
            assert isinstance(subject.record, LLMRecord)
            assert subject.record.tools
            model = subject.make()
            chunks = await self.answer(model, question, (LOOKUP,))
            deltas = [chunk for chunk in chunks if isinstance(chunk, ToolCallDelta)]
            assert {delta.index for delta in deltas} == {deltas[0].index}
            assert deltas[0].name == LOOKUP.name
            assert deltas[0].id
            assert isinstance(json.loads("".join(delta.arguments for delta in deltas)), dict)
            await closed(model)

        self.run(server, check)
