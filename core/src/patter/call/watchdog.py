"""The watch over a whole call: nothing may wait for something that will not come. Pure.

The machines are made so that no call gets stuck. This looks from outside whether that holds, about once a second, and
frees the call if it does not: a caller who is met with silence hangs up. A repair is a defect of Patter or of a
plugin; it is logged, and counted in the call's metrics as `stuck_repairs`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from patter.call.actions import Action, Emit
from patter.call.session_state import State
from patter.call.types import CallFailure
from patter.errors import InternalError

if TYPE_CHECKING:
    from patter.call.machine import SessionMachine

logger = logging.getLogger(__name__)

#: how often a call is looked at, in s
EVERY_S = 1.0


class Stuck(Enum):
    """What is stuck. The value says it in words."""

    UNANSWERED = "the caller's words wait and nothing is under way"
    ABANDONED = "nothing of the reply is sent and nobody makes it"
    HANGING = "whoever makes the reply has stopped, and nothing of it is sent"
    UNFINISHED = "all of the reply was handed out, but it does not come to its end"


#: for how long nothing must move before it counts, in s. Longer than any deadline that heals by itself: a model may
#: fail to answer twice in 15 s each (LM-03, LM-08), and a pending interruption ends after 6 s (BI-13).
LIMITS_S = {Stuck.UNANSWERED: 3.0, Stuck.ABANDONED: 20.0, Stuck.HANGING: 60.0, Stuck.UNFINISHED: 5.0}


class Tools(Protocol):
    """The call's tools, as the watchdog sees them."""

    @property
    def busy(self) -> bool:
        """Whether a reply waits for one; each has a deadline of its own."""


class CallWatchdog:
    """Looks at one session machine.

    Attributes:
        due: when to look next, in s of the call's clock.
        repairs: how often the call had to be freed.
    """

    def __init__(self, machine: SessionMachine, call_id: str = "") -> None:
        self.due = 0.0
        self.repairs = 0
        self._machine = machine
        self._call_id = call_id
        self._since = 0.0
        self._seen: tuple[object, ...] = ()

    def look(
        self, t: float, tasks: Collection[str], tools: Tools | None = None, failures: int = 0
    ) -> list[Action]:
        """See whether anything is stuck, and for how long; returns what frees the call, usually nothing.

        Args:
            t: the time, in s of the call's clock.
            tasks: names of the call's running tasks; ``reply 3`` makes agent turn 3.
            tools: the call's tools; a reply that waits for one is not stuck.
            failures: of the call's providers; a reply that another one held up goes on with the next.
        """
        self.due = t + EVERY_S
        stuck = self._stuck(t, tasks, tools)
        if stuck is None:
            self._seen = ()
            return []
        seen = (failures, *self._progress(stuck, t))
        if seen != self._seen:
            self._seen, self._since = seen, t
        limit = LIMITS_S[stuck]
        if stuck is Stuck.UNFINISHED:  # a slow carrier is heard that much later
            limit += self._machine.playout.carrier_delay_ms / 1000
        if t - self._since < limit:
            self.due = min(self.due, self._since + limit)
            return []
        self._seen = ()
        return self._repair(stuck, t)

    def _stuck(self, t: float, tasks: Collection[str], tools: Tools | None) -> Stuck | None:
        """What looks stuck at this moment."""
        machine = self._machine
        if machine.state is State.LISTENING:
            waits = machine.turns.asks_for_answer and not machine.watch.expects_result(t)
            return Stuck.UNANSWERED if waits else None
        if machine.state not in (State.THINKING, State.SPEAKING):
            return None  # DRAINING has its own deadline
        reply = machine.reply
        if reply is None or reply.made:
            left = machine.playout.backlog_ms() > 0
            return Stuck.ABANDONED if reply is None or left else Stuck.UNFINISHED
        if f"reply {reply.reply}" not in tasks:
            return Stuck.ABANDONED
        return None if tools is not None and tools.busy else Stuck.HANGING

    def _progress(self, stuck: Stuck, t: float) -> tuple[object, ...]:
        """What changes as soon as anything moves."""
        machine = self._machine
        reply = machine.reply.reply if machine.reply is not None else None
        playout = machine.playout
        return stuck, machine.state, reply, machine.turns.count, playout.backlog_ms(), playout.heard(t)

    def _repair(self, stuck: Stuck, t: float) -> list[Action]:
        machine, state = self._machine, self._machine.state
        self.repairs += 1
        logger.warning(
            "call %s was stuck while %s and is freed: %s for %.0f s",
            self._call_id,
            state.value,
            stuck.value,
            LIMITS_S[stuck],
        )
        actions: list[Action] = []
        if stuck in (Stuck.ABANDONED, Stuck.HANGING):
            part = f"reply {machine.reply.reply}" if machine.reply is not None else "reply"
            actions.append(Emit("failed", CallFailure("core", part, InternalError(stuck.value))))
        return [*actions, *machine.go_on(t)]
