"""Running tools, in virtual time."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from running_tools import calling, hours, in_virtual_time, nothing_to_do, now, runner

from patter.call.builtin_tools import CallActions
from patter.call.tool_results import LONGEST_RESULT
from patter.call.types import ToolResult
from patter.errors import ConfigError
from patter.testing.virtual_loop import run_virtual
from patter.tools import Tool, tool


@in_virtual_time
async def test_a_tool_gives_its_result() -> None:
    result = await runner(hours).run(calling("hours", {"day": "friday"}))
    assert result == ToolResult("c1", "hours", {"day": "friday"}, "friday: 9 to 5", None, 250.0)


@dataclass
class Table:
    number: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain “text”", "plain “text”"),
        ({"a": [1, True, None]}, '{"a": [1, true, null]}'),
        (None, "null"),
        (Table(4), '{"number": 4}'),
        ({3}, "[3]"),
        ("é" * LONGEST_RESULT, None),
        ("\ud800", "?"),
    ],
)
def test_a_result_is_bounded_text(value: Any, text: str | None) -> None:
    async def call() -> ToolResult:
        return await runner(Tool("x", "", None, lambda: value)).run(calling("x"))

    result = run_virtual(call())
    assert result.error is None
    assert len(result.result.encode()) <= LONGEST_RESULT
    if text is None:
        assert result.result.endswith("[cut]")
    else:
        assert result.result == text


@in_virtual_time
async def test_a_result_without_a_json_form_is_an_error_and_not_tried_again() -> None:
    calls = []
    result = await runner(Tool("x", "", None, lambda: calls.append(1) or object())).run(calling("x"))
    assert "no JSON form" in json.loads(result.result)["error"]
    assert len(calls) == 1


@in_virtual_time
async def test_a_handler_may_ask_for_the_call() -> None:
    @tool
    def who(call: Any) -> str:
        return call.caller

    class Call:
        caller = "Miller"

    class Other:
        caller = "Smith"

    tools = runner(who, call_object=Call())
    assert (await tools.run(calling("who"))).result == "Miller"
    assert (await tools.run(calling("who"), Other())).result == "Smith"


@pytest.mark.behaviour("TL-02")
@in_virtual_time
async def test_a_failing_tool_is_tried_three_times_and_a_malformed_call_not_at_all() -> None:
    times: list[float] = []

    @tool
    async def fail(day: str = "") -> str:
        times.append(now())
        raise ConnectionError("no route")

    for _ in range(20):
        tools = runner(fail, hours)  # each with breakers of its own
        times.clear()
        result = await tools.run(calling("fail"))
        assert json.loads(result.result) == {"error": "ConnectionError: no route", "fallback": True}
        assert result.error == "ConnectionError: no route"
        first, second, third = times
        assert 0.5 <= second - first <= 0.56
        assert 1.0 <= third - second <= 1.06

    times.clear()
    started = now()
    for bad in ("{", "[]", "1", '{"day": ' + "[" * 100_000, '{"day": 1}', '{"nope": 1}', "x" * 70_000):
        result = await tools.run(calling("fail", bad))
        assert set(json.loads(result.result)) == {"error"}
        assert result.error
    unknown = await tools.run(calling("fial"))
    assert json.loads(unknown.result) == {"error": "there is no tool 'fial'"}
    assert (times, now()) == ([], started)
    # and the call goes on
    assert (await tools.run(calling("hours", {"day": "friday"}))).error is None


@in_virtual_time
async def test_a_tool_that_fails_once_is_forgiven() -> None:
    calls: list[int] = []

    @tool
    async def flaky() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise OSError
        return "done"

    result = await runner(flaky).run(calling("flaky"))
    assert (result.result, result.error, len(calls)) == ("done", None, 3)


@in_virtual_time
async def test_a_cancellation_of_the_handlers_own_is_a_failure() -> None:
    @tool
    async def confused() -> None:
        raise asyncio.CancelledError

    assert json.loads((await runner(confused).run(calling("confused"))).result)["fallback"] is True


def test_no_secret_reaches_model_or_log(caplog: pytest.LogCaptureFixture) -> None:
    @tool
    def fail() -> str:
        raise ValueError("GET https://api.example.com/?api_key=abcdef123456 for +15550001234\nforged")

    async def call() -> ToolResult:
        return await runner(fail).run(calling("fail"))

    with caplog.at_level(logging.DEBUG):
        result = run_virtual(call())
    for text in (result.result, str(result.error), caplog.text):
        assert "abcdef" not in text
        assert "+1555" not in text
    assert "test_tool_running.py" in caplog.text  # where it happened


@pytest.mark.behaviour("TL-05")
@in_virtual_time
async def test_only_the_result_of_a_generator_counts() -> None:
    closed = asyncio.Event()

    @tool
    async def slow(day: str) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"progress": "looking"}
            await asyncio.sleep(1)
            yield {"progress": 50}
            yield {"result": {"day": day}}
            yield {"result": "never"}
        finally:
            closed.set()

    result = await runner(slow).run(calling("slow", {"day": "friday"}))
    assert result.result == '{"day": "friday"}'
    assert closed.is_set()


@pytest.mark.parametrize("last", [[], ["text"], [{"other": 1}]])
def test_a_generator_without_a_result_has_failed(last: list[Any]) -> None:
    @tool
    async def odd() -> AsyncIterator[Any]:
        yield {"progress": 1}
        for step in last:
            yield step

    async def call() -> ToolResult:
        return await runner(odd).run(calling("odd"))

    assert "result" in json.loads(run_virtual(call()).result)["error"]


def test_two_tools_of_one_name_are_refused() -> None:
    async def make() -> None:
        with pytest.raises(ConfigError, match="hours"):
            runner(hours, hours)
        with pytest.raises(ConfigError, match="end_call"):
            runner(Tool("end_call", "", None, lambda: None), actions=CallActions(nothing_to_do))

    run_virtual(make())
