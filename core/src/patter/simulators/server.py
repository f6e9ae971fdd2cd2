"""The HTTP server of a simulated vendor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

from aiohttp import web


class SimulatedServer(ABC):
    """Listens while it is entered as an asynchronous context manager.

    Args:
        key: what the client's key must be.
        host: where to listen; on a virtual loop any name.
        port: 0 for any free one.
    """

    #: what `base_url` ends in
    path: ClassVar[str] = ""

    def __init__(self, key: str, host: str, port: int) -> None:
        self.key = key
        self.host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def _application(self) -> web.Application:
        """What it serves."""

    def _abort(self) -> None:  # noqa: B027 - a server may hold no connection open
        """Lose every connection that is still up."""

    @property
    def base_url(self) -> str:
        """The address for `base_url`, once it listens."""
        return f"http://{self.host}:{self._port}{self.path}"

    async def __aenter__(self) -> Self:
        # Without cancellation a lost client would only be noticed when the next thing is sent.
        self._runner = web.AppRunner(self._application(), handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self._port).start()
        self._port = self._port or int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        self._abort()
        await self._runner.cleanup()
