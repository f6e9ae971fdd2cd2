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


def timers():
    """The timers of the running loop that are set."""
    return [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]


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
            tasks, descriptors = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
            set_timers, threads, memory = len(timers()), threading.active_count(), resident_kib()
            await several(CALLS)
            assert min(ended_by.values()) >= CALLS // 3
            await carrier.until(lambda: len(asyncio.all_tasks()) <= tasks + 2)
            await carrier.until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 2)
            await carrier.until(lambda: len(timers()) <= set_timers + 2)
            assert threading.active_count() <= threads + 1
            assert resident_kib() - memory < GROWTH_KIB

    asyncio.run(scenario())
