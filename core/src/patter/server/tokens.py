"""Single-use tokens that let a carrier open the media connection of one call (SC-04)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from patter.environment import Environment
from patter.errors import CallRefusedError

#: Tokens that wait to be used, at most. Admission bounds the calls; this bounds what a fault there could cost.
MOST_OUTSTANDING = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    call_id: str
    carrier: str
    expires_t: float


class MediaTokens:
    """The tokens that were minted and neither used nor expired.

    They are kept and looked up by their SHA-256, so how long a look-up takes says nothing about a token that is near
    the right one, and a dump of memory holds none that works.
    """

    def __init__(self, environment: Environment, ttl_s: float) -> None:
        self._environment = environment
        self._ttl_s = ttl_s
        # In order of minting, which is the order of expiry.
        self._entries: dict[bytes, _Entry] = {}

    def __len__(self) -> int:
        self._drop_expired()
        return len(self._entries)

    def mint(self, call_id: str, carrier: str) -> str:
        """A token for one media connection of a call, valid for `ttl_s` from now.

        Raises:
            CallRefusedError: too many tokens wait to be used.
        """
        self._drop_expired()
        if len(self._entries) >= MOST_OUTSTANDING:
            raise CallRefusedError("too many calls wait for their media to connect")
        token = self._environment.new_token()
        expires_t = self._environment.clock.monotonic() + self._ttl_s
        self._entries[_digest(token)] = _Entry(call_id, carrier, expires_t)
        return token

    def take(self, token: str, carrier: str) -> str | None:
        """Use up a token and return its call; None for one that is unknown, used, expired or another carrier's."""
        self._drop_expired()
        digest = _digest(token)
        entry = self._entries.get(digest)
        if entry is None or entry.carrier != carrier:
            return None
        del self._entries[digest]
        return entry.call_id

    def revoke(self, call_id: str) -> None:
        """Forget the tokens of a call that ended before its media connected."""
        for digest in [digest for digest, entry in self._entries.items() if entry.call_id == call_id]:
            del self._entries[digest]

    def _drop_expired(self) -> None:
        now = self._environment.clock.monotonic()
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].expires_t > now:
                return
            del self._entries[oldest]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
