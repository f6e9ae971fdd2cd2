"""The socket of a simulated conversation: what is sent, what goes wrong with it, and the tasks that live with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from patter_elevenlabs.simulator_checks import Refused
from patter_elevenlabs.simulator_terms import Faults

_BROKEN: Final = (
    "{",
    "[]",
    '{"type": 5}',
    '{"type": "audio", "audio_event": {"audio_base_64": "?"}}',
    '{"type": "agent_response", "agent_response_event": []}',
    "[" * 5000,
)


class SimulatedConnection:
    """One socket.

    Attributes:
        sent: the server's messages, in order.
        close_code: how it ended; None while it runs, 1006 without a close.
    """

    def __init__(
        self,
        events: frozenset[str],
        faults: Faults,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
    ) -> None:
        self.sent: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._events = events
        self._faults = faults
        self._socket = socket
        self._transport = transport
        self._event_id = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def abort(self) -> None:
        """Lose the connection without a close."""
        self._stop()
        if self.close_code is None:
            self.close_code = 1006
        if self._transport is not None:
            self._transport.abort()

    async def _refuse(self, refused: Refused) -> None:
        if refused.error_type:
            await self._send(
                {
                    "type": "error",
                    "error_event": {
                        "code": refused.code,
                        "error_type": refused.error_type,
                        "message": str(refused),
                        "reason": str(refused),
                    },
                }
            )
        await self._close(refused.code)

    async def _drop(self) -> None:
        if self._faults.drop_code is None:
            self.close_code = 1006
            if self._transport is not None:
                self._transport.abort()
        else:
            await self._close(self._faults.drop_code)

    async def _close(self, code: int) -> None:
        self.close_code = code
        await self._socket.close(code=code)

    def _stop(self) -> None:
        """End what still goes on."""
        for task in list(self._tasks):
            task.cancel()

    # -- sending

    async def _event(self, kind: str, under: str = "", **fields: Any) -> None:
        """An event, if the agent is set up to tell it."""
        if kind not in self._events:
            return
        if "event_id" not in fields:
            self._event_id += 1
            fields["event_id"] = self._event_id
        await self._send({"type": kind, under or kind: fields})

    async def _send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        with suppress(ConnectionError):
            if self._faults.malformed:
                for broken in _BROKEN:
                    await self._socket.send_str(broken)
            await self._socket.send_str(json.dumps(message))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
