"""Opens what a ringing call will need, beside the dial or the answer, and keeps it until the call takes it.

One task for each provider that can be warmed. A provider that parks (it has `open_parked_connection` and
`adopt_websocket`, whatever its class, PW-12) gets no warm-up besides: one handshake for each provider and call (PW-02).
Nothing here fails a call: what cannot be opened is connected cold later (PW-04).
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from patter.prewarm.bookkeeping import CloseSlot, DropGreeting, PrewarmBook, Release, ReportWaste
from patter.prewarm.failures import without_text

if TYPE_CHECKING:
    from patter.environment import Clock

logger = logging.getLogger(__name__)

#: closing a parked connection may take this long, in s
CLOSE_S = 1.0
#: a call waits so long for what is still being opened when it begins, in s; after that it connects cold
WAIT_S = 3.0
#: told of each provider that is warm: call, slot, time it took in ms
Told = Callable[[str, str, float], None]


@dataclass(frozen=True, slots=True)
class Warmable:
    """One provider of a call: how to park a connection of it, or, where it cannot park, how to warm it."""

    slot: str
    warm: Callable[[], Any]
    parks: bool

    @classmethod
    def of(cls, slot: str, provider: Any, *arguments: Any) -> Warmable | None:
        """What can be done for that provider; `arguments` are those of its `open_parked_connection`.

        None for a provider that has neither, and for none.
        """
        if hasattr(provider, "open_parked_connection") and hasattr(provider, "adopt_websocket"):
            return cls(slot, lambda: provider.open_parked_connection(*arguments), parks=True)
        warmup = getattr(provider, "warmup", None)
        return None if warmup is None else cls(slot, warmup, parks=False)


class Warming:
    """The parked connections and greetings of all ringing calls of one phone."""

    def __init__(self, clock: Clock, warmed: Told) -> None:
        self._clock = clock
        self._warmed = warmed
        self._book = PrewarmBook()
        self._handles: dict[tuple[str, str], Any] = {}
        self._greetings: dict[str, Mapping[str, bytes]] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Entries of any kind that are kept; 0 when nothing rings."""
        return len(self._book) + len(self._handles) + len(self._greetings) + len(self._tasks)

    # -- while it rings

    def begin(self, call_id: str, warmables: Iterable[Warmable], ttl_s: float) -> None:
        """Open and warm in the background; harmless for a call that is being prewarmed already."""
        found = {warmable.slot: warmable for warmable in warmables}
        if not found:
            return
        try:
            self._book.begin(call_id, found, self._clock.monotonic(), ttl_s)
        except ValueError:
            return
        for slot, warmable in found.items():
            self._start(call_id, slot, self._open(call_id, warmable, ttl_s))
        self._arm()

    def render(
        self,
        call_id: str,
        text: str,
        make: Callable[[], Awaitable[Mapping[str, bytes]]],
        ttl_s: float,
    ) -> None:
        """Make the greeting's audio in the background, by sentence, unless too many are kept (PW-15, PW-17)."""
        now = self._clock.monotonic()
        if self._book.render(call_id, len(text), now, ttl_s):
            self._start(call_id, "greeting", self._render(call_id, make, ttl_s))
            self._arm()
        else:
            logger.warning("call %s: its greeting is not made beforehand: too many are", call_id)

    def _start(self, call_id: str, slot: str, body: Any) -> None:
        task = asyncio.get_running_loop().create_task(body, name=f"{call_id} prewarm {slot}")
        self._tasks[call_id, slot] = task
        task.add_done_callback(lambda _: self._tasks.pop((call_id, slot), None))
        task.add_done_callback(lambda _: body.close())

    async def _open(self, call_id: str, warmable: Warmable, ttl_s: float) -> None:
        began = self._clock.monotonic()
        slot = warmable.slot
        try:
            async with asyncio.timeout(ttl_s):
                handle = warmable.warm()
                if inspect.isawaitable(handle):
                    handle = await handle
        except Exception as error:
            logger.debug("[PREWARM] %s %s failed: %s", call_id, slot, without_text(error))
            self._book.failed(call_id, slot)
            return
        if not warmable.parks:
            self._book.failed(call_id, slot)  # nothing is parked: the slot is done with
        elif self._book.opened(call_id, slot):
            self._handles[call_id, slot] = handle
        else:
            self.discard(handle)
            return
        took_ms = (self._clock.monotonic() - began) * 1000
        logger.info("[PREWARM] %s %s %.0f ms", call_id, slot, took_ms)
        self._warmed(call_id, slot, took_ms)

    async def _render(
        self, call_id: str, make: Callable[[], Awaitable[Mapping[str, bytes]]], ttl_s: float
    ) -> None:
        try:
            async with asyncio.timeout(ttl_s):
                audio = await make()
        except Exception as error:
            logger.debug("[PREWARM] %s greeting failed: %s", call_id, without_text(error))
            self._book.render_failed(call_id)
            return
        if self._book.rendered(call_id):
            self._greetings[call_id] = audio

    # -- when the media starts

    def keeps(self, call_id: str, slot: str) -> bool:
        """Whether something is parked there, or being opened."""
        return self._book.keeps(call_id, slot)

    async def take(self, call_id: str, slot: str) -> Any | None:
        """The parked connection of that slot, which is the caller's from now on; None: connect cold.

        Waits for one that is being opened, since it is the one handshake; not longer than 3 s.
        """
        taken = self._book.take(call_id, slot)
        if taken == "wait":
            task = self._tasks.get((call_id, slot))
            if task is not None:
                await asyncio.wait((task,), timeout=WAIT_S)
            self._book.failed(call_id, slot)  # what is opened later is closed at once
        if taken == "cold":
            return None
        return self._handles.pop((call_id, slot), None)

    def is_rendering(self, call_id: str) -> bool:
        """Whether the voice still makes the greeting, or stops making it."""
        task = self._tasks.get((call_id, "greeting"))
        return task is not None and not task.done()

    async def rendering_over(self, call_id: str) -> None:
        """Wait until the voice has stopped making the greeting; at most 1 s."""
        task = self._tasks.get((call_id, "greeting"))
        if task is not None:
            await asyncio.wait((task,), timeout=CLOSE_S)

    def take_greeting(self, call_id: str) -> Mapping[str, bytes]:
        """The greeting's audio by sentence; empty when it is not ready, and what comes later is dropped."""
        _, releases = self._book.take_greeting(call_id)
        self._release(releases)
        return self._greetings.pop(call_id, {})

    # -- the ways out

    def end(self, call_id: str) -> None:
        """Release what is kept for the call; harmless when nothing is."""
        self._release(self._book.end(call_id))
        for key in [key for key in self._tasks if key[0] == call_id]:
            self._tasks[key].cancel()
        for key in [key for key in self._handles if key[0] == call_id]:
            self.discard(self._handles.pop(key))  # its taker was cancelled while it waited
        if not len(self._book):
            self._arm()

    async def close(self) -> None:
        """Cancel, close and forget everything."""
        self._release(self._book.close())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await _ended(self._tasks.values())
        for handle in self._handles.values():
            self.discard(handle)  # its taker was cancelled while it waited
        self._handles.clear()
        if self._closing:
            await asyncio.wait(tuple(self._closing), timeout=CLOSE_S)
        await _ended(self._closing)

    def _release(self, releases: Iterable[Release]) -> None:
        for release in releases:
            match release:
                case CloseSlot(call_id=call_id, slot=slot):
                    handle = self._handles.pop((call_id, slot), None)
                    if handle is not None:
                        self.discard(handle)
                case DropGreeting(call_id=call_id):
                    self._greetings.pop(call_id, None)
                    if (task := self._tasks.get((call_id, "greeting"))) is not None:
                        task.cancel()
                case ReportWaste(call_id=call_id, characters=characters):
                    logger.warning(
                        "call %s: %d characters of its greeting were paid for and not heard",
                        call_id,
                        characters,
                    )

    def discard(self, handle: Any) -> None:
        """Close a connection that nobody will use, without holding anyone up."""
        task = asyncio.get_running_loop().create_task(_close(handle))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._book.deadline()
        if deadline is not None:
            delay = max(0.0, deadline - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        self._release(self._book.time_passed(self._clock.monotonic()))
        self._arm()


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for their end; one that does not heed it is left behind after 1 s."""
    waiting = tuple(tasks)
    for task in waiting:
        task.cancel()
    if not waiting:
        return
    _, hanging = await asyncio.wait(waiting, timeout=CLOSE_S)
    if hanging:
        logger.warning("%d connections of ringing calls cannot be given up", len(hanging))


async def _close(handle: Any) -> None:
    """Close a parked connection by its `close()`, plain or async, within 1 s; no exception gets out."""
    with suppress(Exception):
        closing = handle.close()
        if inspect.isawaitable(closing):
            async with asyncio.timeout(CLOSE_S):
                await closing
