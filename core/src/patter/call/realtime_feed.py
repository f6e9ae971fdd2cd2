"""The caller's audio on its way to an engine, withheld while its greeting is protected, and the orders to the engine.

Orders go out one after the other in the order in which they were given, by the call's sender task; audio of an engine
whose `send_audio` is a plain function goes in the reader's own step. What is withheld (RT-07), or said while there is
no session, goes to the engine before anything newer; at most 30 s are kept. What a session was given at first and was
lost with, before anything showed that it heard the caller, goes to the next one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from patter.audio.convert import Converter

if TYPE_CHECKING:
    from patter.audio.formats import AudioFormat
    from patter.providers.realtime import RealtimeEngine

logger = logging.getLogger(__name__)

#: the most of the caller's audio that is kept back, in ms (RT-07)
HOLD_MS = 30_000
#: an engine has heard what was withheld from it once it was given so much more, in ms
UNHEARD_MS = 5_000
#: an order that is not written within this time never will be, in s
ORDER_S = 5.0


class EngineFeed:
    """What goes to one engine at a time; `attach` again after a reconnect.

    Args:
        audio_format: format of the audio that it is given.
        call_id: whose audio it is.
        broken: told of an engine that raised on audio; it gets no more, and what it did not take goes to the next one.

    Attributes:
        format: format of the audio that it is given.
        dropped_frames: frames that were given up because too many were kept back.
    """

    def __init__(
        self,
        audio_format: AudioFormat,
        call_id: str = "",
        broken: Callable[[RealtimeEngine], None] | None = None,
    ) -> None:
        self.format = audio_format
        self._broken = broken
        self.dropped_frames = 0
        self._call_id = call_id
        self._most_bytes = audio_format.bytes_for_ms(HOLD_MS)
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._withholds = True
        #: what the session was given; None once it has heard the caller
        self._unheard: deque[bytes] | None = deque()
        self._unheard_bytes = 0
        self._most_unheard = 0
        self._engine: RealtimeEngine | None = None
        self._direct: RealtimeEngine | None = None
        self._converter: Converter | None = None
        self._orders: deque[tuple[str, Callable[[], Any]]] = deque()
        self._wake = asyncio.Event()

    # -- the engine

    def attach(self, engine: RealtimeEngine, takes: AudioFormat) -> None:
        """The engine has a session that takes audio in that format."""
        self._engine = engine
        self.takes(takes)
        self._flow()

    def takes(self, audio_format: AudioFormat) -> None:
        """The format that the engine takes, which an acknowledgement may change (RT-19)."""
        if self._converter is None or self._converter.target != audio_format:
            self._converter = Converter(self.format, audio_format)

    def detach(self) -> None:
        """The session is gone: orders to it are void, and audio is kept for the next one."""
        self._engine = self._direct = self._converter = None
        self._orders.clear()
        if self._unheard:
            self._kept.extendleft(reversed(self._unheard))
            self._kept_bytes += self._unheard_bytes
            self._unheard.clear()
            self._unheard_bytes = 0

    @property
    def repeats(self) -> bool:
        """Whether what it is given goes to the next session, should this one be lost."""
        return self._unheard is not None

    def heard(self) -> None:
        """The engine has heard the caller: what it was given is not said again to another session."""
        self._unheard = None

    def order(self, name: str, write: Callable[[], Any]) -> None:
        """Have something written to the engine; `write` may return an awaitable. Void without a session."""
        if self._engine is not None:
            self._orders.append((name, write))
            self._wake.set()

    def release(self) -> None:
        """Withhold nothing any more, once all orders given so far are written."""
        self.order("release", self._release)

    def _release(self) -> None:
        self._withholds = False
        self._flow()

    # -- the caller

    def send(self, chunk: bytes) -> None:
        """Take a frame; never waits."""
        engine = self._direct
        if engine is None:
            self._keep(chunk)
        else:
            self._give(engine, chunk)

    def _keep(self, chunk: bytes) -> None:
        self._kept.append(chunk)
        self._kept_bytes += len(chunk)
        while self._kept_bytes > self._most_bytes:
            self._kept_bytes -= len(self._kept.popleft())
            if not self.dropped_frames:
                logger.warning(
                    "call %s: over %d s of the caller's audio wait for the engine; the oldest is dropped",
                    self._call_id,
                    HOLD_MS // 1000,
                )
            self.dropped_frames += 1
        if self._engine is not None and not self._withholds:
            self._wake.set()

    def _flow(self) -> None:
        """What was kept goes out, oldest first, as soon as it may."""
        engine = self._engine
        if engine is None or self._withholds:
            return
        self._most_unheard = self._kept_bytes + self.format.bytes_for_ms(UNHEARD_MS)
        if inspect.iscoroutinefunction(engine.send_audio):
            self._wake.set()
            return
        self._direct = engine
        while self._kept and self._direct is engine:
            self._give(engine, self._next())

    def _next(self) -> bytes:
        chunk = self._kept.popleft()
        self._kept_bytes -= len(chunk)
        return chunk

    def _give(self, engine: RealtimeEngine, chunk: bytes) -> Awaitable[None] | None:
        assert self._converter is not None
        audio = self._converter.process(chunk)
        if self._unheard is not None:
            self._note(self._unheard, chunk)
        if not audio:
            return None
        try:
            return engine.send_audio(audio)
        except Exception as error:
            if not self._unheard:  # among those it goes to the next session anyway
                self._kept.appendleft(chunk)
                self._kept_bytes += len(chunk)
            self._refused(engine, error)
            return None

    def _note(self, unheard: deque[bytes], chunk: bytes) -> None:
        unheard.append(chunk)
        self._unheard_bytes += len(chunk)
        if self._unheard_bytes > self._most_unheard:
            self.heard()

    def _refused(self, engine: RealtimeEngine, error: Exception) -> None:
        self._failed("audio", error)
        if self._engine is engine:
            self.detach()
            if self._broken is not None:
                self._broken(engine)

    # -- the sender

    async def run(self) -> None:
        """The sender task: until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._orders or self._may_send():
                if self._orders:
                    await self._write(*self._orders.popleft())
                else:
                    await self._send_next()

    def _may_send(self) -> bool:
        """Whether audio waits for this task: that of an engine whose sending takes time."""
        return bool(self._kept) and self._engine is not None and not self._withholds

    async def _send_next(self) -> None:
        engine = self._engine
        assert engine is not None
        sending = self._give(engine, self._next())
        if sending is None:
            return
        try:
            async with asyncio.timeout(ORDER_S):
                await sending
        except Exception as error:
            self._refused(engine, error)

    async def _write(self, name: str, write: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(ORDER_S):
                writing = write()
                if inspect.isawaitable(writing):
                    await writing
        except Exception as error:
            self._failed(name, error)

    def _failed(self, name: str, error: Exception) -> None:
        logger.warning("call %s: the engine did not take %s: %s", self._call_id, name, type(error).__name__)
