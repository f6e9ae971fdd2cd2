"""Notes what a phone tells of its calls, and what is left of a call when its end is told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from patter import hookimpl


class Watch:
    """A plugin, and the callbacks `on_call_start` and `on_call_end`, of one phone.

    Attributes:
        told: the names of what was called, in order, by the id of the call.
        summaries: what `patter_call_ended` got, by the id of the call.
        wrong: what was not as it must be when an end was told.
        starting: what `on_call_start` answers; ending: what `on_call_end` does.
        deciding, setting_up, hooking: what the hooks `patter_incoming_call`, `patter_call_setup` and
            `patter_call_ended` do.
        background: what a test began and waits for at its end.
    """

    def __init__(self, phone: Any) -> None:
        self.phone = phone
        self.told: dict[str, list[str]] = defaultdict(list)
        self.summaries: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.background: asyncio.Future[Any] | None = None
        self.starting: Callable[[Any], Any] = lambda call: None
        self.ending: Callable[[Any, Any], Any] = lambda call, summary: None
        self.deciding: Callable[[Any], Awaitable[Any]] = _nothing
        self.setting_up: Callable[[Any], Awaitable[Any]] = _nothing
        self.hooking: Callable[[Any], Awaitable[Any]] = _nothing
        phone.register(self)

    def on_call_start(self, call: Any) -> Any:
        """The callback of the phone."""
        self.told[call.id].append("on_call_start")
        return self.starting(call)

    def on_call_end(self, call: Any, summary: Any) -> Any:
        """The callback of the phone."""
        self.told[call.id].append("on_call_end")
        if summary is not self.summaries[call.id]:
            self.wrong.append(f"{call.id}: on_call_end got another summary")
        if summary.transcript != call.transcript or summary.history != call.history:
            self.wrong.append(f"{call.id}: the summary has not what was said")
        return self.ending(call, summary)

    @hookimpl
    async def patter_incoming_call(self, call: Any) -> Any:
        """As the test wants."""
        return await self.deciding(call)

    @hookimpl
    async def patter_call_setup(self, call: Any) -> None:
        """As the test wants."""
        call.on("call_ended", lambda _: self.told[call.id].append("call_ended"))
        await self.setting_up(call)

    @hookimpl
    async def patter_call_ended(self, call: Any, summary: Any) -> None:
        """Note the end, and what is left of the call."""
        self.told[call.id].append("patter_call_ended")
        self.summaries[call.id] = summary
        record = self.phone.calls.get(call.id)
        if record is None or not record.is_active:
            self.wrong.append(f"{call.id}: the record is final before the hook")
        tasks = [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(f"{call.id} ")]
        self.wrong += [f"{call.id}: {name} is alive when the hook is told" for name in tasks]
        line = self.phone.switchboard.line(call.id)
        if line is not None and line.connection is not None and line.connection.is_open:
            self.wrong.append(f"{call.id}: the media connection is open when the hook is told")
        await self.hooking(call)

    def check(self, *, calls: int, connected: int) -> None:
        """Every call was told of once, in order; nothing of any is left."""
        assert self.wrong == []
        assert len(self.told) == calls
        assert sum(summary.connected for summary in self.summaries.values()) == connected
        for call_id, told in self.told.items():
            summary = self.summaries[call_id]
            assert told.count("patter_call_ended") == 1, told
            assert told.count("on_call_start") == told.count("on_call_end") == int(summary.connected), told
            assert not summary.connected or (told[0], told[-1]) == ("on_call_start", "on_call_end"), told
            record = self.phone.calls.get(call_id)
            assert (record.status, record.is_active) == (summary.outcome, False)
        assert self.phone.calls.active() == ()
        assert self.phone.switchboard.lines() == ()


async def _nothing(call: Any) -> None:
    """Leave it to the others."""


#: the one that watches the phone of the running test
current: list[Watch] = []


def _start(call: Any) -> Any:
    return current[-1].on_call_start(call)


def _end(call: Any, summary: Any) -> Any:
    return current[-1].on_call_end(call, summary)


#: the callbacks of a phone that is watched, as its options
WATCHED = {"on_call_start": _start, "on_call_end": _end}
