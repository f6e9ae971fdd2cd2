"""Calls by the thousand in one process, in virtual time, with every way to end: what they leave behind is nothing.

`PATTER_MANY_CALLS=10000` plays that many.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from object_sizes import grown, living, sizes

from patter import Accept, Agent, Reject, hookimpl, tool
from patter.errors import ProviderError
from patter.providers.carrier import CallOffer, CallStatus, Refuse, StatusReport
from patter.testing import CallTool, Reply, SimulatedCall

CALLS = int(os.environ.get("PATTER_MANY_CALLS", "1000"))
#: of so many finished calls this phone keeps the records; only from there on can anything stand still
KEPT = 40
WARM_UP = 240
AT_ONCE = 60
#: what the allocator and the caches of the interpreter may take, in bytes for all calls together, and for one
MOST_GROWTH = 16 * 1024 * 1024
MOST_OF_ONE_CALL = 256
#: how often that is measured at the beginning and, as many calls later, at the end
LEVELS = 4
ROUNDS_BETWEEN = 8
GREETING = "Hi."
LONG = "We open at nine every day."
FAKES = {"stt": "fake", "llm": "fake", "tts": "fake", "vad": "fake"}


@tool
async def look_up(name: str) -> str:
    """Look somebody up."""
    await asyncio.sleep(0.2)
    return f"{name} is in."


@tool
async def broken(name: str) -> str:
    """Fail."""
    raise RuntimeError(f"no {name} here")


AGENT = Agent(
    **FAKES,
    first_message=GREETING,
    tools=(look_up, broken),
    prewarm_first_message=True,
    idle_prompt_s=20,
    variables={"name": "Ada"},
)


class Calls:
    """Plays calls on one phone, one way after the other."""

    def __init__(self, phone: Any) -> None:
        self.phone = phone
        self.ways: Counter[str] = Counter()
        self.ended = self.dialled = 0
        phone.register(self)

    @hookimpl
    async def patter_incoming_call(self, call: Any) -> Any:
        if call.caller.endswith("666"):
            return Reject("unwanted")
        return Accept(AGENT) if call.caller.endswith("1") else None

    @hookimpl
    async def patter_call_ended(self, call: Any, summary: Any) -> None:
        self.ended += 1
        assert summary.leaks == (), summary.leaks

    @property
    def carrier(self) -> Any:
        return self.phone.switchboard.trunks["fake"].carrier

    async def play(self, count: int) -> None:
        """That many calls, `AT_ONCE` at a time."""
        ways = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("caller_")]
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(count, start + AT_ONCE))
            chosen = [ways[number % len(ways)] for number in numbers]
            self.ways.update(way.__name__ for way in chosen)
            await asyncio.gather(*(way() for way in chosen))
        await asyncio.sleep(120)
        self._forget()

    def _forget(self) -> None:
        """What the fake carrier keeps for tests is not the phone's."""
        for notes in ("dialled", "hung_up", "transferred", "spoken", "keys", "recorded"):
            getattr(self.carrier, notes, []).clear()

    def _call(self, *replies: Any, **options: Any) -> SimulatedCall:
        return SimulatedCall(self.phone, replies=replies, **options)

    async def caller_hangs_up(self) -> None:
        async with self._call(ring_s=0.5) as call:
            await call.agent_says(GREETING)
            await call.caller_says("Thanks")
            await call.agent_says("You said")

    async def caller_is_lost(self) -> None:
        async with self._call(LONG, caller="+15550000001") as call:
            await call.agent_says(GREETING)
            await call.caller_says("When?")
            await call.agent_says("We open")
            await call.drop_connection()

    async def caller_interrupts(self) -> None:
        async with self._call(LONG, "Sorry.") as call:
            await call.agent_says(GREETING)
            await call.caller_says("When?")
            await call.agent_says("We open")
            await call.caller_says("No, stop")
            await call.agent_says("Sorry.")
            await call.dtmf("12#")

    async def caller_is_hung_up_on(self) -> None:
        async with self._call() as call:
            await call.agent_says("Hi")
            assert call.call is not None
            await self.phone.end_call(call.call.id)
            await call.ended()

    async def caller_uses_tools(self) -> None:
        first = Reply("So.", tools=[CallTool("look_up", {"name": "Ada"}), CallTool("broken", {"name": "x"})])
        bye = Reply("Bye.", tools=[CallTool("end_call", {"reason": "done"})])
        async with self._call(first, "Yes.", bye) as call:
            await call.agent_says(GREETING)
            await call.caller_says("Ada?")
            await call.agent_says("Yes.")
            await call.caller_says("Bye")
            await call.ended()

    async def caller_is_transferred(self) -> None:
        over = Reply("", tools=[CallTool("transfer_call", {"number": "+15550007777"})])
        async with self._call(over) as call:
            await call.agent_says(GREETING)
            await call.caller_says("Human")
            await call.ended()

    async def caller_meets_failures(self) -> None:
        async with self._call(ProviderError("down", provider="fake"), "Now.") as call:
            await call.agent_says(GREETING)
            await call.caller_says("You?")
            await asyncio.sleep(1)

    async def caller_leaves_while_the_model_thinks(self) -> None:
        async with self._call(Reply("Too late.", delay_s=5)) as call:
            await call.agent_says(GREETING)
            await call.caller_says("You?")
            await asyncio.sleep(0.5)
            await call.caller_hangs_up()

    async def caller_is_refused(self) -> None:
        async with self._call(caller="+15550000666") as call:
            assert call.refusal is not None

    async def caller_leaves_while_it_rings(self) -> None:
        carrier_call_id = self.carrier.next_call_id()
        answer = await self.carrier.host.incoming_call(
            CallOffer(carrier_call_id, "+15550000001", "+15550001234")
        )
        assert not isinstance(answer, Refuse)
        await asyncio.sleep(0.3)
        self._reports(carrier_call_id, CallStatus.COMPLETED)
        self.carrier.scenes.drop(answer.call_id)

    async def caller_is_called(self) -> None:
        calling, dialled = await self._dial()
        self._reports(dialled.carrier_call_id, CallStatus.RINGING)
        async with self._call(dialled=dialled) as call:
            await call.agent_says(GREETING)
        await calling

    async def caller_is_busy(self) -> None:
        calling, dialled = await self._dial()
        self._reports(dialled.carrier_call_id, CallStatus.RINGING)
        await asyncio.sleep(1)
        self._reports(dialled.carrier_call_id, CallStatus.BUSY)
        self._reports(dialled.carrier_call_id, CallStatus.BUSY)
        assert (await calling).outcome == "busy"
        self.carrier.scenes.drop(dialled.request.call_id)

    def _reports(self, carrier_call_id: str, status: CallStatus) -> None:
        self.carrier.host.call_status(StatusReport(carrier_call_id, status))

    async def _dial(self) -> tuple[asyncio.Task[Any], Any]:
        known = {id(one) for one in self.carrier.dialled}
        self.dialled += 1
        number = f"+1555{self.dialled:07}"
        calling = asyncio.ensure_future(self.phone.call(number))
        while True:
            await asyncio.sleep(0.01)
            new = [one for one in self.carrier.dialled if id(one) not in known and one.request.to == number]
            if new:
                return calling, new[0]


@pytest.fixture
def unlogged() -> Iterator[None]:
    """No log line is kept: pytest would hold all of them."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def resident() -> int:
    """The memory of this process, in bytes; 0 where the system does not say."""
    file = Path("/proc/self/statm")
    return (
        int(file.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE") if file.exists() else 0
    )


def levels(phone: Any) -> dict[str, Counter[str]]:
    """All that must be the same before and after."""
    gc.collect()
    loop: Any = asyncio.get_running_loop()
    descriptors = Path("/proc/self/fd")
    process = Counter(
        tasks=len(asyncio.all_tasks()),
        timers=loop.timers_set,
        threads=threading.active_count(),
        descriptors=len(os.listdir(descriptors)) if descriptors.is_dir() else 0,
    )
    held = sizes({"phone": phone})
    return {"process": process, "held": held, "living": living()}


@pytest.mark.behaviour("LC-03")
@pytest.mark.usefixtures("unlogged")
async def test_calls_of_every_kind_leave_everything_as_it_was(phone: Any) -> None:
    await phone.start(AGENT, port=0)
    phone.calls._finished_kept = KEPT
    calls = Calls(phone)
    await calls.play(WARM_UP)
    before, memory, ended = levels(phone), resident(), calls.ended
    assert before["held"]["patter.call.record.MemoryCallRegistry._finished"] == KEPT
    await calls.play(CALLS)
    after = levels(phone)
    assert {name: grown(before[name], after[name]) for name in before} == {name: {} for name in before}
    assert resident() - memory < MOST_GROWTH
    assert calls.ended - ended > CALLS // 2
    assert len(calls.ways) == 12


@pytest.mark.usefixtures("unlogged")
async def test_a_call_keeps_no_memory(phone: Any) -> None:
    await phone.start(AGENT, port=0)
    phone.calls._finished_kept = KEPT
    calls = Calls(phone)
    tracemalloc.start()
    try:
        await calls.play(WARM_UP)  # traced, so that what takes the place of earlier calls counts as they did
        levels_of_memory = []
        for _ in range(ROUNDS_BETWEEN + LEVELS):
            await calls.play(AT_ONCE)
            gc.collect()
            levels_of_memory.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    # What calls keep adds up, and what the interpreter keeps meanwhile comes and goes.
    grown_by = median(levels_of_memory[-LEVELS:]) - median(levels_of_memory[:LEVELS])
    assert grown_by < ROUNDS_BETWEEN * AT_ONCE * MOST_OF_ONE_CALL, levels_of_memory


async def test_what_a_call_leaves_is_seen(phone: Any) -> None:
    """The measures above: an object in any container, and one that nothing leads to but a closure."""
    await phone.start(AGENT, port=0)
    before = levels(phone)
    phone.pacer.forgotten = [Agent(**FAKES)]
    agent = Agent(**FAKES)
    holder = lambda: agent  # noqa: E731 - a function is not entered
    phone.pacer.holder = holder
    timer = asyncio.get_running_loop().call_later(60, print)
    after = levels(phone)
    assert grown(before["held"], after["held"])["patter.call.pacer.Pacer.forgotten"] == (0, 1)
    assert (
        grown(before["living"], after["living"])["patter.agent.Agent"][1]
        == before["living"]["patter.agent.Agent"] + 2
    )
    assert grown(before["process"], after["process"]) == {
        "timers": (before["process"]["timers"], before["process"]["timers"] + 1)
    }
    timer.cancel()
    assert holder() is agent
    del phone.pacer.forgotten, phone.pacer.holder
