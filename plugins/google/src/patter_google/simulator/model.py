"""A simulated session: what outlives its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from patter_google.simulator.terms import SimulatedTurn

if TYPE_CHECKING:
    from patter_google.simulator.connection import SimulatedConnection


class SimulatedModel:
    """One session.

    Attributes:
        history: role and text of all that was said, as the model knows it.
        spoken: the texts that were begun to be spoken.
        results: the results of functions, by the id of the call.
        cancelled: ids of calls that were cancelled.
        audio: the caller's audio as the model was given it.
        connection: the connection in which it is now.
    """

    def __init__(self, turns: tuple[SimulatedTurn, ...], began: float) -> None:
        self.began = began
        self.history: list[tuple[str, str]] = []
        self.spoken: list[str] = []
        self.results: dict[str, Any] = {}
        self.cancelled: list[str] = []
        self.audio = bytearray()
        self.connection: SimulatedConnection | None = None
        self.handles = 0
        self.calls = 0
        self._turns = turns
        self._turn = 0

    def next_turn(self) -> SimulatedTurn:
        """What is made of the caller's next turn."""
        turn = self._turns[min(self._turn, len(self._turns) - 1)]
        self._turn += 1
        return turn

    def next_words(self) -> str:
        """What is understood of the turn that comes next."""
        return self._turns[min(self._turn, len(self._turns) - 1)].heard
