"""What was said in a call with an engine, whose transcripts come when they like (RT-16). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from patter.call.conversation import Conversation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from patter.call.types import TranscriptEntry
    from patter.providers.llm import Message


class _AgentEntry(NamedTuple):
    turn: int
    rounds: Sequence[str]
    at_ms: float
    interrupted: bool


class RealtimeConversation(Conversation):
    """Keeps the place of caller text that is still to come, and what the agent said after it until then.

    `expect()` keeps a place, `user()` fills it; `give_up()` writes what waits for it. A place that is filled later
    still stands before what was said in answer.
    """

    def __init__(self, system_prompt: str, *, max_history: int = 200) -> None:
        super().__init__(system_prompt, max_history=max_history)
        self._expected: set[int] = set()
        self._waiting: list[_AgentEntry] = []

    @property
    def is_waiting(self) -> bool:
        """Whether something that the agent said is not written, because the caller's text before it is missing."""
        return bool(self._waiting)

    def expect(self, turn: int, at_ms: float) -> None:
        """The caller has spoken; the text of that turn comes later."""
        self.give_up()
        super().user(turn, "", at_ms)
        self._expected.add(turn)

    def user(self, turn: int, text: str, at_ms: float) -> None:
        """The caller's text of a turn."""
        if self._waiting and turn not in self._expected:
            self.give_up()
        super().user(turn, text, at_ms)
        self._expected.discard(turn)
        if not self._expected:
            self.give_up()

    def agent(self, turn: int, rounds: Sequence[str], at_ms: float, *, interrupted: bool) -> None:
        """The agent's text of a turn; it waits for the caller's text before it."""
        if self._expected:
            self._waiting.append(_AgentEntry(turn, rounds, at_ms, interrupted))
        else:
            super().agent(turn, rounds, at_ms, interrupted=interrupted)

    def give_up(self) -> None:
        """Write what the agent said without the caller's text before it."""
        self._expected.clear()
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            super().agent(entry.turn, entry.rounds, entry.at_ms, interrupted=entry.interrupted)

    @property
    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """All lines so far that have a text."""
        return tuple(line for line in super().transcript if line.text)

    @property
    def history(self) -> tuple[Message, ...]:
        """All entries so far, without the system prompt and without text that is still to come."""
        return tuple(one for one in super().history if one.content or one.role != "user")
