"""How many calls are taken at a time (SC-05)."""

from __future__ import annotations

from typing import Literal

Refusal = Literal["full", "draining"]


class Admission:
    """Places for calls, held by call id from the answer until the end.

    The limit is on the whole process: where a connection comes from plays no part.
    """

    def __init__(self, maximum: int) -> None:
        if maximum < 1:
            raise ValueError(f"the most calls at a time is at least 1, not {maximum}")
        self.maximum = maximum
        self.refused = 0
        self._places: set[str] = set()
        self._draining = False

    @property
    def in_use(self) -> int:
        """Places held now."""
        return len(self._places)

    @property
    def draining(self) -> bool:
        """Whether new calls are refused because the phone shuts down."""
        return self._draining

    @property
    def refusal(self) -> Refusal | None:
        """Why a new call would be refused now; None if it would be taken."""
        if self._draining:
            return "draining"
        return "full" if len(self._places) >= self.maximum else None

    def admit(self, call_id: str) -> Refusal | None:
        """Take a place for a call, or say why there is none. A call that holds one already keeps it."""
        if call_id in self._places:
            return None
        refusal = self.refusal
        if refusal is None:
            self._places.add(call_id)
        else:
            self.refused += 1
        return refusal

    def release(self, call_id: str) -> None:
        """Give a call's place back; any number of times."""
        self._places.discard(call_id)

    def drain(self) -> None:
        """Take no more calls; those that hold a place keep it."""
        self._draining = True

    def reopen(self) -> None:
        """Take calls again."""
        self._draining = False
