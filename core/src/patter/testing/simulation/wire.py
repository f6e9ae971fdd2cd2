"""The socket between the engine and the carrier, as the session's outbox uses it, and its stalls."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from patter.call.playout import Chunk


class Wire:
    """Takes messages at once while it is open; stalled, it keeps the first and lets the others wait.

    A clear passes the audio that waits and drops it. `on_audio` and `on_clear` are the carrier's side.
    """

    def __init__(self, on_audio: Callable[[Chunk], None], on_clear: Callable[[], None]) -> None:
        self._on_audio = on_audio
        self._on_clear = on_clear
        self._audio: deque[Chunk] = deque()
        self._clears = 0
        self._held: Chunk | None = None
        self.stalled = False
        self.blocked_since: float | None = None

    def audio(self, chunk: Chunk, t: float) -> None:
        """Send a chunk with the marks behind it."""
        if not self.stalled:
            self._on_audio(chunk)
        elif self.blocked_since is None:
            self._held, self.blocked_since = chunk, t
        else:
            self._audio.append(chunk)

    def clear(self, t: float) -> None:
        """Empty the carrier's buffer."""
        self._audio.clear()
        if not self.stalled:
            self._on_clear()
            return
        self._clears += 1
        if self.blocked_since is None:
            self.blocked_since = t

    def drop_audio(self) -> list[Chunk]:
        """Forget the audio that waits, and return it."""
        dropped = list(self._audio)
        self._audio.clear()
        return dropped

    def open(self) -> None:
        """The socket takes data again: first what it held, then clears, then audio."""
        self.stalled, self.blocked_since = False, None
        held, self._held = self._held, None
        if held is not None:
            self._on_audio(held)
        for _ in range(self._clears):
            self._on_clear()
        self._clears = 0
        while self._audio and not self.stalled:
            self._on_audio(self._audio.popleft())
