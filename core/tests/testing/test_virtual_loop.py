from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from patter.testing.virtual_loop import (
    VIRTUAL_EPOCH_S,
    LeakedTasksError,
    VirtualClock,
    VirtualTimeDeadlock,
    VirtualTimeLimitExceeded,
    VirtualTimeLoop,
    run_virtual,
)


def now() -> float:
    return asyncio.get_running_loop().time()


def virtual_loop() -> VirtualTimeLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


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


# Deadlocks and limits


def test_a_deadlock_names_the_tasks_that_wait() -> None:
    async def listen_for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(2)
        listener = asyncio.create_task(listen_for_ever(), name="listener")
        await listener

    with pytest.raises(VirtualTimeDeadlock) as caught:
        run_virtual(main())
    text = str(caught.value)
    assert "stands at 2.000 s" in text
    assert "'listener'" in text
    assert "listen_for_ever (test_virtual_loop.py:" in text
    assert "'Task-1'" in text
    assert os.sep not in text
    assert "'listener'" in caught.value.__notes__[0]


def test_a_timer_at_infinity_does_not_hide_a_deadlock() -> None:
    with pytest.raises(VirtualTimeDeadlock):
        run_virtual(asyncio.sleep(float("inf")))


def test_a_cancelled_timer_does_not_hide_a_deadlock() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(5, lambda: None).cancel()
        await asyncio.get_running_loop().create_future()

    with pytest.raises(VirtualTimeDeadlock, match=r"stands at 0\.000 s"):
        run_virtual(main())


def test_the_loop_can_be_used_after_a_deadlock() -> None:
    loop = VirtualTimeLoop()
    try:
        with pytest.raises(VirtualTimeDeadlock):
            loop.run_until_complete(loop.create_future())
        assert loop.run_until_complete(asyncio.sleep(1, "fine")) == "fine"
    finally:
        loop.close()


def test_a_loop_of_sleep_zero_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("patter.testing.virtual_loop._PASSES_PER_INSTANT", 1000)

    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(VirtualTimeDeadlock, match="has not moved"):
        run_virtual(spin())


def test_the_limit_of_virtual_time_names_who_was_pending_and_cancels_them() -> None:
    cleaned_up: list[float] = []

    async def ticker() -> None:
        try:
            while True:
                await asyncio.sleep(7)
        finally:
            cleaned_up.append(now())

    async def main() -> None:
        await asyncio.create_task(ticker(), name="ticker")

    with pytest.raises(VirtualTimeLimitExceeded, match="ticker") as caught:
        run_virtual(main(), timeout_s=60)
    assert isinstance(caught.value, TimeoutError)
    assert cleaned_up == [56.0]


def test_a_result_at_the_very_limit_counts() -> None:
    assert run_virtual(asyncio.sleep(60, "just"), timeout_s=60) == "just"


# Leaks


def test_leaked_tasks_are_named_and_cancelled() -> None:
    ended: list[str] = []

    async def linger(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(name)

    async def main() -> str:
        asyncio.create_task(linger("a"), name="first leak").add_done_callback(lambda _: None)
        asyncio.create_task(linger("b"), name="second leak").add_done_callback(lambda _: None)
        await asyncio.sleep(1)
        return "done"

    with pytest.raises(LeakedTasksError, match=r"'first leak' .*linger.*, 'second leak'"):
        run_virtual(main())
    assert ended == ["a", "b"]


def test_a_task_that_ends_at_once_is_no_leak() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def finish() -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def main() -> str:
        tasks.append(asyncio.create_task(finish()))
        return "done"

    assert run_virtual(main()) == "done"
    assert tasks[0].done()


def test_an_error_of_the_coroutine_comes_first_and_the_leak_is_a_note() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(1000), name="left behind")
        await asyncio.sleep(0)
        assert not task.done()
        raise LookupError("the reason")

    with pytest.raises(LookupError, match="the reason") as caught:
        run_virtual(main())
    assert "left behind" in caught.value.__notes__[0]


def test_a_task_that_ignores_its_cancellation_does_not_hang_the_run(caplog: pytest.LogCaptureFixture) -> None:
    released = False

    async def stubborn() -> None:
        while not released:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        task = asyncio.create_task(stubborn(), name="stubborn")
        await asyncio.sleep(5)
        assert not task.done()

    loop = VirtualTimeLoop()
    try:
        with pytest.raises(LeakedTasksError, match="stubborn"):
            run_virtual(main(), loop=loop)
        assert "'stubborn'" in caplog.text
        assert "ignores its cancellation" in caplog.text
        released = True
        loop.run_until_complete(asyncio.sleep(2))
    finally:
        loop.close()


def test_tasks_that_a_given_loop_already_had_are_left_alone() -> None:
    loop = VirtualTimeLoop()
    try:
        background = loop.create_task(asyncio.sleep(100, "still here"))
        assert run_virtual(asyncio.sleep(1, "quick"), loop=loop) == "quick"
        assert loop.run_until_complete(background) == "still here"
    finally:
        loop.close()


def test_run_virtual_inside_a_running_loop_is_refused_without_a_warning() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match="while an event loop is running"):
            run_virtual(asyncio.sleep(1))

    run_virtual(main())


# Executors


def test_a_job_runs_inline_and_is_charged_its_declared_time() -> None:
    threads: list[int] = []

    def job(value: int) -> int:
        threads.append(threading.get_ident())
        return value * 2

    async def main() -> tuple[int, float, int, float]:
        loop = virtual_loop()
        loop.executor_duration_s = 0.25
        first = await loop.run_in_executor(None, job, 21)
        after_first = now()
        slow = functools.partial(job, 4)
        slow.virtual_duration_s = 2.0  # type: ignore[attr-defined]
        return first, after_first, await asyncio.to_thread(slow), now()

    assert run_virtual(main()) == (42, 0.25, 8, 2.25)
    assert set(threads) == {threading.get_ident()}


def test_a_duration_is_seen_through_to_thread_and_partial() -> None:
    def decode() -> str:
        return "text"

    decode.virtual_duration_s = 0.125  # type: ignore[attr-defined]

    async def main() -> list[float]:
        marks = []
        await asyncio.to_thread(decode)
        marks.append(now())
        await asyncio.get_running_loop().run_in_executor(None, functools.partial(functools.partial(decode)))
        marks.append(now())
        return marks

    assert run_virtual(main()) == [0.125, 0.25]


def test_a_job_that_takes_no_time_is_still_not_done_at_once() -> None:
    async def main() -> tuple[bool, int]:
        future = asyncio.get_running_loop().run_in_executor(None, lambda: 1)
        return future.done(), await future

    assert run_virtual(main()) == (False, 1)


def raise_value_error() -> None:
    raise ValueError("from the job")


def raise_stop_iteration() -> None:
    raise StopIteration


@pytest.mark.parametrize(
    ("job", "expected"), [(raise_value_error, ValueError), (raise_stop_iteration, RuntimeError)]
)
def test_an_error_of_a_job_is_delivered_after_its_time(
    job: Callable[[], None], expected: type[Exception]
) -> None:
    async def main() -> float:
        virtual_loop().executor_duration_s = 3
        with pytest.raises(expected):
            await asyncio.get_running_loop().run_in_executor(None, job)
        return now()

    assert run_virtual(main()) == 3.0


def test_a_job_sees_what_a_worker_thread_would_see() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    def look() -> tuple[bool, str]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return False, variable.get()
        return True, variable.get()

    async def main() -> list[tuple[bool, str]]:
        variable.set("caller's")
        bare = await asyncio.get_running_loop().run_in_executor(None, look)
        copied = await asyncio.to_thread(look)
        asyncio.get_running_loop()
        return [bare, copied]

    assert run_virtual(main()) == [(False, "unset"), (False, "caller's")]


def test_a_cancelled_job_delivers_nothing() -> None:
    async def main() -> float:
        virtual_loop().executor_duration_s = 10
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.to_thread(lambda: None)
        await asyncio.sleep(20)
        return now()

    assert run_virtual(main()) == 21.0


@pytest.mark.parametrize("duration_s", [-1.0, float("inf"), float("nan")])
def test_an_impossible_duration_is_refused(duration_s: float) -> None:
    async def main() -> None:
        virtual_loop().executor_duration_s = duration_s
        with pytest.raises(ValueError, match="virtual duration"):
            asyncio.get_running_loop().run_in_executor(None, lambda: None)

    run_virtual(main())


def test_the_clock_stands_still_while_a_job_is_open_in_a_thread() -> None:
    async def main() -> tuple[str, float]:
        def work() -> str:
            time.sleep(0.1)
            return threading.current_thread().name

        timer = asyncio.create_task(asyncio.sleep(0.001))
        with ThreadPoolExecutor(1, thread_name_prefix="worker") as pool:
            name = await asyncio.get_running_loop().run_in_executor(pool, work)
        at = now()
        await timer
        await asyncio.to_thread(lambda: None)
        await asyncio.get_running_loop().shutdown_default_executor()
        return name, at

    loop = VirtualTimeLoop(executor="threads")
    try:
        assert run_virtual(main(), loop=loop) == ("worker_0", 0.0)
        assert loop.time() == 0.001
    finally:
        loop.close()


def test_a_job_in_a_thread_may_wait_for_the_loop() -> None:
    async def answer() -> str:
        return "from the loop"

    async def main() -> str:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(answer(), loop).result(5))

    loop = VirtualTimeLoop(executor="threads")
    try:
        assert run_virtual(main(), loop=loop) == "from the loop"
    finally:
        loop.close()


def test_a_held_clock_waits_for_a_thread_of_ones_own() -> None:
    async def main() -> float:
        loop = virtual_loop()
        arrived = asyncio.Event()
        thread = threading.Timer(0.05, loop.call_soon_threadsafe, [arrived.set])
        deadline = asyncio.create_task(asyncio.sleep(1))
        with loop.hold_clock():
            thread.start()
            await arrived.wait()
        at = now()
        thread.join()
        await deadline
        return at

    assert run_virtual(main()) == 0.0


def test_a_thread_that_never_reports_ends_the_wait() -> None:
    async def main() -> None:
        with virtual_loop().hold_clock():
            await asyncio.Event().wait()

    loop = VirtualTimeLoop(real_wait_s=0.05)
    try:
        with pytest.raises(VirtualTimeDeadlock, match=r"silent for 0\.05 s"):
            run_virtual(main(), loop=loop)
    finally:
        loop.close()


# Real sockets


def test_real_sockets_are_waited_for_and_not_jumped_over() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right:
            sender = threading.Timer(0.05, right.send, [b"late"])
            sender.start()
            try:
                return await loop.sock_recv(left, 10)
            finally:
                sender.join()

    assert run_virtual(main()) == b"late"


def test_silence_of_real_sockets_is_bounded() -> None:
    async def main() -> None:
        left, right = socket.socketpair()
        left.setblocking(False)
        with left, right:
            await asyncio.get_running_loop().sock_recv(left, 10)

    loop = VirtualTimeLoop(real_wait_s=0.05)
    try:
        with pytest.raises(VirtualTimeDeadlock, match="silent"):
            run_virtual(main(), loop=loop)
    finally:
        loop.close()


def test_what_a_real_socket_holds_is_read_before_the_clock_jumps() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            loop.call_later(0.001, order.append, "timer")
            loop.add_reader(left, lambda: order.append(left.recv(10).decode()))
            right.send(b"bytes")
            await asyncio.sleep(1)
            loop.remove_reader(left)
        return order

    assert run_virtual(main()) == ["bytes", "timer"]


def test_without_a_network_connections_are_real() -> None:
    async def main() -> bytes:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(4))
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"ping")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        return answer

    assert run_virtual(main()) == b"ping"


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
