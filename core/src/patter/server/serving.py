"""Whether and where a phone listens: from the start to the end, and again (LC-01, LC-02)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from patter.errors import ConfigError

if TYPE_CHECKING:
    from aiohttp import web

    from patter.server.listener import Listener


class Serving:
    """The state of one phone's serving. Each time that it serves it has a `ready` and a `stopped` of its own."""

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self._ready: asyncio.Future[str] | None = None
        self._begun = False
        self.stopped: asyncio.Event | None = None

    @property
    def ready(self) -> asyncio.Future[str]:
        """Done when calls can come in; its result is the address on this machine."""
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_future()
        return self._ready

    @property
    def is_listening(self) -> bool:
        """Whether the port is open."""
        return self._listener is not None

    @property
    def url(self) -> str:
        """The address on this machine. Raises `ConfigError` while not serving."""
        if self._listener is None:
            raise ConfigError("this phone is not serving")
        return self._listener.url

    def begin(self) -> None:
        """Serving starts. Raises `ConfigError` when it has started already."""
        if self._begun:
            raise ConfigError("this phone is serving already")
        self._begun = True
        self.stopped = asyncio.Event()

    async def listen(self, app: web.Application, port: int, host: str) -> str:
        """Open the port; returns the address. Raises `OSError` when it is taken."""
        from patter.server.listener import Listener

        listener = Listener(app, port, host)
        await listener.start()
        if not self._begun:
            await listener.stop()
            raise ConfigError("the phone was disconnected while it started")
        self._listener = listener
        return listener.url

    def announce(self) -> None:
        """Calls can come in."""
        self.ready.set_result(self.url)

    def failed(self, error: BaseException) -> None:
        """Serving did not start; whoever waits for `ready` gets the error."""
        ready = self.ready
        if not ready.done() and not isinstance(error, asyncio.CancelledError):
            ready.set_exception(error)
            ready.exception()  # nobody has to wait for it

    def end(self) -> tuple[bool, Listener | None]:
        """Serving ends; returns whether it had begun, and what is to be stopped."""
        begun, self._begun = self._begun, False
        listener, self._listener = self._listener, None
        return begun, listener

    def ended(self) -> None:
        """All is closed; serving may begin again."""
        if self._ready is not None and not self._ready.done():
            self._ready.cancel()
        self._ready = None
        if self.stopped is not None:
            self.stopped.set()
