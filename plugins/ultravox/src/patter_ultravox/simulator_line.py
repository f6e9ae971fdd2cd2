"""The socket of a simulated call: what is sent, what goes wrong with it, and the tasks that live with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from patter_ultravox.simulator_terms import Faults

_BROKEN: Final = (
    "{",
    "[]",
    '{"type": 5}',
    '{"type": "transcript", "role": "agent", "text": 7, "final": "yes", "ordinal": "one"}',
    '{"type": "client_tool_invocation", "toolName": null}',
    "[" * 5000,
)
#: the setting that turns a message on or off
_SETTINGS: Final = {
    "pong": "pong",
    "state": "state",
    "transcript": "transcript",
    "client_tool_invocation": "clientToolInvocation",
    "playback_clear_buffer": "playbackClearBuffer",
    "call_started": "callStarted",
    "debug": "debug",
}
_OFF_BY_DEFAULT: Final = frozenset({"debug"})


class SimulatedLine:
    """One socket.

    Attributes:
        faults: how the servers misbehave in it.
        sent: the data messages, in order.
        close_code: how it ended; None while it runs or before, 1006 without a close.
    """

    def __init__(self, wanted: dict[str, bool], faults: Faults) -> None:
        self.sent: list[dict[str, Any]] = []
        self.close_code: int | None = None
        self._wanted = wanted
        self.faults = self._faults = faults
        self._socket: web.WebSocketResponse | None = None
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def abort(self) -> None:
        """Lose the connection without a close."""
        self._stop()
        if self.close_code is None:
            self.close_code = 1006
        if self._transport is not None:
            self._transport.abort()

    async def _drop(self) -> None:
        if self._faults.drop_code is None:
            self.close_code = 1006
            if self._transport is not None:
                self._transport.abort()
        else:
            await self._close(self._faults.drop_code)

    async def _close(self, code: int) -> None:
        self.close_code = code
        if self._socket is not None:
            await self._socket.close(code=code)

    def _stop(self) -> None:
        """End what still goes on."""
        for task in list(self._tasks):
            task.cancel()

    async def _tell(self, kind: str, **fields: Any) -> None:
        """A data message, if the call asked for it."""
        if not self._wanted.get(_SETTINGS[kind], kind not in _OFF_BY_DEFAULT) or self._socket is None:
            return
        message = {"type": kind, **fields}
        self.sent.append(message)
        with suppress(ConnectionError):
            if self._faults.malformed:
                for broken in _BROKEN:
                    await self._socket.send_str(broken)
            await self._socket.send_str(json.dumps(message))

    async def _play(self, audio: bytes) -> None:
        if self._socket is None:
            return
        with suppress(ConnectionError):
            if self._faults.split_audio:
                await self._socket.send_bytes(audio[:33])
                audio = audio[33:]
            await self._socket.send_bytes(audio)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
