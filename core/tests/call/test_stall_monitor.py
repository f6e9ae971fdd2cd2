"""The stall monitor, on the real clock: each test blocks its loop for a fraction of a second, on purpose."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from patter import Agent, BargeInStrategy, Patter, hookimpl
from patter.call.events import EventStream
from patter.call.guarded_strategy import GuardedStrategy
from patter.call.pacer import Pacer
from patter.call.tool_running import ToolRunner
from patter.environment import Environment, SystemClock
from patter.plugins import HookDispatcher, PluginManager, Scope
from patter.providers.barge_in import BargeInEvent
from patter.providers.llm import ToolCall
from patter.stall_monitor import Stall, StallMonitor
from patter.testing import fake_plugin
from patter.testing.virtual_loop import VirtualClock, VirtualTimeLoop
from patter.tools import tool

pytestmark = pytest.mark.realtime

THRESHOLD_S = 0.1
BLOCK_S = 0.25


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert "patter stall monitor" not in [thread.name for thread in threading.enumerate()]


def block() -> None:
    time.sleep(BLOCK_S)


def watched(work: Callable[[], Coroutine[Any, Any, object]]) -> tuple[StallMonitor, list[Stall]]:
    """Run this on a watched loop; what the monitor counted, and what it told."""
    stalls: list[Stall] = []
    monitor = StallMonitor(SystemClock(), THRESHOLD_S, stalls.append)

    async def main() -> None:
        monitor.start()
        monitor.watch()
        await asyncio.sleep(0.03)
        await work()
        # the thread tells of it a moment after the loop goes on
        await asyncio.sleep(0.1)
        monitor.rest()
        monitor.stop()

    asyncio.run(main())
    return monitor, stalls


def the_one(work: Callable[[], Coroutine[Any, Any, object]]) -> Stall:
    monitor, stalls = watched(work)
    assert monitor.stalls == len(stalls) == 1
    assert monitor.longest_s == stalls[0].duration_s
    return stalls[0]


async def after_an_await(call: object, digit: str) -> None:
    await asyncio.sleep(0.02)
    block()


def hooks(implementation: Callable[..., object]) -> HookDispatcher:
    scope = Scope()
    scope.register(
        type("Plugin", (), {"patter_dtmf": staticmethod(hookimpl(implementation))})(), "keypad-plugin"
    )
    return HookDispatcher([scope], Environment(), arguments={"call": None})


@pytest.mark.behaviour("CF-10")
def test_a_blocking_hook_is_named_while_it_lasts_and_its_duration_told_after(
    caplog: pytest.LogCaptureFixture,
) -> None:
    said_meanwhile: list[str] = []

    def slow(call: object, digit: str) -> None:
        block()
        said_meanwhile.extend(caplog.messages)

    stall = the_one(lambda: hooks(slow).notify("patter_dtmf", digit="1"))
    assert stall.who == "hook patter_dtmf of plugin 'keypad-plugin'"
    assert "in slow" in stall.stack
    assert stall.stack.rstrip().endswith("time.sleep(BLOCK_S)")
    assert "base_events" not in stall.stack
    # the beat was due up to a quarter of the threshold after the block began; a loaded machine adds to the other end
    assert BLOCK_S - THRESHOLD_S / 4 - 0.01 <= stall.duration_s < BLOCK_S + 0.5
    warnings = [one.getMessage() for one in caplog.records if one.name == "patter.stall_monitor"]
    assert len(warnings) == 2
    assert said_meanwhile == warnings[:1]
    assert warnings[0].endswith("every call waits for hook patter_dtmf of plugin 'keypad-plugin'")
    stacks = [one.stack_info or "" for one in caplog.records if one.name == "patter.stall_monitor"]
    assert stacks[0].endswith("time.sleep(BLOCK_S)")
    assert stacks[1] == ""
    assert f"goes on after {stall.duration_s * 1000:.0f} ms" in warnings[1]


@pytest.mark.behaviour("CF-10")
def test_a_coroutine_that_blocks_after_an_await_is_named_by_its_hook() -> None:
    stall = the_one(lambda: hooks(after_an_await).notify("patter_dtmf", digit="1"))
    assert stall.who == "hook patter_dtmf of plugin 'keypad-plugin'"
    assert "in after_an_await" in stall.stack


@pytest.mark.behaviour("CF-10")
def test_a_blocking_strategy_is_named() -> None:
    class Ponder(BargeInStrategy):
        def evaluate(self, event: BargeInEvent) -> bool:
            block()
            return False

    strategy = GuardedStrategy(Ponder(), "ponder?depth=9", SystemClock())
    event = BargeInEvent("final", "stop", True, True, 200.0, 900.0)

    async def evaluate() -> None:
        strategy.evaluate(event)

    assert the_one(evaluate).who == "barge-in strategy ponder?depth=9"


def test_a_blocking_coroutine_tool_is_named() -> None:
    @tool
    async def look_up(name: str) -> str:
        """Look someone up."""
        await asyncio.sleep(0.01)
        block()
        return name

    async def run() -> None:
        runner = ToolRunner([look_up], environment=Environment())
        results = await runner.run_all([ToolCall("c1", "look_up", '{"name": "Ada"}')])
        assert [one.result for one in results] == ["Ada"]

    assert the_one(run).who == "tool look_up"


def test_a_plain_tool_in_its_thread_stalls_nothing() -> None:
    @tool
    def look_up(name: str) -> str:
        """Look someone up."""
        block()
        return name

    async def run() -> None:
        runner = ToolRunner([look_up], environment=Environment())
        await runner.run_all([ToolCall("c1", "look_up", '{"name": "Ada"}')])
        await runner.close()

    monitor, _ = watched(run)
    assert monitor.stalls == 0


def test_a_blocking_subscriber_is_named_and_other_code_by_its_function() -> None:
    events = EventStream()
    events.on("dtmf", lambda _: block())

    async def press() -> None:
        events.emit("dtmf", "1")

    assert the_one(press).who == "a subscriber of dtmf"

    async def plain() -> None:
        block()

    assert the_one(plain).who.startswith("block in ")


def test_it_sees_through_a_loop_that_is_not_made_of_python_code() -> None:
    uvloop = pytest.importorskip("uvloop")
    stalls: list[Stall] = []

    async def main() -> None:
        monitor = StallMonitor(SystemClock(), THRESHOLD_S, stalls.append)
        monitor.start()
        monitor.watch()
        await asyncio.sleep(0.03)
        await hooks(after_an_await).notify("patter_dtmf", digit="1")
        await asyncio.sleep(0.1)
        monitor.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert [stall.who for stall in stalls] == ["hook patter_dtmf of plugin 'keypad-plugin'"]
    assert "runners.py" not in stalls[0].stack


def test_each_stall_is_counted_and_the_longest_kept() -> None:
    async def twice() -> None:
        time.sleep(0.2)
        await asyncio.sleep(0.1)
        time.sleep(0.35)

    monitor, stalls = watched(twice)
    assert monitor.stalls == len(stalls) == 2
    assert monitor.longest_s == stalls[1].duration_s > stalls[0].duration_s


def test_what_is_shorter_than_the_threshold_is_no_stall() -> None:
    async def busy() -> None:
        for _ in range(10):
            time.sleep(0.03)
            await asyncio.sleep(0)

    monitor = StallMonitor(SystemClock(), 0.3)

    async def main() -> None:
        monitor.start()
        monitor.watch()
        await busy()
        monitor.stop()

    asyncio.run(main())
    assert monitor.stalls == 0


def test_it_watches_only_while_a_call_is_paced() -> None:
    class Idle:
        due = None

        def step(self, t: float) -> None:
            raise AssertionError("it is never due")

    monitor = StallMonitor(SystemClock(), THRESHOLD_S)

    async def main() -> None:
        pacer, call = Pacer(SystemClock(), monitor), Idle()
        monitor.start()
        block()
        await asyncio.sleep(0.05)
        assert monitor.stalls == 0
        pacer.add(call)
        await asyncio.sleep(0.05)
        block()
        await asyncio.sleep(0.05)
        assert monitor.stalls == 1
        pacer.remove(call)
        await asyncio.sleep(0.05)
        block()
        await asyncio.sleep(0.05)
        assert monitor.stalls == 1
        monitor.stop()

    asyncio.run(main())


def test_a_phone_starts_it_when_it_serves_and_leaves_no_thread() -> None:
    async def main() -> None:
        phone = Patter(
            carrier="fake",
            phone_number="+15550001234",
            manager=PluginManager([fake_plugin], autoload=False, environ={}),
        )

        def alive() -> int:
            return [thread.name for thread in threading.enumerate()].count("patter stall monitor")

        for _ in range(2):
            await phone.start(Agent(stt="fake", llm="fake", tts="fake"), port=0)
            assert alive() == 1
            await phone.disconnect()
            assert alive() == 0

    asyncio.run(main())


def test_it_does_nothing_in_virtual_time() -> None:
    loop = VirtualTimeLoop()
    monitors = [StallMonitor(SystemClock()), StallMonitor(VirtualClock(loop))]

    async def main() -> None:
        for monitor in monitors:
            monitor.start()
            monitor.watch()
        await asyncio.sleep(3600)
        assert "patter stall monitor" not in [thread.name for thread in threading.enumerate()]
        for monitor in monitors:
            monitor.rest()
            monitor.stop()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert [monitor.stalls for monitor in monitors] == [0, 0]
