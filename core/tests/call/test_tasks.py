"""The tasks of one call: a failure is told once and touches no other task."""

from __future__ import annotations

import asyncio

import pytest

from patter.call.tasks import CallTasks
from patter.testing.virtual_loop import run_virtual


def call_tasks():
    failures = []
    return CallTasks("call_1", lambda part, error: failures.append((part, repr(error)))), failures


async def forever():
    await asyncio.Event().wait()


async def failing():
    await asyncio.sleep(0.1)
    raise ValueError("no")


def test_a_failure_becomes_one_event_and_siblings_go_on():
    async def scenario():
        unread = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(context))
        tasks, failures = call_tasks()
        tasks.start("reader", forever())
        tasks.start("stt", failing())
        await asyncio.sleep(1)
        assert failures == [("stt", "ValueError('no')")]
        assert tasks.running() == ("reader",)
        assert await tasks.close(2.0) == ()
        assert unread == []

    run_virtual(scenario())


def test_tasks_carry_the_name_of_their_call():
    async def scenario():
        tasks, _ = call_tasks()
        assert tasks.start("reader", forever()).get_name() == "call_1 reader"
        await tasks.close(1.0)

    run_virtual(scenario())


def test_being_cancelled_is_no_failure():
    async def scenario():
        tasks, failures = call_tasks()
        task = tasks.start("reply 1", forever())
        tasks.cancel("reply 1")
        tasks.cancel("reply 2")
        await asyncio.wait({task}, timeout=1)
        assert (failures, tasks.running(), task.cancelled()) == ([], (), True)

    run_virtual(scenario())


def test_a_task_of_the_same_name_takes_the_place_and_the_old_one_does_not_take_it_away():
    async def scenario():
        tasks, _ = call_tasks()
        old = tasks.start("reply", asyncio.sleep(0.5))
        new = tasks.start("reply", forever())
        await asyncio.sleep(1)
        assert old.done()
        assert tasks.running() == ("reply",)
        tasks.cancel("reply")
        await asyncio.wait({new}, timeout=1)
        assert new.cancelled()

    run_virtual(scenario())


def test_closing_reaches_also_a_task_whose_name_was_taken():
    async def scenario():
        tasks, _ = call_tasks()
        old = tasks.start("reply", forever())
        tasks.start("reply", forever())
        assert await tasks.close(1.0) == ()
        assert old.cancelled()

    run_virtual(scenario())


def test_closing_waits_for_all_and_names_those_that_do_not_end():
    async def scenario():
        loop = asyncio.get_running_loop()
        tasks, failures = call_tasks()
        release = asyncio.Event()

        async def stubborn():
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        async def tidy():
            try:
                await forever()
            finally:
                await asyncio.sleep(0.5)

        async def clumsy():
            try:
                await forever()
            finally:
                raise KeyError("while tidying up")

        for name, body in (("stubborn", stubborn), ("tidy", tidy), ("clumsy", clumsy), ("quick", forever)):
            tasks.start(name, body())
        await asyncio.sleep(0.1)
        began = loop.time()
        assert await tasks.close(2.0) == ("stubborn",)
        assert loop.time() - began == pytest.approx(2.0)
        assert failures == [("clumsy", "KeyError('while tidying up')")]
        release.set()
        await asyncio.sleep(0.1)
        assert tasks.running() == ()
        assert await tasks.close(2.0) == ()

    run_virtual(scenario())


def test_a_task_may_close_the_others_and_does_not_wait_for_itself():
    async def scenario():
        tasks, _ = call_tasks()
        tasks.start("reader", forever())

        async def ending():
            assert await tasks.close(1.0) == ()

        await asyncio.wait_for(tasks.start("ending", ending()), 1.0)
        assert tasks.running() == ()

    run_virtual(scenario())


def test_finish_lets_all_come_to_their_end_within_a_time():
    async def scenario():
        tasks, _ = call_tasks()
        await tasks.finish(1.0)
        tasks.start("short", asyncio.sleep(0.5))
        tasks.start("long", asyncio.sleep(5))
        await tasks.finish(1.0)
        assert tasks.running() == ("long",)
        await tasks.close(1.0)

    run_virtual(scenario())
