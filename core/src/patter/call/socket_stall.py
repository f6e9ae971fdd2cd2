"""The watch over a carrier socket that takes no data (LC-11).

A send that blocks for 1 s, or 64 KiB unsent, means that it is stalled: nothing more is sent to it, and the audio that
waits is taken back and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patter.call.connection import CarrierConnection
    from patter.call.outbox import Outbox
    from patter.call.playout import Playout

#: a send that blocks this long means that the socket is stalled, in s
STALLED_S = 1.0
#: a socket stalled this long ends the call, in s
STALLED_END_S = 5.0
#: unsent bytes at which the socket counts as stalled
UNSENT_BYTES = 65_536
#: how often a socket that may be stalled is looked at, in s
LOOK_S = 0.1


class SocketStall:
    """Tells whether the socket of one call is stalled."""

    def __init__(self, connection: CarrierConnection, outbox: Outbox, playout: Playout) -> None:
        self._connection = connection
        self._outbox = outbox
        self._playout = playout
        self._since: float | None = None
        #: audio that was taken back from a stalled socket, in ms
        self.dropped_ms = 0.0

    def stalled_s(self, t: float) -> float | None:
        """For how long the socket has taken no data, in s; None while it is not stalled."""
        blocked = self._outbox.blocked_s(t)
        if blocked < STALLED_S and self._connection.unsent_bytes() < UNSENT_BYTES:
            self._since = None
            return None
        if self._since is None:
            self._since = t - blocked
        chunks = self._outbox.take_audio()
        self._playout.take_back(chunks)
        self.dropped_ms += self._playout.format.duration_ms(sum(len(chunk.payload) for chunk in chunks))
        return t - self._since

    def look_at(self, t: float) -> float | None:
        """When to look again; None while the socket takes what it is given."""
        return t + LOOK_S if self._since is not None or self._outbox.blocked_s(t) > 0 else None
