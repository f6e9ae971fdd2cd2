"""The one timer of all calls: a grid that does not drift, and no call that holds up another."""

from __future__ import annotations

import asyncio
import logging

import pytest

from patter.call.pacer import GRID_S, Pacer
from patter.testing.virtual_loop import VirtualClock, run_virtual


class Call:
    """Keeps when it was stepped; due again after `every` seconds."""

    def __init__(self, every=0.0, fail_at=None):
        self.due = 0.0
        self.every = every
        self.steps = []
        self.failures = []
        self._fail_at = fail_at

    def step(self, t):
        self.steps.append(t)
        if len(self.steps) == self._fail_at:
            raise RuntimeError("a call's step failed")
        self.due = t + self.every

    def failed(self, error):
        self.failures.append(str(error))


class Batch:
    """Work that wants `rounds` more steps whenever there is some."""

    def __init__(self, error=None):
        self.waiting = 0
        self.steps = []
        self._error = error

    def step(self):
        self.steps.append(asyncio.get_running_loop().time())
        if self._error is not None:
            raise self._error
        self.waiting = max(0, self.waiting - 1)
        return self.waiting > 0


def pacer():
    return Pacer(VirtualClock(asyncio.get_running_loop()))


def test_a_call_that_is_always_due_is_stepped_on_a_grid_that_does_not_drift():
    async def scenario():
        paced, call = pacer(), Call()
        paced.add(call)
        await asyncio.sleep(10.005)
        paced.remove(call)
        assert call.steps == pytest.approx([GRID_S * number for number in range(1, 1001)])

    run_virtual(scenario())


def test_a_call_is_stepped_within_a_grid_step_of_its_time_and_not_before():
    async def scenario():
        paced = pacer()
        calls = [Call(every) for every in (0.040, 0.033, 1.0)]
        for call in calls:
            paced.add(call)
        await asyncio.sleep(5)
        for call in calls:
            paced.remove(call)
            due = [step + call.every for step in call.steps]
            for planned, stepped in zip(due, call.steps[1:], strict=False):
                assert 0 <= stepped - planned + 1e-9 <= GRID_S + 2e-9

    run_virtual(scenario())


def test_a_call_without_a_due_time_is_left_alone_until_it_has_one():
    async def scenario():
        paced, call = pacer(), Call()
        call.due = None
        paced.add(call)
        await asyncio.sleep(1)
        assert call.steps == []
        call.due = asyncio.get_running_loop().time()
        await asyncio.sleep(0.02)
        assert call.steps
        paced.remove(call)

    run_virtual(scenario())


def test_without_calls_no_timer_runs_and_a_later_call_starts_it_again():
    async def scenario():
        paced, call = pacer(), Call()
        paced.remove(call)
        paced.add(call)
        await asyncio.sleep(0.1)
        paced.remove(call)
        count = len(call.steps)
        await asyncio.sleep(1)
        assert (len(call.steps), paced._timer) == (count, None)
        paced.add(call)
        await asyncio.sleep(0.1)
        assert len(call.steps) > count
        paced.remove(call)
        paced.remove(call)

    # The loop would report a deadlock, or a timer that was left, at the end.
    run_virtual(scenario())


def test_after_a_stall_missed_ticks_are_not_made_up_for():
    async def scenario():
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop)

        class Jumping:
            ahead = 0.0

            def monotonic(self):
                return clock.monotonic() + self.ahead

            def wall(self):
                return clock.wall()

        jumping = Jumping()
        paced, call = Pacer(jumping), Call()
        paced.add(call)
        await asyncio.sleep(0.1)
        jumping.ahead = 5.0  # the process stood still for 5 s
        count = len(call.steps)
        await asyncio.sleep(0.1)
        paced.remove(call)
        assert len(call.steps) - count <= 12

    run_virtual(scenario())


def test_a_step_that_fails_costs_its_call_alone(caplog):
    async def scenario():
        paced, bad, good = pacer(), Call(fail_at=3), Call()
        paced.add(bad)
        paced.add(good)
        await asyncio.sleep(1)
        paced.remove(good)
        paced.remove(bad)
        assert len(bad.steps) == 3
        assert bad.failures == ["a call's step failed"]
        assert (len(good.steps) >= 99, good.failures) == (True, [])

    with caplog.at_level(logging.ERROR):
        run_virtual(scenario())
    assert len(caplog.records) == 1


def test_calls_may_come_and_go_inside_a_step():
    async def scenario():
        paced, late = pacer(), Call()

        class Leaving(Call):
            def step(self, t):
                super().step(t)
                paced.remove(self)
                paced.add(late)

        leaving = Leaving()
        paced.add(leaving)
        await asyncio.sleep(0.105)
        assert len(leaving.steps) == 1
        assert len(late.steps) == 9
        paced.remove(late)

    run_virtual(scenario())


def test_a_batch_is_run_on_each_tick_and_again_at_once_while_it_has_more():
    async def scenario():
        paced, call, batch = pacer(), Call(), Batch()
        paced.add_batch(batch)
        await asyncio.sleep(0.1)
        assert batch.steps == []  # nobody calls
        paced.add(call)
        await asyncio.sleep(0.015)
        assert len(batch.steps) == 1
        batch.waiting = 4
        await asyncio.sleep(0.01)
        assert len(batch.steps) == 5
        assert batch.steps[1:] == pytest.approx([batch.steps[1]] * 4)
        paced.remove_batches()
        await asyncio.sleep(0.1)
        assert len(batch.steps) == 5
        paced.remove(call)

    run_virtual(scenario())


def test_a_batch_that_fails_is_told_and_stops_no_call(caplog):
    async def scenario():
        paced, call = pacer(), Call()
        bad, good = Batch(RuntimeError("the model broke")), Batch()
        paced.add_batch(bad)
        paced.add_batch(good)
        paced.add(call)
        await asyncio.sleep(1)
        paced.remove(call)
        assert len(call.steps) >= 99
        assert len(good.steps) >= 99
        assert len(bad.steps) == 1

    with caplog.at_level(logging.ERROR):
        run_virtual(scenario())
    assert len(caplog.records) == 1
