"""How long tools run, how many at a time, and what ends them."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from running_tools import calling, hours, in_virtual_time, now, runner

from patter.call.tool_running import ToolRunner
from patter.call.types import ToolResult
from patter.environment import Environment
from patter.providers.llm import ToolCall
from patter.tools import Tool, tool


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
async def test_the_same_call_takes_over_what_an_interruption_left() -> None:
    begun: list[str] = []
    late: list[list[str]] = []

    @tool
    async def slow(day: str, people: int = 2) -> str:
        begun.append(day)
        await asyncio.sleep(10)
        return f"{day} done"

    def deliver(calls: Sequence[ToolCall], results: Sequence[ToolResult]) -> None:
        assert [one.id for one in calls] == [one.id for one in results]
        late.append([f"{one.id} {one.result}" for one in results])

    async def interrupted(*calls: ToolCall) -> None:
        waiting = asyncio.create_task(tools.run_all(calls))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    tools = runner(slow, on_late=deliver)
    await interrupted(calling("slow", {"day": "a"}, "c1"), calling("slow", {"day": "b"}, "c2"))
    await interrupted(calling("slow", '{ "day" : "b" }', "c3"))  # takes over from c2, and is left in its turn
    result = await tools.run(calling("slow", {"day": "b"}, "c4"))
    assert (result.id, result.result, now()) == ("c4", "b done", pytest.approx(10))
    await asyncio.sleep(5)
    assert (begun, late) == (["a", "b"], [["c1 a done"]])
    # what is over is run anew
    assert (await tools.run(calling("slow", {"day": "b"}, "c5"))).result == "b done"
    assert begun == ["a", "b", "b"]
    assert not tools.busy
    await tools.close()


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
