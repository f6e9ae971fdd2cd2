"""The least that any call costs: its messages, passed through two queues, on the same virtual loop.

`patter simulate` says how much more a simulated call costs than that, measured in the same run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from patter.testing.virtual_loop import VirtualTimeLoop

if TYPE_CHECKING:
    from collections.abc import Sequence

#: time in s, whether it came from the carrier, text
LoggedMessage = tuple[float, bool, str]


def pass_messages(messages: Sequence[LoggedMessage]) -> int:
    """Pass each message at its time through two queues, each direction by itself; returns how many arrived."""
    loop = VirtualTimeLoop()
    try:
        return loop.run_until_complete(_pass(messages))
    finally:
        loop.close()


async def _pass(messages: Sequence[LoggedMessage]) -> int:
    inbound = [(t, text) for t, from_carrier, text in messages if from_carrier]
    outbound = [(t, text) for t, from_carrier, text in messages if not from_carrier]
    return sum(await asyncio.gather(_one_way(inbound), _one_way(outbound)))


async def _one_way(messages: Sequence[tuple[float, str]]) -> int:
    first: asyncio.Queue[str] = asyncio.Queue()
    second: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    async def pass_on() -> None:
        while True:
            await second.put(await first.get())

    async def take() -> int:
        for _ in messages:
            await second.get()
        return len(messages)

    middle, end = loop.create_task(pass_on()), loop.create_task(take())
    for t, text in messages:
        if t > loop.time():
            await asyncio.sleep(t - loop.time())
        await first.put(text)
    taken = await end
    middle.cancel()
    await asyncio.gather(middle, return_exceptions=True)
    return taken
