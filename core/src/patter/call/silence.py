"""Silence of both sides: since when, and what the agent does about it (TN-10, TN-22). Pure.

Two counts. The one runs while nobody is heard, whatever the agent is about, and says when the caller counts as away.
The other, the *idle* count, runs only while it is the caller's turn: from the end of what the agent said, through the
idle prompt, until a word or a key of the caller's or a turn of the agent's starts it again.
"""

from __future__ import annotations

from math import inf
from typing import Literal

#: silence after which the caller counts as away, in s (TN-10)
AWAY_S = 15.0

IdleStep = Literal["prompt", "hangup"]


class Silence:
    """The silence of one call. It is told what there is to hear; times are s of the call's clock.

    Attributes:
        deadline: when `step` has something; infinity while nothing is counted.
        heard: what `observe` was told last, None before; being told the same again changes nothing.
        occupied: likewise.

    Args:
        prompt_s: idle time after which the agent asks whether the caller is there; None for never.
        hangup_s: idle time after which the call is hung up; None for never.
    """

    def __init__(self, prompt_s: float | None = None, hangup_s: float | None = None) -> None:
        self._prompt_s = prompt_s
        self._hangup_s = hangup_s
        self._quiet_since: float | None = None
        self._idle_since: float | None = None
        self._prompted = False
        #: until something is due, before the prompt; after it, the hang-up alone is left
        self._wait = min(inf if prompt_s is None else prompt_s, inf if hangup_s is None else hangup_s)
        self._last_wait = inf if hangup_s is None else hangup_s
        self.deadline = inf
        self.heard: bool | None = None
        self.occupied: bool | None = None

    def observe(self, t: float, *, heard: bool, occupied: bool) -> None:
        """Say how things stand from now on.

        Args:
            t: the time.
            heard: whether caller or agent is speaking.
            occupied: whether the caller is speaking or the agent has something to do, its idle prompt apart.
        """
        self.heard, self.occupied = heard, occupied
        if heard:
            self._quiet_since = None
        elif self._quiet_since is None:
            self._quiet_since = t
        if occupied:
            self._idle_since, self.deadline = None, inf
        elif self._idle_since is None:
            self._begin(t)

    def broken(self, t: float) -> None:
        """The caller gave a sign of life that has no length: both counts start again."""
        if self._quiet_since is not None:
            self._quiet_since = t
        if self._idle_since is not None:
            self._begin(t)

    def count_again(self, t: float) -> None:
        """Something was at work that nobody hears: the idle count starts again."""
        if self._idle_since is not None:
            self._begin(t)

    def _begin(self, t: float) -> None:
        self._idle_since = t
        self._prompted = False
        if self._wait < inf:
            self._schedule(t)

    def _schedule(self, since: float) -> None:
        self.deadline = since + (self._last_wait if self._prompted else self._wait)

    def caller_is_away(self, t: float) -> bool:
        """Whether nobody was heard for 15 s."""
        return self._quiet_since is not None and t - self._quiet_since >= AWAY_S

    def step(self, t: float) -> IdleStep | None:
        """What is due; the prompt once for each count, and before the hang-up when both are."""
        since = self._idle_since
        if since is None:
            return None
        if self._prompt_s is not None and not self._prompted and t >= since + self._prompt_s:
            self._prompted = True
            self._schedule(since)
            return "prompt"
        return "hangup" if self._hangup_s is not None and t >= since + self._hangup_s else None
