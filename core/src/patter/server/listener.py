"""Listening on a port, and stopping without cutting anyone off unannounced."""

from __future__ import annotations

import os
from collections.abc import Mapping

from aiohttp import web

from patter.server.application import STOP_TIMEOUT_KEY, STOP_TIMEOUT_S

BIND_HOST_VARIABLE = "PATTER_BIND_HOST"
LOOPBACK = "127.0.0.1"
#: Connections that may wait to be accepted: carriers open many at once after a quiet time.
BACKLOG = 512


def bind_host(variables: Mapping[str, str] = os.environ) -> str:
    """The address to listen on: loopback, unless ``PATTER_BIND_HOST`` says otherwise (SC-06)."""
    return variables.get(BIND_HOST_VARIABLE, "").strip() or LOOPBACK


class Listener:
    """An application that listens. There is no access log: it would hold tokens and numbers."""

    def __init__(
        self,
        app: web.Application,
        port: int,
        host: str | None = None,
        *,
        stop_timeout_s: float = STOP_TIMEOUT_S,
    ) -> None:
        app[STOP_TIMEOUT_KEY] = stop_timeout_s
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=stop_timeout_s
        )
        self._host = host if host is not None else bind_host()
        self._port = port

    async def start(self) -> None:
        """Listen; returns when connections are accepted. Raises `OSError` when the port is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, backlog=BACKLOG).start()
        except BaseException:
            await self._runner.cleanup()
            raise

    @property
    def port(self) -> int:
        """The port listened on, also where 0 was asked for. Raises `RuntimeError` while not listening."""
        if not self._runner.addresses:
            raise RuntimeError("not listening")
        return int(self._runner.addresses[0][1])

    @property
    def url(self) -> str:
        """The address on this machine, such as ``http://127.0.0.1:8000``."""
        host = LOOPBACK if self._host in ("0.0.0.0", "::", "") else self._host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    async def stop(self) -> None:
        """Accept nothing more, close media connections with 1001, and wait for their calls; idempotent.

        Calls that are not over `stop_timeout_s` later are cancelled.
        """
        await self._runner.cleanup()
