"""User turns: which of the caller's words are answered together, and when. Pure.

The machine takes accepted finals and says whether they start a turn, restart the one that is being answered (TN-02),
or wait for the next one. It knows nothing of audio; the session machine tells it whether the agent was heard yet.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.types import EosTrigger

#: a user turn is restarted at most this often, and only this long after its first dispatch (TN-02)
RESTARTS = 3
RESTART_WINDOW_S = 8.0
#: an equal final within this time, without a speech start between, is the vendor's repetition (TN-05)
REPEAT_WINDOW_S = 2.0

_BRACKETS = frozenset("[(♪*")
_CAPTION = re.compile(r"^[\[(♪*].*[\])♪*]$")
#: captions that recognisers trained on videos write for silence (TN-06)
_ARTEFACTS = frozenset(
    {
        "thanks for watching",
        "thank you for watching",
        "thank you so much for watching",
        "please subscribe",
        "subtitles by the amara org community",
        "subscribe to my channel",
    }
)
_PUNCTUATION = re.compile(r"[^\w\s]")


def plain(text: str) -> str:
    """The text without case and punctuation, for comparison only."""
    lower = text.lower()
    words = lower.split()
    if "".join(words).isalnum():  # as most texts are, and that is soon seen
        return " ".join(words)
    return " ".join(_PUNCTUATION.sub(" ", lower).split())


def is_artefact(text: str) -> bool:
    """Whether a recogniser's text is a known caption of silence; "yes", "okay", "thanks" never are (TN-06)."""
    return _is_caption(text.strip(), plain(text))


def _is_caption(text: str, words: str) -> bool:
    bracketed = text[:1] in _BRACKETS and _CAPTION.match(text) is not None
    return bracketed or words in _ARTEFACTS


def merge(earlier: str, later: str) -> str:
    """One text of two finals: the later one alone if it begins with the words of the earlier one (TN-02)."""
    if not earlier or f"{plain(later)} ".startswith(f"{plain(earlier)} "):
        return later
    return f"{earlier} {later}" if later else earlier


@dataclass(slots=True)
class OpenTurn:
    """The user turn that is being answered."""

    turn: int
    text: str
    trigger: EosTrigger
    first_dispatch: float
    restarts: int = 0

    def is_spent(self, t: float) -> bool:
        """Whether it was restarted as often or as late as a turn may be: a caller cannot put off every answer."""
        return self.restarts >= RESTARTS or t - self.first_dispatch > RESTART_WINDOW_S

    def restart(self, text: str) -> Dispatch:
        """Answer it again, with more text."""
        self.restarts += 1
        self.text = merge(self.text, text)
        return Dispatch(self.turn, self.text, self.trigger, restart=True)


@dataclass(slots=True)
class Dispatch:
    """Answer this text now; `restart` when it replaces the text of the same turn."""

    turn: int
    text: str
    trigger: EosTrigger
    restart: bool = False


@dataclass(slots=True)
class _Held:
    text: str
    triggers: bool


@dataclass(slots=True)
class Turns:
    """The user turns of one call.

    Attributes:
        open: the one that is being answered.
        held: what waits for the next one.
    """

    manual: bool = False
    open: OpenTurn | None = None
    count: int = 0
    commit_waits: bool = False
    held: deque[_Held] = field(default_factory=deque)
    _last_final: tuple[float, str] | None = None

    # -- accepting

    def speech_started(self) -> None:
        """A speech start lies between two finals: an equal one is a real repetition (TN-05)."""
        self._last_final = None

    def accepts(self, text: str, t: float) -> bool:
        """Whether a final counts (TN-05, TN-06); remembers it."""
        text, words = text.strip(), plain(text)
        if not text or _is_caption(text, words):
            return False
        same = self._last_final
        self._last_final = (t, words)
        return not (same is not None and same[1] == words and t - same[0] < REPEAT_WINDOW_S)

    # -- taking

    def take(self, text: str, t: float, trigger: EosTrigger, *, agent_unheard: bool) -> Dispatch | None:
        """An accepted final that is not said over the agent.

        `agent_unheard`: a reply is being made and nothing of it was sent yet. Returns what to answer now, or None
        when the text waits.
        """
        if self.manual:
            self.hold(text, triggers=False)
            return None
        if agent_unheard:
            return self._restart(text, t)
        return self._dispatch(text, t, trigger)

    def _restart(self, text: str, t: float) -> Dispatch | None:
        turn = self.open
        if turn is None:
            # The agent is about to speak on its own account (a greeting); the text waits for its end.
            self.hold(text, triggers=True)
            return None
        if turn.is_spent(t):
            self.hold(text, triggers=True)
            return None
        return turn.restart(text)

    def take_over_agent(self, text: str, t: float, trigger: EosTrigger, *, goes_on: bool) -> Dispatch | None:
        """A final that interrupted the agent.

        `goes_on`: it is a late final of the turn that was being answered, which starts again with both texts (TN-20).
        """
        turn = self.open
        if self.manual or not goes_on or turn is None or turn.is_spent(t):
            return self.take(text, t, trigger, agent_unheard=False)
        return turn.restart(self._with_held(text))

    def hold(self, text: str, *, triggers: bool) -> None:
        """Keep a text for the next user turn; a backchannel alone does not start one (BI-20)."""
        self.held.append(_Held(text, triggers))

    def begin(self, text: str, t: float, trigger: EosTrigger) -> Dispatch:
        """A turn that is answered already, or whose text is not known."""
        return self._dispatch(text, t, trigger)

    def agent_turn_over(self, t: float, trigger: EosTrigger) -> Dispatch | None:
        """The agent's turn ended; answer what waited, if any of it asks for an answer."""
        self.open = None
        if not self.asks_for_answer:
            return None
        return self._dispatch("", t, "manual_commit" if self.commit_waits else trigger)

    @property
    def asks_for_answer(self) -> bool:
        """Whether a text waits that starts a turn of its own."""
        if self.manual or self.commit_waits:
            return self.commit_waits and bool(self.held)
        return any(held.triggers for held in self.held)

    def commit(self, t: float, *, agent_unheard: bool, waits: bool = False) -> Dispatch | None:
        """`call.commit_turn()`: answer what was collected, together with what nothing was heard in answer to (TN-21).

        With `waits` the answer is due when the agent's turn is over.
        """
        if not self.held or waits:
            self.commit_waits = bool(self.held)
            return None
        turn = self.open
        if agent_unheard and turn is not None and not turn.is_spent(t):
            return turn.restart(self._with_held(""))
        return self._dispatch("", t, "manual_commit")

    def _with_held(self, text: str) -> str:
        """What waited, and then `text`."""
        whole, self.commit_waits = "", False
        while self.held:
            whole = merge(whole, self.held.popleft().text)
        return merge(whole, text) if text else whole

    def _dispatch(self, text: str, t: float, trigger: EosTrigger) -> Dispatch:
        whole = self._with_held(text)
        self.count += 1
        self.open = OpenTurn(self.count, whole, trigger, t)
        return Dispatch(self.count, whole, trigger)

    def unanswered(self) -> list[str]:
        """Texts that no turn took; the queue is empty afterwards."""
        texts = [held.text for held in self.held]
        self.held.clear()
        return texts
