"""What was said: the history for the model and the transcript for people. Pure.

Each user turn has exactly one user entry, each agent turn at most one assistant entry with the text as heard (TN-08).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from patter.call.types import TranscriptEntry
from patter.providers.llm import Message

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class _Entry:
    turn: int
    message: Message
    #: where its line is in the transcript; None for what has none
    line: int | None


class Conversation:
    """History and transcript of one call."""

    def __init__(self, system_prompt: str, *, max_history: int = 200) -> None:
        self._system_prompt = system_prompt
        self._max_history = max_history
        self._entries: list[_Entry] = []
        self._users: dict[int, _Entry] = {}
        self._called_tools = False
        self._lines: list[TranscriptEntry] = []

    # -- writing

    def user(self, turn: int, text: str, at_ms: float) -> None:
        """The caller's text of a turn; a restart of the same turn replaces it (TN-02)."""
        message = Message("user", text)
        entry = self._users.get(turn)
        if entry is not None:
            assert entry.line is not None
            entry.message = message
            self._lines[entry.line] = TranscriptEntry("user", text, self._lines[entry.line].heard_ms)
            return
        self._users[turn] = entry = _Entry(turn, message, len(self._lines))
        self._lines.append(TranscriptEntry("user", text, at_ms))
        self._entries.append(entry)

    def change_user(self, turn: int, text: str) -> None:
        """A hook changed the caller's text of a turn; an empty one skips the turn."""
        if text.strip():
            self.user(turn, text, 0.0)
        else:
            self.drop_user(turn)

    def drop_user(self, turn: int) -> None:
        """A hook skipped the turn: it is in the transcript and in no history."""
        dropped = self._users.pop(turn, None)
        self._entries = [entry for entry in self._entries if entry is not dropped]

    def agent(self, turn: int, rounds: Sequence[str], at_ms: float, *, interrupted: bool) -> None:
        """The agent's text of a turn as heard, cut where it called tools; nothing heard writes nothing (TN-09).

        In the history each part stands once: what was said before tools were called, in the message that calls them.
        """
        rest = text = " ".join(filter(None, rounds))
        if self._called_tools:
            rest = " ".join(filter(None, rounds[self._fill_calls(turn, rounds) :]))
        if text:
            self._lines.append(TranscriptEntry("assistant", text, at_ms, interrupted))
        if rest:
            self._entries.append(_Entry(turn, Message("assistant", rest), len(self._lines) - 1))

    def _fill_calls(self, turn: int, rounds: Sequence[str]) -> int:
        """Put what was heard before each round of tools into the message that calls them; returns how many did."""
        calls = [one for one in self._entries if one.turn == turn and one.message.tool_calls]
        for number, entry in enumerate(calls):
            heard = rounds[number] if number < len(rounds) else ""
            entry.message = replace(entry.message, content=heard)
        return len(calls)

    def tool_calls(self, turn: int, message: Message, results: Sequence[Message]) -> None:
        """A model's tool calls with their results, which are never separated (LM-06).

        The text of `message` is on its way to the caller; `agent` puts what was heard of it in its place.
        """
        self._called_tools = True
        for entry in (message, *results):
            self._entries.append(_Entry(turn, entry, None))

    def backchannel(self, text: str, at_ms: float) -> None:
        """Said over the agent without interrupting; its text is also in the next user turn (BI-20)."""
        self._lines.append(TranscriptEntry("user", text, at_ms, backchannel=True))

    def unanswered(self, text: str, at_ms: float) -> None:
        """Caller text that no turn took before the call ended (TN-03)."""
        self._lines.append(TranscriptEntry("user", text, at_ms, unanswered=True))

    # -- reading

    @property
    def transcript(self) -> tuple[TranscriptEntry, ...]:
        """All lines so far."""
        return tuple(self._lines)

    @property
    def history(self) -> tuple[Message, ...]:
        """All entries so far, without the system prompt."""
        return tuple([entry.message for entry in self._entries])

    def messages(self) -> list[Message]:
        """What the model is sent: the system prompt and the newest entries, tool calls with their results (LM-06)."""
        recent = [entry.message for entry in self._entries[-self._max_history :]]
        while recent and recent[0].role == "tool":
            recent.pop(0)
        return [Message("system", self._system_prompt), *recent]
