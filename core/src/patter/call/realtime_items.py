"""What the caller said to an engine, by the items of its conversation: in order, whenever their texts come. Pure.

An item is one stretch of the caller's speech. Its text is matched by the item's id, never by the order in which texts
arrive (RT-16). Times in s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: the text of a stretch of speech is waited for this long after its end, in s
TEXT_S = 3.0
#: items that are kept
MOST_ITEMS = 200


@dataclass(slots=True)
class _Item:
    item_id: str | None
    stopped_at: float | None = None
    pieces: str = ""
    text: str | None = None
    turn: int | None = None
    given: bool = False


class CallerItems:
    """The items of one call."""

    def __init__(self) -> None:
        self._items: list[_Item] = []

    def started(self, item_id: str | None, t: float) -> None:
        """The engine hears the caller's speech begin."""
        if item_id is not None and any(one.item_id == item_id for one in self._items):
            return
        for item in self._items:
            if item.stopped_at is None:
                item.stopped_at = t
        self._add(_Item(item_id))

    def stopped(self, item_id: str | None, t: float) -> None:
        """The engine hears it end."""
        item = self._speech(item_id)
        if item is None:
            item = self._add(_Item(item_id))
        if item.stopped_at is None:
            item.stopped_at = t

    def was_given(self, item_id: str | None) -> bool:
        """Whether an item was answered already, with its text or without."""
        return any(one.given for one in self._items if one.item_id == item_id and item_id is not None)

    def piece(self, item_id: str | None, text: str, t: float) -> str:
        """A further piece of a text; returns the text so far."""
        item = self._of(item_id, t)
        item.pieces += text
        return item.pieces

    def final(self, item_id: str | None, text: str, t: float) -> int | None:
        """The whole text of an item, "" when nothing was understood; returns the turn that has taken it, if any."""
        item = self._of(item_id, t)
        item.text = text.strip()
        if item.stopped_at is None:
            item.stopped_at = t
        return item.turn

    def said_again(self) -> None:
        """The session is gone, and the next one hears the same: no texts come of what was heard in this one."""
        self._items = [item for item in self._items if item.text is not None or item.turn is not None]

    # -- an engine that replies by itself

    def take(self, turn: int) -> bool:
        """A turn begins that answers what was said up to now; False when nothing was."""
        taken = [
            item
            for item in self._items
            if item.turn is None and (item.text is not None or item.stopped_at is not None)
        ]
        for item in taken:
            item.turn = turn
        return any(item.text is None or item.text for item in taken)

    def expect(self, turn: int) -> None:
        """A turn answers speech of which the engine has said nothing yet."""
        self._add(_Item(None, turn=turn))

    def text_of(self, turn: int) -> str:
        """The text of a turn so far."""
        return " ".join(item.text for item in self._items if item.turn == turn and item.text)

    def is_awaited(self, turn: int) -> bool:
        """Whether text of a turn is still to come."""
        return any(item.text is None for item in self._items if item.turn == turn)

    def untaken(self) -> list[str]:
        """Texts that no turn has taken."""
        return [item.text for item in self._items if item.turn is None and item.text and not item.given]

    # -- an engine that replies when it is asked to

    def ready(self, t: float) -> Iterator[str | None]:
        """Texts in the order of the speech, each once; None for one that did not come in time."""
        for item in self._items:
            if item.given:
                continue
            if item.text is None and (item.stopped_at is None or t < item.stopped_at + TEXT_S):
                return
            item.given = True
            yield item.text

    def deadline(self) -> float | None:
        """When `ready` may have something new."""
        first = next((item for item in self._items if not item.given), None)
        if first is None or first.text is not None or first.stopped_at is None:
            return None
        return first.stopped_at + TEXT_S

    # -- finding

    def _of(self, item_id: str | None, t: float) -> _Item:
        found = next((one for one in self._items if one.item_id == item_id and item_id is not None), None)
        if found is None:
            found = next((one for one in self._items if one.item_id is None and one.text is None), None)
        if found is None:
            found = self._add(_Item(item_id))
        found.item_id = found.item_id or item_id
        return found

    def _speech(self, item_id: str | None) -> _Item | None:
        if item_id is not None:
            return next((one for one in self._items if one.item_id == item_id), None)
        return next((one for one in reversed(self._items) if one.stopped_at is None), None)

    def _add(self, item: _Item) -> _Item:
        self._items.append(item)
        del self._items[:-MOST_ITEMS]
        return item
