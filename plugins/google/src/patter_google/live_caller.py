"""What the caller said, in pieces that nobody promises to end. Pure; times in s."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from patter.providers.realtime import RealtimeEvent
from patter.providers.vendor_json import LONGEST_TEXT, text

#: the words of one stretch of speech are whole when no more of them come for so long, in s
WHOLE_S: Final = 0.8
#: words that come so soon after the answer began belong to what is answered, in s
LATE_S: Final = 1.0


class CallerText:
    """Pieces of transcripts, gathered: a text is whole when the vendor says so, when the model answers, or in time.

    `name` begins the ids of its items.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._items = 0
        self._said = ""
        self._is_open = False
        self._last = 0.0
        self._answered_at: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `expire()` has something new; None for never."""
        return self._last + WHOLE_S if self._is_open else None

    def read(self, transcript: Mapping[str, Any], now: float, *, answered: bool) -> Iterator[RealtimeEvent]:
        """A piece of a transcript; `answered` says that the model speaks meanwhile."""
        piece = text(transcript, "text")
        if piece:
            late = answered and self._answered_at is not None and now < self._answered_at + LATE_S
            if not self._is_open and not (late and self._said):
                self._items += 1
                self._said = ""
            self._is_open, self._last = True, now
            self._said = (self._said + piece)[:LONGEST_TEXT]
            yield RealtimeEvent("transcript_input", text=piece, item_id=self._item)
        if transcript.get("finished") is True:
            yield from self._whole()

    def settle(self, now: float) -> Iterator[RealtimeEvent]:
        """The model answers: what was understood up to now is what it answers."""
        if not self._is_open and now > self._last + LATE_S:
            self._said = ""
        self._answered_at = now
        yield from self._whole()

    def expire(self, now: float) -> Iterator[RealtimeEvent]:
        """Look at the clock."""
        deadline = self.deadline
        if deadline is not None and now >= deadline:
            yield from self._whole()

    @property
    def _item(self) -> str:
        return f"{self._name}-user-{self._items}"

    def _whole(self) -> Iterator[RealtimeEvent]:
        if self._is_open:
            self._is_open = False
            yield RealtimeEvent("transcript_input", text=self._said.strip(), final=True, item_id=self._item)
