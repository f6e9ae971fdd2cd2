"""Taking over, for one call, what was opened while it rang; a connection that cannot be taken over is closed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from patter.call.types import ProviderConnected
from patter.errors import ProviderTimeout
from patter.prewarm.failures import without_text

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.environment import Clock
    from patter.prewarm.warming import Warming
    from patter.records import ProviderKind

logger = logging.getLogger(__name__)

#: adopting may take this long, in s; it is a matter of under 5 ms
ADOPT_S = 1.0
#: an STT or engine that is not connected after this long has failed, in s
CONNECT_S = 10.0


class Adoption:
    """The parked connections of one call, and the word about each connection that it makes (PW-08)."""

    def __init__(self, call: Call, clock: Clock, warming: Warming | None) -> None:
        self._call = call
        self._now = clock.monotonic
        self._warming = warming
        self._unconnected: Exception | None = None

    def has(self, kind: ProviderKind) -> bool:
        """Whether that provider has to wait: for its parked connection, or for the end of a greeting's making."""
        warming, call_id = self._warming, self._call.id
        if warming is None:
            return False
        return warming.keeps(call_id, kind) or (kind == "tts" and warming.is_rendering(call_id))

    async def adopt(self, kind: ProviderKind, current: Callable[[], Any], slot: str = "") -> bool | None:
        """Hand the provider its parked connection; `current` is who is that provider now.

        `slot` is where it is parked: under its kind, unless it is an engine (PW-05).

        None: there is none, or the provider was replaced by another meanwhile. False: it could not take it over, and
        must be made anew (PW-04, PW-11).
        """
        warming, provider = self._warming, current()
        if warming is None:
            return None
        if kind == "tts":  # one synthesis at a time
            await warming.rendering_over(self._call.id)
        handle = await warming.take(self._call.id, slot or kind)
        if handle is None:
            return None
        if current() is not provider:
            warming.discard(handle)
            return None
        began = self._now()
        try:
            async with asyncio.timeout(ADOPT_S):
                adopting = provider.adopt_websocket(handle)
                if inspect.isawaitable(adopting):
                    await adopting
        except BaseException as error:
            warming.discard(handle)
            if not isinstance(error, Exception):
                raise
            kind_of_error = without_text(error)
            logger.warning(
                "call %s: the %s did not adopt its parked connection: %s", self._call.id, kind, kind_of_error
            )
            return False if current() is provider else None
        if current() is not provider:  # it was closed before it had the connection
            warming.discard(handle)
            return None
        self.connected(kind, "adopted", began)
        return True

    async def connect(self, kind: ProviderKind, connecting: Awaitable[None]) -> None:
        """Connect an STT or an engine anew. Raises `ProviderError`."""
        began = self._now()
        try:
            async with asyncio.timeout(CONNECT_S):
                await connecting
        except TimeoutError as error:
            who = "STT" if kind == "stt" else "engine"
            raise ProviderTimeout(f"the {who} was not connected within {CONNECT_S:.0f} s") from error
        except Exception as error:
            self._unconnected = error
            raise
        self.connected(kind, "fresh", began)

    def said_of(self, error: Exception) -> object:
        """What a log may say of a provider's failure: of one at the handshake not its text (PW-14)."""
        return without_text(error) if error is self._unconnected else error

    def connected(self, kind: ProviderKind, source: Literal["adopted", "fresh"], began: float) -> None:
        """A provider is connected since now; `began` is when that was begun, in s."""
        took_ms = (self._now() - began) * 1000
        logger.info("[CONNECT] %s %s source=%s %.0f ms", self._call.id, kind, source, took_ms)
        self._call.events.emit("provider_connected", ProviderConnected(kind, source, took_ms))
