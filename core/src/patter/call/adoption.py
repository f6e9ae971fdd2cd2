"""Taking over, for one call, what was opened while it rang; a connection that cannot be taken over is closed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any, Literal

from patter.call.types import ProviderConnected
from patter.prewarm.warming import close_parked

if TYPE_CHECKING:
    from patter.call.call import Call
    from patter.environment import Clock
    from patter.prewarm.warming import Warming
    from patter.records import ProviderKind

logger = logging.getLogger(__name__)

#: adopting may take this long, in s; it is a matter of under 5 ms
ADOPT_S = 1.0


class Adoption:
    """The parked connections of one call, and the word about each connection that it makes (PW-08)."""

    def __init__(self, call: Call, clock: Clock, warming: Warming | None) -> None:
        self._call = call
        self._now = clock.monotonic
        self._warming = warming

    def has(self, kind: ProviderKind) -> bool:
        """Whether something is parked, or being opened, for that provider."""
        return self._warming is not None and self._warming.keeps(self._call.id, kind)

    async def adopt(self, kind: ProviderKind, provider: Any) -> bool | None:
        """Hand the provider its parked connection.

        None: there is none. False: it could not take it over, and must be made anew (PW-04, PW-11).
        """
        handle = None if self._warming is None else await self._warming.take(self._call.id, kind)
        if handle is None:
            return None
        began = self._now()
        try:
            async with asyncio.timeout(ADOPT_S):
                adopting = provider.adopt_websocket(handle)
                if inspect.isawaitable(adopting):
                    await adopting
        except Exception as error:  # its text may carry a key (PW-14)
            logger.warning(
                "call %s: the %s did not adopt its parked connection: %s",
                self._call.id,
                kind,
                type(error).__name__,
            )
            await close_parked(handle)
            return False
        except asyncio.CancelledError:
            await close_parked(handle)
            raise
        self.connected(kind, "adopted", began)
        return True

    def connected(self, kind: ProviderKind, source: Literal["adopted", "fresh"], began: float) -> None:
        """A provider is connected since now; `began` is when that was begun, in s."""
        took_ms = (self._now() - began) * 1000
        logger.info("[CONNECT] %s %s source=%s %.0f ms", self._call.id, kind, source, took_ms)
        self._call.events.emit("provider_connected", ProviderConnected(kind, source, took_ms))
