"""One socket of a simulated vendor, from its own end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aiohttp import web


class SimulatedConnection:
    """The socket, how it ends, and the tasks that live with it.

    Attributes:
        sent: the server's messages, in order.
        close_code: how it ended; None while it runs or before, 1006 without a close.
    """

    def __init__(
        self, socket: web.WebSocketResponse | None = None, transport: asyncio.Transport | None = None
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._socket = socket
        self._transport = transport
        self._tasks: set[asyncio.Task[None]] = set()
        self._speech: asyncio.Task[None] | None = None
        self._turn_end: asyncio.TimerHandle | None = None

    @property
    def socket(self) -> web.WebSocketResponse:
        """The socket, which is up."""
        assert self._socket is not None
        return self._socket

    def abort(self) -> None:
        """Lose the connection without a close."""
        self._stop()
        if self.close_code is None:
            self.close_code = 1006
        if self._transport is not None:
            self._transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Close it with a reason, which is cut as the protocol wants."""
        self.close_code = code
        await self.socket.close(code=code, message=reason.encode()[:123])

    async def drop(self, code: int | None, reason: str = "") -> None:
        """Lose it with that close code; None for no close at all."""
        if code is not None:
            await self.close(code, reason)
            return
        self.close_code = 1006
        if self._transport is not None:
            self._transport.abort()

    def _ended(self) -> None:
        """The socket gives no more messages."""
        self._stop()
        if self.close_code is None:
            self.close_code = self.socket.close_code or 1006

    def _stop(self) -> None:
        """End what still goes on."""
        if self._turn_end is not None:
            self._turn_end.cancel()
        for task in list(self._tasks):
            task.cancel()

    def _speaking(self, speech: Coroutine[Any, Any, None]) -> None:
        """Say this, and nothing more of what was being said."""
        if self._speech is not None:
            self._speech.cancel()
        self._speech = self._task(speech)

    def _turn_ends_in(self, seconds: float) -> None:
        """The caller's turn is over then, unless this is called again before."""
        if self._turn_end is not None:
            self._turn_end.cancel()
        self._turn_end = asyncio.get_running_loop().call_later(seconds, self._turn_ended)

    def _turn_ended(self) -> None:
        self._turn_end = None

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
