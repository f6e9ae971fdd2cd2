from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from virtual_time import now, virtual_loop

from patter.testing.virtual_loop import (
    VIRTUAL_EPOCH_S,
    VirtualClock,
    VirtualTimeLoop,
    run_virtual,
)


def test_a_day_of_sleep_takes_no_real_time() -> None:
    async def sleep_a_day() -> list[float]:
        seen = [now()]
        for _ in range(24):
            await asyncio.sleep(3600)
            seen.append(now())
        return seen

    started = time.monotonic()
    seen = run_virtual(sleep_a_day(), timeout_s=2 * 86400)
    assert seen == [3600.0 * hour for hour in range(25)]
    assert time.monotonic() - started < 5


def test_the_clock_lands_exactly_on_each_deadline() -> None:
    async def tick() -> list[float]:
        seen: list[float] = []
        loop = asyncio.get_running_loop()
        for when in (0.3, 0.1 + 0.2, 1e7 + 1e-3, 0.1):
            loop.call_at(when, lambda: seen.append(now()))
        await asyncio.sleep(2e7)
        return seen

    assert run_virtual(tick(), timeout_s=3e7) == sorted((0.3, 0.1 + 0.2, 1e7 + 1e-3, 0.1))


def test_timers_of_one_deadline_fire_in_the_order_they_were_set() -> None:
    async def fire() -> list[int]:
        fired: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(200):
            loop.call_at(1.0, fired.append, number)
            loop.call_at(2.0 - number / 1000, lambda: None)
        await asyncio.sleep(3)
        return fired

    assert run_virtual(fire()) == list(range(200))


def test_a_timer_cancelled_by_its_neighbour_at_the_same_instant_does_not_fire() -> None:
    async def cancel() -> list[str]:
        fired: list[str] = []
        loop = asyncio.get_running_loop()
        later: list[asyncio.TimerHandle] = []

        def first() -> None:
            fired.append("first")
            later[0].cancel()

        loop.call_at(1.0, first)
        later.append(loop.call_at(1.0, fired.append, "second"))
        await asyncio.sleep(2)
        return fired

    assert run_virtual(cancel()) == ["first"]


def test_cancelled_timers_do_not_pile_up() -> None:
    async def many_deadlines() -> int:
        loop = virtual_loop()
        keeper = [loop.call_later(7200, lambda: None) for _ in range(10)]
        for _ in range(20_000):
            loop.call_later(3600, lambda: None).cancel()
        kept = len(loop._timers)
        for timer in keeper:
            assert not timer.cancelled()
            timer.cancel()
        return kept

    assert run_virtual(many_deadlines()) < 200


def test_what_is_ready_runs_before_time_moves() -> None:
    async def race() -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def busy() -> None:
            for _ in range(1000):
                await asyncio.sleep(0)
            seen.append(("busy", now()))

        async def timer() -> None:
            await asyncio.sleep(0.001)
            seen.append(("timer", now()))

        await asyncio.gather(timer(), busy())
        return seen

    assert run_virtual(race()) == [("busy", 0.0), ("timer", 0.001)]


def test_timeouts_groups_events_and_queues_keep_their_meaning() -> None:
    async def everything() -> list[float]:
        marks: list[float] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.Event().wait()
        marks.append(now())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(10), 2)
        marks.append(now())
        event = asyncio.Event()
        queue: asyncio.Queue[float] = asyncio.Queue()

        async def produce() -> None:
            await asyncio.sleep(3)
            event.set()
            await asyncio.sleep(1)
            await queue.put(now())

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            await event.wait()
            marks.append(now())
            marks.append(await queue.get())
        async with asyncio.timeout_at(now() + 5):
            await asyncio.sleep(4.5)
        marks.append(now())
        return marks

    assert run_virtual(everything()) == [1.5, 3.5, 6.5, 7.5, 12.0]


def test_a_failing_child_cancels_its_siblings_in_the_order_of_creation() -> None:
    async def fail() -> list[int]:
        cancelled: list[int] = []

        async def child(number: int) -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                cancelled.append(number)
                raise

        async def failing() -> None:
            await asyncio.sleep(1)
            raise ValueError("on purpose")

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(100):
                    group.create_task(child(number))
                group.create_task(failing())
        except* ValueError:
            pass
        return cancelled

    # A set of a hundred ordinary tasks is walked in the order of their addresses.
    assert run_virtual(fail()) == list(range(100))


def test_tasks_keep_given_names_and_are_numbered_from_one_in_every_loop() -> None:
    async def names() -> list[str]:
        named = asyncio.create_task(asyncio.sleep(0), name="caller")
        unnamed = asyncio.create_task(asyncio.sleep(0))
        await asyncio.gather(named, unnamed)
        main = asyncio.current_task()
        assert main is not None
        return [main.get_name(), named.get_name(), unnamed.get_name()]

    assert run_virtual(names()) == run_virtual(names()) == ["Task-1", "caller", "Task-3"]


def test_start_and_clocks() -> None:
    async def read() -> tuple[float, float, float]:
        clock = VirtualClock(asyncio.get_running_loop())
        await asyncio.sleep(0.5)
        return now(), clock.monotonic(), clock.wall()

    loop = VirtualTimeLoop(start_s=100)
    try:
        assert run_virtual(read(), loop=loop) == (100.5, 100.5, VIRTUAL_EPOCH_S + 100.5)
        assert run_virtual(read(), loop=loop) == (101.0, 101.0, VIRTUAL_EPOCH_S + 101.0)
        assert VirtualClock(loop, epoch_s=5).wall() == 106.0
    finally:
        loop.close()


def test_settle_lets_everything_go_as_far_as_it_can_without_time() -> None:
    async def main() -> tuple[int, float]:
        steps = 0

        async def work() -> None:
            nonlocal steps
            for _ in range(50):
                await asyncio.sleep(0)
                steps += 1
            await asyncio.sleep(1)
            steps += 1000

        task = asyncio.create_task(work())
        await virtual_loop().settle()
        seen = steps, now()
        await task
        return seen

    assert run_virtual(main()) == (50, 0.0)


# The same course every time

PROGRAM = """
import asyncio
from patter.testing.virtual_loop import run_virtual

log = []

async def party(number):
    try:
        for step in range(20):
            await asyncio.sleep((number * 7 + step) % 5 / 10)
            log.append((number, step, asyncio.get_running_loop().time()))
            if number == 9 and step == 12:
                raise RuntimeError
    finally:
        log.append((number, "end"))

async def main():
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(party(number))
    except* RuntimeError:
        pass
    done, _ = await asyncio.wait([asyncio.create_task(asyncio.sleep(1, n)) for n in range(40)])
    log.append([task.result() for task in done])

run_virtual(main())
print(log)
"""


def test_two_processes_take_the_same_course() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", f"padding = [object() for _ in range({padding})]\n{PROGRAM}"],
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(padding)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for padding in (1, 12345)
    ]
    assert outputs[0] == outputs[1]
    assert "'end'" in outputs[0]


def test_debug_mode_works_too() -> None:
    async def main() -> float:
        await asyncio.sleep(1)
        await asyncio.to_thread(lambda: None)
        return now()

    loop = VirtualTimeLoop()
    loop.set_debug(True)
    try:
        assert run_virtual(main(), loop=loop) == 1.0
    finally:
        loop.close()


def test_a_closed_loop_takes_no_timers_and_no_jobs() -> None:
    loop = VirtualTimeLoop()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_later(1, lambda: None)
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_in_executor(None, lambda: None)


def test_asyncio_runner_accepts_the_loop() -> None:
    async def main() -> float:
        await asyncio.sleep(30)
        return now()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == 30.0


def test_asynchronous_generators_are_closed_at_the_end() -> None:
    closed: list[bool] = []

    async def frames() -> Any:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    generators: list[Any] = []

    async def main() -> None:
        generators.append(frames())
        assert await anext(generators[0]) == 1

    coroutine: Coroutine[Any, Any, None] = main()
    run_virtual(coroutine)
    assert closed == [True]
