"""The caller speaks while a tool runs: whole calls in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from patter import hookimpl
from patter.call.tool_rounds import LeftRounds
from patter.providers.llm import ToolCall
from patter.testing import CallTool, Reply
from patter.tools import Tool, tool


class Desk:
    """A booking that takes its time, and what became of it."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s
        self.begun: list[str] = []
        self.done: list[str] = []

    @property
    def tool(self) -> Tool:
        @tool
        async def book(day: str) -> str:
            """Book a table."""
            self.begun.append(day)
            await asyncio.sleep(self.takes_s)
            self.done.append(day)
            return f"booked for {day}"

        return book


def booking(text: str = "", day: str = "friday", call_id: str = "b1") -> Reply:
    return Reply(text, tools=[CallTool("book", {"day": day}, call_id)])


def roles(call: Any) -> list[str]:
    """The history, one word for each entry."""
    return [
        f"{one.role}:{one.tool_calls[0].id}"
        if one.tool_calls
        else (one.role if one.tool_call_id is None else f"{one.role}:{one.tool_call_id}")
        for one in call.call.history
    ]


FILLER = (
    "One moment please, I am going to look into the book for you right away, this can take a little while."
)


@pytest.mark.behaviour("TL-08")
@pytest.mark.parametrize("text", [FILLER, ""], ids=["over the agent", "into the silence"])
async def test_a_late_result_enters_the_history_once_and_starts_no_reply(simcall: Any, text: str) -> None:
    desk = Desk(takes_s=12)
    async with simcall(
        tools=[desk.tool], replies=[booking(text), "We open at nine.", "Yes, it is booked."]
    ) as call:
        await call.caller_says("Book a table for friday.")
        await asyncio.sleep(2)
        assert (desk.begun, desk.done) == (["friday"], [])
        await call.caller_says("Wait, when do you open?")
        await call.agent_says("We open at nine.")
        assert desk.done == []
        asked, said = len(call.scene.model.requests), len(call.heard)
        assert not any(role.startswith("tool") for role in roles(call))
        await asyncio.sleep(20)
        # it ran on to its end, once; the result is in the history, and nobody said a word about it
        assert (desk.begun, desk.done) == (["friday"], ["friday"])
        assert len(call.scene.model.requests) == asked
        assert len(call.heard) == said
        assert roles(call)[-2:] == ["assistant:b1", "tool:b1"]
        assert call.call.history[-1].content == "booked for friday"
        # the model knows of it when the caller speaks next
        await call.caller_says("Is it booked?")
        await call.agent_says("Yes, it is booked.")
        sent = [one.content for one in call.scene.model.requests[-1] if one.role == "tool"]
        assert sent == ["booked for friday"]
    assert roles(call).count("tool:b1") == 1
    assert roles(call).count("assistant:b1") == 1
    assert desk.begun == ["friday"]


@pytest.mark.behaviour("TL-08")
async def test_a_model_that_asks_again_gets_the_result_of_the_run_under_way(simcall: Any) -> None:
    desk = Desk(takes_s=6)
    replies = [booking(FILLER), booking(call_id="b2"), "It is booked."]
    async with simcall(tools=[desk.tool], replies=replies) as call:
        await call.caller_says("Book a table for friday.")
        await asyncio.sleep(1)
        await call.caller_says("Did you hear me?")
        await call.agent_says("It is booked.")
        await asyncio.sleep(20)
    assert (desk.begun, desk.done) == (["friday"], ["friday"])
    assert [one for one in roles(call) if ":" in one] == ["assistant:b2", "tool:b2"]


async def test_other_arguments_are_another_run(simcall: Any) -> None:
    desk = Desk(takes_s=6)
    replies = [booking(FILLER), booking(day="sunday", call_id="b2"), "It is booked."]
    async with simcall(tools=[desk.tool], replies=replies) as call:
        await call.caller_says("Book a table for friday.")
        await asyncio.sleep(1)
        await call.caller_says("I mean sunday.")
        await call.agent_says("It is booked.")
        await asyncio.sleep(20)
    assert desk.done == ["friday", "sunday"]
    assert sorted(one for one in roles(call) if ":" in one) == sorted(
        ["assistant:b1", "tool:b1", "assistant:b2", "tool:b2"]
    )


class Told:
    """Keeps what hooks are told of tools."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.results: list[tuple[str, str, str | None]] = []

    @hookimpl
    async def patter_tool_finished(self, tool_call: Any) -> None:
        self.results.append((tool_call.id, tool_call.result, tool_call.error))
        await asyncio.sleep(self.takes_s)


async def test_hooks_are_told_of_a_late_result_once(phone: Any, simcall: Any) -> None:
    desk, told = Desk(takes_s=6), Told()
    phone.register(told)
    async with simcall(tools=[desk.tool], replies=[booking(FILLER), "We open at nine."]) as call:
        await call.caller_says("Book a table for friday.")
        await asyncio.sleep(1)
        await call.caller_says("Wait, when do you open?")
        await call.agent_says("We open at nine.")
        assert told.results == []
        await asyncio.sleep(20)
        assert told.results == [("b1", "booked for friday", None)]
    assert told.results == [("b1", "booked for friday", None)]


async def test_a_result_is_in_the_history_though_the_caller_interrupts_who_is_told_of_it(
    phone: Any, simcall: Any
) -> None:
    desk, told = Desk(takes_s=0.5), Told(takes_s=0.9)
    phone.register(told)
    async with simcall(tools=[desk.tool], replies=[booking(), "Yes, it is booked."]) as call:
        await call.caller_says("Book a table for friday.")
        while not told.results:
            await asyncio.sleep(0.01)
        await call.caller_says("Well?")  # while they are being told
        assert roles(call).count("tool:b1") == 1
        await call.agent_says("Yes, it is booked.")
        assert roles(call).count("tool:b1") == 1
    assert desk.begun == ["friday"]
    assert len(told.results) == 1


async def test_a_call_that_ends_first_gets_no_result(simcall: Any) -> None:
    desk = Desk(takes_s=12)
    async with simcall(tools=[desk.tool], replies=[booking(FILLER), "We open at nine."]) as call:
        await call.caller_says("Book a table for friday.")
        await asyncio.sleep(2)
        await call.caller_says("Wait, when do you open?")
        await call.agent_says("We open at nine.")
        summary = await call.caller_hangs_up()
    await asyncio.sleep(30)
    assert desk.done == []
    assert not any(one.role == "tool" for one in summary.history)


def test_nothing_is_left_of_rounds_that_were_never_left() -> None:
    left = LeftRounds()
    assert left.take_over(ToolCall("b1", "book", "{")) is None
    assert len(left) == 0
