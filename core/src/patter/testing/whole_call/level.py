"""Whole calls as a level of simulation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from patter.testing.simulation.levels import Cost, Played
from patter.testing.virtual_loop import (
    LeakedTasksError,
    VirtualTimeDeadlock,
    VirtualTimeLimitExceeded,
    VirtualTimeLoop,
    run_virtual,
)
from patter.testing.whole_call.bare_loop import pass_messages
from patter.testing.whole_call.checks import problems
from patter.testing.whole_call.exchange import Exchange, installed_far_ends
from patter.testing.whole_call.played_call import PlayedCall
from patter.testing.whole_call.script import WholeScript, companion_of, draw_whole

if TYPE_CHECKING:
    from patter.testing.simulation.draw import Script

#: no simulated call lasts longer, in s
LONGEST_S = 600.0


class WholeLevel:
    """The whole stack: one phone for many calls, a fresh loop for each.

    A call that broke a promise may have left something on its phone, so that the next one gets a new phone.
    """

    option = ""
    batch = 100

    def __init__(self) -> None:
        self._far_ends = installed_far_ends()
        self._exchange: Exchange | None = None
        self._seeds: set[int] = set()

    def draw(self, seed: int) -> WholeScript:
        """The script of a seed."""
        return draw_whole(seed)

    def play(self, script: Script, *, trace: bool = False) -> Played:
        """Play it."""
        calls = self._play(cast("WholeScript", script), trace=trace)
        found = [problem for call in calls for problem in problems(call)]
        if found:
            self._exchange = None
        call = calls[0]
        return Played(
            found,
            b"".join(one.log_bytes() for one in calls),
            sum(one.record.happened for one in calls),
            call.ended_at,
            tuple(call.record.trace or ()),
        )

    def play_call(self, script: Script, *, trace: bool = False, log: bool = False) -> PlayedCall:
        """Play it without company, and return the call to look at."""
        alone = replace(cast("WholeScript", script), company=False)
        return self._play(alone, trace=trace, log=log)[0]

    def _play(self, script: WholeScript, *, trace: bool = False, log: bool = False) -> list[PlayedCall]:
        exchange = self._phone_for(script)
        call = PlayedCall(script, exchange, trace=trace, log=log)
        calls = [call, PlayedCall(companion_of(script), exchange)] if script.company else [call]
        loop = VirtualTimeLoop()
        exchange.begin(calls, loop)

        def lost(_: object, context: dict[str, Any]) -> None:
            call.record.problems.append(
                f"nobody took care of: {context.get('exception') or context['message']!r}"
            )

        loop.set_exception_handler(lost)
        try:
            run_virtual(_together(calls, loop), loop=loop, timeout_s=LONGEST_S)
        except (LeakedTasksError, VirtualTimeDeadlock, VirtualTimeLimitExceeded) as error:
            call.record.problems.append(str(error))
        except (
            Exception
        ) as error:  # whatever it is, it is a violation, and the other calls are still to be played
            call.record.problems.append(f"{type(error).__name__} came out of the engine: {error}")
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        if script.shuts_down:
            self._exchange = None
        return calls

    def _phone_for(self, script: Script) -> Exchange:
        """The phone, or a new one: a phone remembers its calls, and those of one seed have the same ids."""
        if self._exchange is None or script.seed in self._seeds:
            self._exchange = Exchange(self._far_ends)
            self._seeds.clear()
        self._seeds.add(script.seed)
        return self._exchange

    def measure(self, seed: int, now: Callable[[], float], cost: Cost) -> None:
        """Play it once more against the clock, then only pass its messages on."""
        script = self.draw(seed)
        self._exchange = Exchange(self._far_ends)
        self._seeds.clear()
        began = now()
        call = self.play_call(script, log=True)
        problems(call)
        played = now()
        if call.line is not None and call.line.log:
            pass_messages(call.line.log)
            cost.played_s += played - began
            cost.least_s += now() - played


async def _together(calls: Sequence[PlayedCall], loop: VirtualTimeLoop) -> None:
    await asyncio.gather(*(call.play(loop) for call in calls))
    for call in calls:
        await call.look_for_leftovers()
