"""Deadlocks, limits and leaks of the virtual-time loop."""

from __future__ import annotations

import asyncio
import os

import pytest
from virtual_time import now

from patter.testing.virtual_loop import (
    LeakedTasksError,
    VirtualTimeDeadlock,
    VirtualTimeLimitExceeded,
    VirtualTimeLoop,
    run_virtual,
)

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
    assert "listen_for_ever (test_virtual_limits.py:" in text
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
