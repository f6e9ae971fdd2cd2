"""A thousand calls over real sockets, and what is left of them: descriptors, memory, tasks, timers and threads."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

AT_ONCE = 20
#: the phone keeps the records of 500 finished calls; only from there on can memory stand still
WARM_UP = 600
CALLS = 1000
#: pages that the allocator keeps in pieces; what a call keeps is measured to the byte in test_calls_leave_nothing.py
GROWTH_KIB = 12 * 1024


def resident_kib():
    return (
        int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        * os.sysconf("SC_PAGESIZE")
        // 1024
    )


def kept_connections():
    """The tasks of HTTP connections that are kept for the next request: as many as were ever needed at once."""
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "RequestHandler.start"]


def other_tasks():
    """How many tasks there are besides."""
    return len(asyncio.all_tasks()) - len(kept_connections())


def other_timers():
    """How many timers of the running loop are set, without the one that ends each kept connection some time."""
    timers = [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]
    return len(timers) - len(kept_connections())


def other_descriptors():
    """How many descriptors are open, without those of kept connections, both of whose ends are here."""
    return len(os.listdir("/proc/self/fd")) - 2 * len(kept_connections())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
@pytest.mark.behaviour("LC-03")
def test_a_thousand_calls_leave_everything_at_its_level(carrier):
    async def scenario():
        async with carrier.loopback(carrier.agent(first_message="Hi.")) as served:
            loop = asyncio.get_running_loop()
            ended_by = {"hang-up": 0, "phone": 0, "loss": 0}

            async def one(number):
                call = await served.ring()
                await served.hears(call, "Hi.")
                line = served.line(call)
                way = list(ended_by)[number % 3]
                ended_by[way] += 1
                began = loop.time()
                if way == "hang-up":
                    call.hangup()
                elif way == "phone":
                    await served.phone.end_call(line.call.id)
                else:
                    await call.drop_media()
                await asyncio.wait_for(line.done, 2.0)
                assert loop.time() - began < 2.0
                await asyncio.wait_for(call.wait_closed(), 5)
                del served.simulator.calls[call.sid]

            async def several(count):
                for start in range(0, count, AT_ONCE):
                    await asyncio.gather(*(one(start + number) for number in range(AT_ONCE)))
                await served.settled()
                served.simulator.requests.clear()
                served.summaries.clear()

            await several(WARM_UP)
            tasks, descriptors = other_tasks(), other_descriptors()
            timers, threads, memory = other_timers(), threading.active_count(), resident_kib()
            await several(CALLS)
            assert min(ended_by.values()) >= CALLS // 3
            await carrier.until(lambda: other_tasks() <= tasks + 2)
            await carrier.until(lambda: other_descriptors() <= descriptors + 2)
            assert len(kept_connections()) <= 2 * AT_ONCE
            await carrier.until(lambda: other_timers() <= timers + 2)
            assert threading.active_count() <= threads + 1
            assert resident_kib() - memory < GROWTH_KIB

    asyncio.run(scenario())
