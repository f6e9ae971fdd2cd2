"""Running tools, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from patter.call.builtin_tools import CallActions, builtin_tools
from patter.call.tool_results import LONGEST_RESULT
from patter.call.tool_running import ToolRunner
from patter.call.transfer_policy import TransferPolicy
from patter.call.types import ToolResult
from patter.environment import Environment
from patter.errors import ConfigError
from patter.providers.llm import ToolCall
from patter.testing.virtual_loop import VirtualClock, run_virtual
from patter.tools import Tool, tool


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @functools.wraps(test)
    def run() -> None:
        run_virtual(test())

    del run.__wrapped__  # pytest would see the coroutine function
    return run


def runner(*tools: Tool, **options: Any) -> ToolRunner:
    environment = Environment.seeded(1, VirtualClock(asyncio.get_running_loop()))
    return ToolRunner(tools, environment=environment, **options)


def calling(name: str, arguments: Any = None, call_id: str = "c1") -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return ToolCall(call_id, name, text)


def now() -> float:
    return asyncio.get_running_loop().time()


@tool
async def hours(day: str) -> str:
    """Opening hours."""
    await asyncio.sleep(0.25)
    return f"{day}: 9 to 5"


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

    tools = runner(fail, hours)
    for _ in range(20):
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


@in_virtual_time
async def test_an_interruption_does_not_stop_a_tool() -> None:
    calls: list[str] = []
    late: list[tuple[Sequence[ToolCall], Sequence[ToolResult]]] = []

    @tool
    async def slow() -> str:
        calls.append("begin")
        await asyncio.sleep(2)
        return "done"

    tools = runner(slow, hours, on_late=lambda *given: late.append(given))
    round_of_two = [calling("hours", {"day": "friday"}, "c1"), calling("slow", call_id="c2")]
    waiting = asyncio.create_task(tools.run_all(round_of_two))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (now(), late) == (1.0, [])
    await asyncio.sleep(5)
    ((late_calls, results),) = late
    assert list(late_calls) == round_of_two
    assert [result.result for result in results] == ["friday: 9 to 5", "done"]
    assert calls == ["begin"]


@in_virtual_time
async def test_a_tool_ends_within_its_time() -> None:
    ended: list[str] = []

    @tool(timeout_s=3)
    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("slow")

    @tool(timeout_s=3)
    async def stubborn() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append("stubborn")

    @tool(timeout_s=3)
    async def retried() -> None:
        await asyncio.sleep(1.1)
        raise OSError

    tools = runner(slow, stubborn, retried)
    for name in ("slow", "stubborn", "retried"):
        started = now()
        result = await tools.run(calling(name))
        assert json.loads(result.result) == {"error": "timeout", "fallback": True}
        assert (result.error, result.duration_ms) == ("timeout", pytest.approx(3000))
        assert now() - started == pytest.approx(3)
    await asyncio.sleep(0)
    assert ended == ["slow", "stubborn"]
    assert await tools.close() == ()


@in_virtual_time
async def test_the_default_time_is_15_s() -> None:
    @tool
    async def slow() -> None:
        await asyncio.sleep(60)

    assert (await runner(slow).run(calling("slow"))).duration_ms == pytest.approx(15_000)


@in_virtual_time
async def test_at_most_eight_run_at_a_time_and_waiting_counts() -> None:
    running: list[int] = [0, 0]

    @tool(timeout_s=4.5)
    async def count() -> str:
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(2)
        running[0] -= 1
        return "done"

    tools = runner(count)
    results = await tools.run_all([calling("count", call_id=str(number)) for number in range(20)])
    assert running[1] == 8
    assert now() == pytest.approx(4.5)
    assert [result.error for result in results] == [None] * 16 + ["timeout"] * 4


@in_virtual_time
async def test_the_limit_can_be_shared() -> None:
    limit = asyncio.Semaphore(1)
    tools = runner(hours, limit=limit)
    async with limit:
        waiting = asyncio.create_task(tools.run(calling("hours", {"day": "friday"})))
        await asyncio.sleep(1)
        assert not waiting.done()
    assert (await waiting).error is None


@in_virtual_time
async def test_close_leaves_nothing() -> None:
    late: list[Any] = []

    @tool
    async def slow() -> None:
        await asyncio.sleep(10)

    tools = runner(slow, on_late=lambda *given: late.append(given))
    waiting = asyncio.create_task(tools.run(calling("slow")))
    await asyncio.sleep(1)
    assert await tools.close() == ()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(60)
    assert late == []


@pytest.mark.realtime
@pytest.mark.behaviour("TL-09")
def test_a_plain_function_that_blocks_holds_nothing_up() -> None:
    """Real threads: the loop keeps its beat, the model hears of the timeout, the late result is dropped."""
    release = threading.Event()
    calls: list[str] = []
    threads: list[threading.Thread] = []

    @tool(timeout_s=0.3)
    def block() -> str:
        calls.append("block")
        threads.append(threading.current_thread())
        release.wait(10)
        return "late"

    @tool(timeout_s=0.3)
    def quick() -> str:
        return "quick"

    async def main() -> None:
        tools = ToolRunner([block, quick], environment=Environment(), on_late=lambda *_: calls.append("late"))
        gaps: list[float] = []

        async def beat() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.01)
                gaps.append(time.perf_counter() - before)

        beating = asyncio.create_task(beat())
        result = await tools.run(calling("block"))
        assert json.loads(result.result) == {"error": "timeout", "fallback": True}
        assert 290 <= result.duration_ms <= 800
        assert threads[0] is not threading.main_thread()
        assert max(gaps) < 0.2
        # the thread that hangs takes one of the eight places until it ends
        results = await tools.run_all([calling("block", call_id=str(number)) for number in range(8)])
        assert [one.error for one in results] == ["timeout"] * 8
        assert calls.count("block") == 8
        assert (await tools.run(calling("quick"))).error == "timeout"
        release.set()
        await asyncio.sleep(0.1)
        assert (await tools.run(calling("quick"))).result == "quick"
        beating.cancel()
        await tools.close()

    asyncio.run(main())
    assert Tool("x", "", None, lambda: None).timeout_s == 15.0
    assert "late" not in calls


def test_two_tools_of_one_name_are_refused() -> None:
    async def make() -> None:
        with pytest.raises(ConfigError, match="hours"):
            runner(hours, hours)
        with pytest.raises(ConfigError, match="end_call"):
            runner(Tool("end_call", "", None, lambda: None), actions=CallActions(nothing_to_do))

    run_virtual(make())


async def nothing_to_do(_: str) -> None: ...


@in_virtual_time
async def test_the_built_in_tools_act_on_the_call() -> None:
    acted: list[tuple[str, str]] = []
    policy = TransferPolicy(allowed_prefixes=["+1555"])

    async def end(reason: str) -> None:
        acted.append(("end", reason))

    async def transfer(number: str) -> None:
        acted.append(("transfer", policy.check(number)))

    tools = runner(hours, actions=CallActions(end, transfer))
    assert [spec.name for spec in tools.specs] == ["hours", "transfer_call", "end_call"]
    assert [spec.name for spec in builtin_tools(can_transfer=False)] == ["end_call"]
    assert tools.specs[1:] == builtin_tools(can_transfer=True)
    assert (await tools.run(calling("end_call"))).result == '{"ok": true}'
    assert (await tools.run(calling("end_call", {"reason": "done"}))).error is None
    assert (await tools.run(calling("transfer_call", {"number": "+15550001234"}))).error is None
    assert acted == [("end", ""), ("end", "done"), ("transfer", "+15550001234")]
    for number in ("5550001234", "+4930123456", "the boss"):
        result = await tools.run(calling("transfer_call", {"number": number}))
        assert set(json.loads(result.result)) == {"error"}
        assert result.duration_ms == 0
    assert (
        await tools.run(calling("transfer_call", {"number": 1}))
    ).error == "number: must be of type string"
    assert len(acted) == 3


@in_virtual_time
async def test_a_transfer_that_fails_is_not_tried_again() -> None:
    tries: list[str] = []

    async def transfer(number: str) -> None:
        tries.append(number)
        raise ConnectionError("carrier")

    tools = runner(actions=CallActions(nothing_to_do, transfer))
    result = await tools.run(calling("transfer_call", {"number": "+15550001234"}))
    assert json.loads(result.result) == {"error": "ConnectionError: carrier", "fallback": True}
    assert len(tries) == 1


@in_virtual_time
async def test_a_built_in_tool_that_cannot_transfer_is_not_there() -> None:
    tools = runner(actions=CallActions(nothing_to_do))
    assert [spec.name for spec in tools.specs] == ["end_call"]
    assert (await tools.run(calling("transfer_call", {"number": "+15550001234"}))).error is not None
