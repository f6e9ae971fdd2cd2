"""The application's own code in simulated calls: hooks and tools that raise, hang, or take their time."""

from __future__ import annotations

import asyncio
from typing import Any

from patter.markers import hookimpl
from patter.tools import tool

SLOW_S = 0.03


class MisbehavingHooks:
    """Implements every hook of a call; each misbehaves as the call's script has it, else does nothing."""

    def __init__(self, misbehaviours: tuple[tuple[str, str], ...]) -> None:
        self._misbehaviours = dict(misbehaviours)

    async def _act(self, hook: str) -> None:
        how = self._misbehaviours.get(hook, "")
        if how == "raises":
            raise ValueError(f"a broken {hook}")
        if how == "is slow":
            await asyncio.sleep(SLOW_S)
        if how == "clings":
            await _cling()
        if how == "hangs":
            await asyncio.get_running_loop().create_future()

    @hookimpl
    async def patter_call_setup(self) -> None:
        """A call is connected."""
        await self._act("patter_call_setup")

    @hookimpl
    async def patter_call_started(self) -> None:
        """The first audio came."""
        await self._act("patter_call_started")

    @hookimpl
    async def patter_call_error(self) -> None:
        """A provider failed."""
        await self._act("patter_call_error")

    @hookimpl
    async def patter_call_ended(self) -> None:
        """It is over."""
        await self._act("patter_call_ended")

    @hookimpl
    async def patter_modify_user_turn(self) -> None:
        """The caller's turn is committed."""
        await self._act("patter_modify_user_turn")

    @hookimpl
    async def patter_modify_request(self) -> None:
        """The model is asked."""
        await self._act("patter_modify_request")

    @hookimpl
    async def patter_modify_speech(self) -> None:
        """A sentence goes to the voice."""
        await self._act("patter_modify_speech")

    @hookimpl
    async def patter_turn_ended(self) -> None:
        """An agent turn is over."""
        await self._act("patter_turn_ended")

    @hookimpl
    async def patter_barge_in(self) -> None:
        """An interruption was decided."""
        await self._act("patter_barge_in")

    @hookimpl
    async def patter_dtmf(self) -> None:
        """A key."""
        await self._act("patter_dtmf")

    @hookimpl
    async def patter_tool_finished(self) -> None:
        """A tool."""
        await self._act("patter_tool_finished")


async def _cling() -> None:
    """Take no notice of being cancelled for a while."""
    try:
        await asyncio.sleep(3.0)
    except asyncio.CancelledError:
        await asyncio.sleep(SLOW_S)
        raise


@tool
async def look_up() -> str:
    """Look something up."""
    return "found"


@tool
async def slow_look_up() -> str:
    """Look something up for long."""
    await asyncio.sleep(1.5)
    return "found at last"


@tool
async def broken_look_up() -> str:
    """Look something up where nothing is."""
    raise LookupError("nothing is there")


@tool(timeout_s=4.0)
async def hanging_look_up() -> str:
    """Look something up for ever."""
    await asyncio.get_running_loop().create_future()
    return "never"


TOOLS: tuple[Any, ...] = (look_up, slow_look_up, broken_look_up, hanging_look_up)
