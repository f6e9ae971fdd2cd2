"""A tool that keeps failing is left alone."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from running_tools import calling, in_virtual_time, nothing_to_do, now, runner

from patter.call.builtin_tools import CallActions
from patter.call.circuit_breaker import (
    FAILURES,
    OPEN_MS,
    TRIAL_MS,
    CircuitBreaker,
    CircuitBreakers,
    Pass,
    Refusal,
)
from patter.tools import Tool, tool


class Breaker(RuleBasedStateMachine):
    """Any order of asking, outcomes and time, against the rule told in another way: as the list of what happened."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = CircuitBreaker()
        self.now_ms = 0.0
        self.running: list[Pass] = []
        self.failed_in_a_row = 0
        self.open_until: float | None = None
        self.trial: Pass | None = None
        self.period = 0

    @rule(ms=st.sampled_from([0.0, 0.5, 1.0, 999.0, 14_999.5, 29_999.0, 30_000.0]))
    def wait(self, ms: float) -> None:
        self.now_ms += ms

    @rule()
    def ask(self) -> None:
        answer = self.breaker.ask(self.now_ms)
        if self.open_until is None:
            assert isinstance(answer, Pass)
        elif self.trial is not None:
            assert answer == Refusal(TRIAL_MS)
        elif self.now_ms < self.open_until:
            assert isinstance(answer, Refusal)
            assert 0 <= answer.retry_after_ms - (self.open_until - self.now_ms) < 1
            assert 0 < answer.retry_after_ms <= OPEN_MS
        else:
            assert isinstance(answer, Pass)
            self.trial = answer
        if isinstance(answer, Pass):
            self.running.append(answer)

    def take(self, data: st.DataObject) -> tuple[Pass, bool, bool]:
        """A run that ends; whether it is the trial, and whether it began since the breaker was last closed."""
        leave = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        is_trial = leave is self.trial
        if is_trial:
            self.trial = None
        return leave, is_trial, self.open_until is None and leave.period == self.period

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        leave, is_trial, counts = self.take(data)
        self.breaker.succeeded(leave)
        if is_trial:
            self.open_until, self.failed_in_a_row = None, 0
            self.period += 1
        elif counts:
            self.failed_in_a_row = 0

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        leave, is_trial, counts = self.take(data)
        self.breaker.failed(leave, self.now_ms)
        if counts:
            self.failed_in_a_row += 1
        if is_trial or (counts and self.failed_in_a_row == FAILURES):
            self.open_until, self.failed_in_a_row = self.now_ms + OPEN_MS, 0
            self.period += 1

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        self.breaker.given_up(self.take(data)[0])

    @invariant()
    def open_or_closed(self) -> None:
        assert self.breaker.is_open == (self.open_until is not None)


TestBreaker = Breaker.TestCase


class Flaky:
    """A tool that fails until it is mended, and when it was run."""

    def __init__(self) -> None:
        self.works = False
        self.times: list[float] = []

    async def run(self) -> str:
        self.times.append(now())
        await asyncio.sleep(0.1)
        if not self.works:
            raise OSError("down")
        return "up"


@pytest.mark.behaviour("TL-04")
@in_virtual_time
async def test_after_five_failures_a_tool_is_left_alone_for_30_s() -> None:
    flaky, steady = Flaky(), Flaky()
    steady.works = True
    flaky_tool = Tool("flaky", "", None, flaky.run)
    tools = runner(flaky_tool, Tool("steady", "", None, steady.run))

    async def ask(name: str = "flaky") -> dict[str, object]:
        result = await tools.run(calling(name))
        return {"result": result.result} if result.error is None else json.loads(result.result)

    async def fail(times: int) -> None:
        for _ in range(times):
            assert await ask() == {"error": "OSError: down", "fallback": True}

    # only failures in a row count
    await fail(4)
    flaky.works = True
    assert await ask() == {"result": "up"}
    flaky.works = False
    await fail(5)
    opened, count = now(), len(flaky.times)

    # open: an answer at once, without a run, and for no other tool
    left = await ask()
    assert (left["fallback"], left["retry_after_ms"], now()) == (True, 30_000, opened)
    assert "flaky" in str(left["error"])
    await asyncio.sleep(29.999)
    assert (await ask())["retry_after_ms"] == 1
    assert len(flaky.times) == count
    assert await ask("steady") == {"result": "up"}

    # one trial, which fails and opens it again
    await asyncio.sleep(0.001)
    trial = asyncio.create_task(ask())
    await asyncio.sleep(0.05)
    assert (await ask())["retry_after_ms"] == TRIAL_MS
    assert await trial == {"error": "OSError: down", "fallback": True}
    assert (await ask())["retry_after_ms"] == 30_000

    # the next one succeeds and closes it
    await asyncio.sleep(30)
    flaky.works = True
    assert await ask() == {"result": "up"}
    flaky.works = False
    await fail(4)


@in_virtual_time
async def test_a_timeout_is_a_failure_and_wrong_arguments_are_none() -> None:
    runs: list[float] = []

    @tool(timeout_s=1)
    async def slow(day: str) -> None:
        runs.append(now())
        await asyncio.sleep(60)

    tools = runner(slow)
    for _ in range(10):
        assert "retry_after_ms" not in (await tools.run(calling("slow", {"dya": "friday"}))).result
    for _ in range(5):
        assert (await tools.run(calling("slow", {"day": "friday"}))).error == "timeout"
    assert "retry_after_ms" in (await tools.run(calling("slow", {"day": "friday"}))).result
    assert len(runs) == 5


@in_virtual_time
async def test_calls_share_the_breakers_of_their_phone() -> None:
    flaky, breakers = Flaky(), CircuitBreakers()
    tools = Tool("flaky", "", None, flaky.run)
    for _ in range(5):
        await runner(tools, breakers=breakers).run(calling("flaky"))
    assert "retry_after_ms" in (await runner(tools, breakers=breakers).run(calling("flaky"))).result
    assert "retry_after_ms" not in (await runner(tools).run(calling("flaky"))).result
    assert len(breakers) == 1
    del tools
    await asyncio.sleep(1)
    gc.collect()
    assert len(breakers) == 0  # nothing is kept of a tool that is gone


@in_virtual_time
async def test_a_trial_that_nobody_waits_for_makes_room_for_another() -> None:
    flaky, breakers = Flaky(), CircuitBreakers()
    flaky_tool = Tool("flaky", "", None, flaky.run)
    tools = runner(flaky_tool, breakers=breakers)
    for _ in range(5):
        await tools.run(calling("flaky"))
    await asyncio.sleep(30)
    trial = asyncio.create_task(tools.run(calling("flaky")))
    await asyncio.sleep(0.05)
    await tools.close()  # the call ended
    with pytest.raises(asyncio.CancelledError):
        await trial
    flaky.works = True
    assert (await runner(flaky_tool, breakers=breakers).run(calling("flaky"))).result == "up"


@in_virtual_time
async def test_what_every_agent_has_is_never_left_alone() -> None:
    tries: list[str] = []

    async def end(reason: str) -> None:
        tries.append(reason)
        raise OSError("not now")

    tools = runner(actions=CallActions(end, nothing_to_do))
    for _ in range(8):
        await tools.run(calling("end_call"))
    assert len(tries) == 8
