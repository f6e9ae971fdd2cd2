"""A simulated session: what outlives its connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from patter.simulators.tones import utterance
from patter_google.simulator.terms import SimulatedTurn
from patter_google.simulator.voice import GIVES

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

    def __init__(
        self, turns: tuple[SimulatedTurn, ...], began: float, voice: Callable[[str], int] | None = None
    ) -> None:
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
        self._voice = voice
        self._turn = 0

    def next_turn(self) -> SimulatedTurn:
        """What is made of the caller's next turn."""
        turn = self._turns[min(self._turn, len(self._turns) - 1)]
        self._turn += 1
        return turn

    def begin(self, text: str) -> bytes:
        """The text's audio; it is one that was begun to be spoken now."""
        number = len(self.spoken) if self._voice is None else self._voice(text)
        self.spoken.append(text)
        return utterance(number, text, GIVES)

    def next_words(self) -> str:
        """What is understood of the turn that comes next."""
        return self._turns[min(self._turn, len(self._turns) - 1)].heard
