"""The end of calls: each exactly once, whoever ends it, with its hooks, its last callback and its record (LC-06)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from patter.errors import PatterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from patter.call.record import CallRegistry
    from patter.call.types import CallSummary
    from patter.environment import Clock
    from patter.server.line import CallMaker, Line

logger = logging.getLogger(__name__)

#: what `patter_call_ended` gets at most while the phone shuts down (LC-08), in s
SHUTDOWN_HOOK_S = 3.0
#: what `on_call_end` gets then, in s
SHUTDOWN_CALLBACK_S = 1.0
#: what telling the carrier may take, and while the phone shuts down, in s
HANGUP_S = 2.0
SHUTDOWN_HANGUP_S = 1.0


class CallEndings:
    """Ends calls. `forget` is called for each when nothing of it is left to do.

    Each step has a time limit. While the phone shuts down the limits are shorter, also those that run already.
    """

    def __init__(
        self, maker: CallMaker, registry: CallRegistry, clock: Clock, forget: Callable[[Line], None]
    ) -> None:
        self._maker = maker
        self._registry = registry
        self._now = clock.monotonic
        self._forget = forget
        self._hurried = False
        self._limits: dict[asyncio.Timeout, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def hurry(self) -> None:
        """The phone shuts down."""
        self._hurried = True
        now = asyncio.get_running_loop().time()
        for limit, hurried_s in self._limits.items():
            when = limit.when()
            if not limit.expired() and (when is None or when > now + hurried_s):
                limit.reschedule(now + hurried_s)

    def reset(self) -> None:
        """The phone serves again."""
        self._hurried = False

    def start(self, line: Line, summary: CallSummary) -> None:
        """Finish a call beside what runs now."""
        self.beside(self.finish(line, summary))

    def beside(self, body: Coroutine[Any, Any, None]) -> None:
        """Run something of a call that has no media."""
        task = asyncio.ensure_future(body)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Give up what `start()` and `beside()` began and is not over."""
        for task in tuple(self._tasks):
            task.cancel()

    async def finish(self, line: Line, summary: CallSummary) -> None:
        """End a call whose media is down; the first summary counts."""
        if line.finishing:
            return
        line.finishing = True
        line.call.ended = True
        line.stop_media_timer()
        line.stop_recording_request()
        logger.info(
            "call %s ended as %s after %.1f s: %s",
            line.call.id,
            summary.outcome,
            summary.duration_s,
            summary.reason,
        )
        try:
            if self._hurried:
                await self._close(line)  # with our own code, before the carrier closes it (LC-08)
            await asyncio.gather(self.hang_up(line), self._close(line))
            await self._release(line)
            summary = self._maker.bill(line, summary)
            await self._tell(line, summary)
        finally:
            # A task of the shutdown may be cut off here; the call ends all the same.
            if summary.latency is not None:
                self._registry.measure(line.call.id, summary.latency)
            self._registry.update(line.call.id, summary.outcome, self._now(), reason=summary.reason)
            self._registry.release(line.call.id)
            self._forget(line)
            if not line.done.done():
                line.done.set_result(summary)
            self._maker.closed(line)

    async def _tell(self, line: Line, summary: CallSummary) -> None:
        """`patter_call_ended`, the subscribers, and last `on_call_end`."""
        call = line.call
        try:
            async with self._within(None, SHUTDOWN_HOOK_S):
                await line.hooks.notify("patter_call_ended", summary=summary)
        except TimeoutError:
            logger.warning("call %s: patter_call_ended was cut off by the shutdown", call.id)
        call.events.emit("call_ended", summary)
        await call.events.close()
        if not line.connected:
            return
        try:
            async with self._within(None, SHUTDOWN_CALLBACK_S):
                await self._maker.ended(call, summary)
        except TimeoutError:
            logger.warning("call %s: on_call_end was cut off by the shutdown", call.id)

    async def hang_up(self, line: Line) -> None:
        """End the call at the carrier too, unless it did so itself or has the caller elsewhere."""
        call = line.call
        try:
            async with self._within(HANGUP_S, SHUTDOWN_HANGUP_S):
                if line.dialling is not None:
                    await line.dialling.wait()
                by_carrier = line.ended_by_carrier or (line.session and line.session.ended_by_carrier)
                over = by_carrier or call.is_transferred or call.is_hung_up
                if line.at_carrier and call.carrier_call_id and not over:
                    call.is_hung_up = True
                    await line.trunk.carrier.hangup(call.carrier_call_id)
        except (PatterError, TimeoutError) as error:
            logger.info("call %s: hang-up at the carrier: %s", call.id, type(error).__name__)
        except Exception:
            logger.exception("call %s: hang-up at the carrier failed", call.id)

    async def _release(self, line: Line) -> None:
        """What was made ready while the phone rang."""
        try:
            async with self._within(None, SHUTDOWN_HANGUP_S):
                await self._maker.release(line)
        except TimeoutError:
            logger.warning("call %s: releasing its providers was cut off by the shutdown", line.call.id)

    async def _close(self, line: Line) -> None:
        """Close the media connection, so that nothing of the media is left when the hooks are told."""
        if line.connection is None:
            return
        try:
            await line.connection.close(*((1001, "going away") if self._hurried else (1000, "")))
        except Exception:
            logger.exception("call %s: closing its media connection failed", line.call.id)

    @asynccontextmanager
    async def _within(self, seconds: float | None, hurried_s: float) -> AsyncIterator[None]:
        """A time limit that gets shorter when the phone shuts down. Raises `TimeoutError`."""
        async with asyncio.timeout(hurried_s if self._hurried else seconds) as limit:
            self._limits[limit] = hurried_s
            try:
                yield
            finally:
                del self._limits[limit]
