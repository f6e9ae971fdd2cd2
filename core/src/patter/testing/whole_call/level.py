"""Whole calls as a level of simulation."""

from __future__ import annotations

from collections.abc import Callable
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
from patter.testing.whole_call.script import WholeScript, draw_whole

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
        call = self.play_call(script, trace=trace)
        found = problems(call)
        if found:
            self._exchange = None
        lines = tuple(call.record.trace or ())
        return Played(found, call.log_bytes(), call.record.happened, call.ended_at, lines)

    def play_call(self, script: Script, *, trace: bool = False, log: bool = False) -> PlayedCall:
        """Play it, and return the call to look at."""
        call = PlayedCall(cast("WholeScript", script), self._phone_for(script), trace=trace, log=log)
        loop = VirtualTimeLoop()

        def lost(_: object, context: dict[str, Any]) -> None:
            call.record.problems.append(
                f"nobody took care of: {context.get('exception') or context['message']!r}"
            )

        loop.set_exception_handler(lost)
        try:
            run_virtual(call.play(loop), loop=loop, timeout_s=LONGEST_S)
        except (LeakedTasksError, VirtualTimeDeadlock, VirtualTimeLimitExceeded) as error:
            call.record.problems.append(str(error))
        except Exception as error:  # whatever it is, it is a violation, and the other calls are still to be played
            call.record.problems.append(f"{type(error).__name__} came out of the engine: {error}")
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        if call.script.ending == "shutdown":
            self._exchange = None
        return call

    def _phone_for(self, script: Script) -> Exchange:
        """The phone, or a new one: a phone remembers its calls, and those of one seed have the same ids."""
        if self._exchange is None or script.seed in self._seeds:
            self._exchange = Exchange(self._far_ends)
            self._seeds.clear()
        self._seeds.add(script.seed)
        return self._exchange

    def measure(self, script: Script, now: Callable[[], float], cost: Cost) -> None:
        """Play it once more against the clock, then only pass its messages on."""
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
