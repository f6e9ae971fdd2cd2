"""The carrier's end of one call in memory: text messages both ways, a playout buffer, marks, stalls, and its loss."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from patter.testing.simulation.speech import PER_MS

if TYPE_CHECKING:
    from patter.testing.far_end import FarEnd
    from patter.testing.whole_call.played_call import PlayedCall

FRAME_S = 0.02
FRAME = 20 * PER_MS
#: µ-law: silence, and something loud
SILENCE, LOUD = b"\xff" * FRAME, b"\x10" * FRAME
ODD_MESSAGES = ("", "no json", "[]", '{"type": "media"}', "x" * 70_000)


class MemoryLine:
    """A `patter.call.connection.CarrierConnection`, and the carrier behind it.

    Attributes:
        loud: whether the caller makes a sound.
        frames: of the caller's audio that were sent.
        gone_at: when the connection was lost or closed, in s.
        stalled: whether the socket takes nothing.
        log: (time, direction, text) of every message, when asked for.
    """

    def __init__(self, call: PlayedCall, far_end: FarEnd, *, log: bool = False) -> None:
        self._call = call
        self._far_end = far_end
        self._loop = asyncio.get_running_loop()
        self._inbound: deque[str] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._flow: asyncio.Future[None] | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._frame_timer: asyncio.TimerHandle | None = None
        self._next_frame = 0.0
        self._marks: set[str] = set()
        self._gone = False
        self._stopped = False
        self.loud = False
        self.frames = 0
        self.stalled = False
        self.gone_at: float | None = None
        self.closed_with: int | None = None
        self.log: list[tuple[float, bool, str]] | None = [] if log else None

    # -- for the engine (CarrierConnection)

    async def receive_text(self) -> str | None:
        """The next message to Patter; None once the connection is gone."""
        while not self._inbound:
            if self._gone:
                return None
            self._reader = self._loop.create_future()
            await self._reader
        return self._inbound.popleft()

    async def send_text(self, text: str) -> None:
        """Take a message of Patter; waits while the socket is stalled."""
        while self.stalled and not self._gone:
            if self._flow is None:
                self._flow = self._loop.create_future()
            await asyncio.shield(self._flow)
        if self._gone:
            return
        if self.log is not None:
            self.log.append((self._loop.time(), False, text))
        call = self._call
        kind, value = self._far_end.read(text)
        if kind == "audio":
            assert isinstance(value, bytes)
            call.note_audio(value)
        elif kind == "mark":
            assert isinstance(value, str)
            self._echo_later(value)
        else:
            self._cleared(call.note_clear())

    def unsent_bytes(self) -> int:
        """Nothing waits in memory."""
        return 0

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Patter closes the connection; idempotent."""
        if self.closed_with is None:
            self.closed_with = code
        self.drop()

    # -- the carrier

    @property
    def is_open(self) -> bool:
        """Whether the connection is up."""
        return not self._gone

    @property
    def marks(self) -> frozenset[str]:
        """The marks that are on their way back."""
        return frozenset(self._marks)

    def send(self, text: str) -> None:
        """Send a message to Patter; lost when the connection is gone."""
        if self._gone:
            return
        if self.log is not None:
            self.log.append((self._loop.time(), True, text))
        self._inbound.append(text)
        self._wake()

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)

    def open(self) -> None:
        """The stream starts, and from now on the caller's audio comes."""
        for text in self._far_end.opening():
            self.send(text)
        self._next_frame = self._loop.time()
        self._send_frame()

    def _send_frame(self) -> None:
        self._frame_timer = None
        if self._gone or self._stopped:
            return
        self.frames += 1
        self.send(self._far_end.audio(LOUD if self.loud else SILENCE))
        self._next_frame += FRAME_S
        self._frame_timer = self._loop.call_at(self._next_frame, self._send_frame)

    def press(self, digit: str) -> None:
        """The caller presses a key."""
        if not self._stopped:
            self.send(self._far_end.digit(digit))

    def stop(self) -> None:
        """The carrier ends the stream."""
        if not self._stopped:
            self.send(self._far_end.stop())
            self._stopped = True

    def drop(self) -> None:
        """The connection is gone; what Patter has not read yet it still reads."""
        if self._gone:
            return
        self._gone = True
        self.gone_at = self._loop.time()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._frame_timer is not None:
            self._frame_timer.cancel()
            self._frame_timer = None
        self._wake()
        self.resume()

    def stall(self, seconds: float) -> None:
        """The socket takes nothing for a while."""
        if self._gone:
            return
        self.stalled = True
        self._timers.add(self._loop.call_later(seconds, self.resume))

    def resume(self) -> None:
        """It takes data again."""
        self.stalled = False
        flow, self._flow = self._flow, None
        if flow is not None and not flow.done():
            flow.set_result(None)

    # -- marks

    def _echo_later(self, name: str) -> None:
        carrier, echoes = self._call.carrier, self._call.script.echoes
        played_at = carrier.mark(name)
        delay = echoes[len(carrier.marks) % len(echoes)]
        if delay is not None:
            self._marks.add(name)
            self._at(played_at + delay, name)

    def _cleared(self, names: list[str]) -> None:
        script = self._call.script
        for name in names:
            self._marks.discard(name)
            if script.marks_return:
                self._marks.add(name)
                self._at(self._loop.time() + 2 * script.delay_s, name)

    def _at(self, t: float, name: str) -> None:
        def echo() -> None:
            self._timers.discard(timer)
            if name in self._marks:
                self._marks.discard(name)
                self.echo(name)

        timer = self._loop.call_at(t, echo)
        self._timers.add(timer)

    def echo(self, name: str) -> None:
        """A mark comes back, whoever asked for it."""
        if not self._stopped:
            self.send(self._far_end.mark(name))
