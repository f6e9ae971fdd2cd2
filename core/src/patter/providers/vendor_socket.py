"""The end of a WebSocket to a vendor."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import ConnectionClosed

#: time for the close handshake, in s
CLOSE_S: Final = 0.8
#: what `close_code` says where no close came
CONNECTION_LOST: Final = "connection lost"


async def close_socket(socket: ClientConnection) -> None:
    """Close it; one that is not closed within `CLOSE_S` is given up."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close()
    except TimeoutError:
        pass
    finally:  # also when this is cancelled
        socket.transport.abort()


def close_code(closed: ConnectionClosed) -> str:
    """How a socket ended, in a word. The reason's text is the vendor's and is not quoted."""
    return str(closed.rcvd.code) if closed.rcvd is not None else CONNECTION_LOST
