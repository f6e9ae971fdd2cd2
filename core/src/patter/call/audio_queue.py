"""Audio that waits in pieces of any size. Pure."""

from __future__ import annotations

from collections import deque


def take(pending: deque[bytes | memoryview], size: int) -> bytes:
    """Exactly `size` bytes from the front; without a copy when one piece fits."""
    first = pending[0]
    if len(first) > size:
        pending[0] = first[size:]
        return bytes(first[:size])
    pending.popleft()
    if len(first) == size:
        return bytes(first)
    parts = bytearray(first)
    while len(parts) < size:
        piece = pending.popleft()
        missing = size - len(parts)
        if len(piece) > missing:
            pending.appendleft(piece[missing:])
            piece = piece[:missing]
        parts += piece
    return bytes(parts)
