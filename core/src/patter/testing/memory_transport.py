"""Both ends of a connection that lives in memory: what a TCP socket pair does, without sockets.

A `Pipe` carries the bytes of one direction in order, each after the latency of its network. Like the buffers of a
kernel it holds `window_bytes` for a reader that does not read; what exceeds them counts as the write buffer of the
sending `MemoryTransport`, whose protocol is paused above its high-water mark.
"""

from __future__ import annotations

import asyncio
import contextvars
import errno
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_END: Final = b""  # of the stream: the sender has closed its side
_RESET: Final = None  # the sender is gone and will read nothing more
_HIGH_WATER_BYTES: Final = 64 * 1024  # asyncio's own default


@dataclass(frozen=True, slots=True)
class PipeLimits:
    """How much of a stream a network holds and hands over.

    Attributes:
        window_bytes: bytes under way, or arrived and unread, that do not count as the sender's write buffer.
        read_bytes: the most that one `data_received` gets; 1 shows what a protocol assumes about framing.
    """

    window_bytes: int = 64 * 1024
    read_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        if self.window_bytes < 0 or self.read_bytes < 1:
            raise ValueError("window_bytes must be at least 0 and read_bytes at least 1")


class Pipe:
    """One direction of a connection: bytes, then perhaps an end of stream or a reset, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: PipeLimits, latency_s: float) -> None:
        self.loop = loop
        self._limits = limits
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._undelivered = 0
        self._wakeup: asyncio.Handle | None = None
        self._stalled = False
        #: Seconds from a write to its arrival; a change never lets later bytes overtake earlier ones.
        self.latency_s = latency_s
        #: The two ends, set by `connect`.
        self.source: MemoryTransport
        self.sink: MemoryTransport

    @property
    def excess_bytes(self) -> int:
        """Bytes for which the network has no room: the write buffer of the source."""
        return max(0, self._undelivered - self._limits.window_bytes)

    def push(self, item: bytes | None) -> None:
        """Send bytes, the end of the stream or a reset on their way."""
        self._queue.append((self.loop.time() + self.latency_s, item))
        self._undelivered += len(item or b"")
        self.wake()

    def stall(self, stalled: bool) -> None:
        """Hold everything back, or let it go on."""
        self._stalled = stalled
        self.wake()

    def keep_window(self) -> None:
        """Forget what has not left the source: the bytes beyond the window, and everything behind them."""
        kept: deque[tuple[float, bytes | None]] = deque()
        room = self._limits.window_bytes
        for due, item in self._queue:
            if not item or not room:
                break
            kept.append((due, item[:room]))
            room -= len(item[:room])
        self._queue = kept
        self._undelivered = self._limits.window_bytes - room

    def clear(self) -> None:
        """Lose everything that has not been delivered."""
        self._queue.clear()
        self._undelivered = 0

    def wake(self) -> None:
        """Deliver what is due as soon as the loop comes round, and the rest when it is due."""
        due = self._next_delivery()
        if due is None or self._wakeup is not None:
            return
        context = self.sink.context
        if due <= self.loop.time():
            self._wakeup = self.loop.call_soon(self._deliver, context=context)
        else:
            self._wakeup = self.loop.call_at(due, self._deliver, context=context)

    def _next_delivery(self) -> float | None:
        if self._stalled or not self._queue:
            return None
        if self.sink.can_receive():
            return self._queue[0][0]
        # A reset reaches even an end that does not read; nothing ever comes behind one.
        due, last = self._queue[-1]
        return due if last is _RESET else None

    def _deliver(self) -> None:
        self._wakeup = None
        due = self._next_delivery()
        if due is None:
            return
        if due > self.loop.time():  # the queue has changed since this was scheduled
            self.wake()
            return
        if not self.sink.can_receive():
            self.clear()
            self._queue.append((due, _RESET))
        data = self._take_due()
        if data:
            self.sink.receive(data)
            self.source.buffer_shrank()
        elif self._queue.popleft()[1] is _RESET:
            self.sink.reset("the other end had closed the connection")
        else:
            self.sink.receive_end()
        self.wake()

    def _take_due(self) -> bytes:
        now = self.loop.time()
        room = self._limits.read_bytes
        parts: list[bytes] = []
        while room and self._queue and self._queue[0][0] <= now and (item := self._queue[0][1]):
            due, _ = self._queue.popleft()
            if len(item) > room:
                self._queue.appendleft((due, item[room:]))
                item = item[:room]
            parts.append(item)
            room -= len(item)
        data = b"".join(parts)
        self._undelivered -= len(data)
        return data


class MemoryTransport(asyncio.Transport):
    """One end of an in-memory connection, with the behaviour of asyncio's socket transport.

    Args:
        protocol: gets the bytes and the flow control of this end.
        incoming: the pipe this end reads.
        outgoing: the pipe it writes.
        extra: what `get_extra_info` knows: ``peername`` and ``sockname`` as ``(host, port)``. There is no socket.
        context: the context variables that the protocol's callbacks see.
    """

    def __init__(
        self,
        protocol: asyncio.BaseProtocol,
        incoming: Pipe,
        outgoing: Pipe,
        extra: Mapping[str, Any],
        context: contextvars.Context,
    ) -> None:
        super().__init__(dict(extra))
        self._loop = incoming.loop
        #: The other end's writes must not lend this end's protocol their context.
        self.context = context
        self._protocol = protocol
        self._incoming = incoming
        #: The pipe that this end writes.
        self.outgoing = outgoing
        self._started = False
        self._reading = True
        self._closing = False
        self._lost = False
        self._end_sent = False
        self._writing_paused = False
        self._high_water = _HIGH_WATER_BYTES
        self._low_water = _HIGH_WATER_BYTES // 4
        #: Called once, after `connection_lost`.
        self.on_lost: Callable[[], None] = lambda: None
        incoming.sink = self
        outgoing.source = self

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<MemoryTransport {self.get_extra_info('sockname')} to {self.get_extra_info('peername')} {state}>"

    def start(self) -> None:
        """Call `connection_made` and let bytes arrive."""
        self._started = True
        self._protocol.connection_made(self)
        self._incoming.wake()

    # The protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand everything that arrives from now on to `protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol of this end."""
        return self._protocol

    # Reading

    def is_reading(self) -> bool:
        """True unless reading is paused or the transport is closing."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """Leave what arrives in the network, so that the other end is held up."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take up reading again, from the next pass of the loop on."""
        self._reading = True
        self._incoming.wake()

    def can_receive(self) -> bool:
        """True if the incoming pipe may deliver: to the protocol, or to nobody once this end is gone."""
        return self._lost or (self._started and self.is_reading())

    def receive(self, data: bytes) -> None:
        """Take bytes off the incoming pipe."""
        if self._lost:
            # What a kernel answers to bytes for a closed socket. Behind whatever this end has already sent.
            self.outgoing.push(_RESET)
            return
        try:
            if isinstance(self._protocol, asyncio.BufferedProtocol):
                _fill_buffers(self._protocol, data)
            elif isinstance(self._protocol, asyncio.Protocol):
                self._protocol.data_received(data)
        except Exception as error:
            self._fail("the protocol failed on data", error)

    def receive_end(self) -> None:
        """Take the end of the stream: the other end writes nothing more."""
        if self._lost:
            return
        try:
            keep_open = isinstance(self._protocol, asyncio.Protocol | asyncio.BufferedProtocol) and (
                self._protocol.eof_received()
            )
        except Exception as error:
            self._fail("the protocol failed on the end of the stream", error)
            return
        if not keep_open:
            self.close()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a copy of `data`. Ignored once the connection is lost or closing, as asyncio's transports do.

        Raises:
            TypeError: `data` is not bytes-like.
            RuntimeError: after `write_eof`.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._end_sent and not self._closing:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not len(data):
            return
        self.outgoing.push(bytes(data))
        if not self._writing_paused and self.get_write_buffer_size() > self._high_water:
            self._writing_paused = True
            self._tell_protocol("pause_writing")

    def write_eof(self) -> None:
        """End the stream of this direction; the other one stays open."""
        if not self._end_sent and not self._closing:
            self._end_sent = True
            self.outgoing.push(_END)

    def can_write_eof(self) -> bool:
        """True: each direction can be closed alone."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes written for which the network has had no room yet."""
        return 0 if self._lost else self.outgoing.excess_bytes

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low-water and the high-water mark, in bytes."""
        return self._low_water, self._high_water

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Pause the protocol above `high` bytes of write buffer and resume it at `low`.

        Defaults as in asyncio: `high` is 64 KiB, or four times `low`; `low` is a quarter of `high`.

        Raises:
            ValueError: not ``high >= low >= 0``.
        """
        if high is None:
            high = _HIGH_WATER_BYTES if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high_water, self._low_water = high, low
        if not self._writing_paused and self.get_write_buffer_size() > high:
            self._writing_paused = True
            self._tell_protocol("pause_writing")

    def buffer_shrank(self) -> None:
        """The network took bytes on: resume the protocol at the low-water mark, or finish closing."""
        if self._lost:
            return
        size = self.get_write_buffer_size()
        if self._writing_paused and size <= self._low_water:
            self._writing_paused = False
            self._tell_protocol("resume_writing")
        if self._closing and not size:
            self._lose(None)

    # Ending

    def is_closing(self) -> bool:
        """True once the transport is closing or closed."""
        return self._closing

    def close(self) -> None:
        """Stop reading, send what was written and then end; `connection_lost(None)` when it has all left."""
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        if not self.get_write_buffer_size():
            self._lose(None)

    def abort(self) -> None:
        """End at once. What has not left for the network is lost; the other end sees the end of the stream."""
        if self._lost:
            return
        self._closing = True
        self.outgoing.keep_window()
        self.outgoing.push(_END)
        self._lose(None)

    def reset(self, reason: str) -> None:
        """Lose the connection with `ConnectionResetError` and everything that was under way from here."""
        self.outgoing.clear()
        self._lose(ConnectionResetError(errno.ECONNRESET, f"{os.strerror(errno.ECONNRESET)}: {reason}"))

    def _fail(self, what: str, error: Exception) -> None:
        context = {"message": what, "exception": error, "transport": self, "protocol": self._protocol}
        self._loop.call_exception_handler(context)
        self.outgoing.keep_window()
        self.outgoing.push(_END)
        self._lose(error)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._closing = self._lost = True
        self._loop.call_soon(self._finish, error, context=self.context)

    def _finish(self, error: Exception | None) -> None:
        try:
            if self._started:
                self._protocol.connection_lost(error)
        finally:
            self.on_lost()
            self._incoming.wake()

    def _tell_protocol(self, method: str) -> None:
        try:
            getattr(self._protocol, method)()
        except Exception as error:
            context = {"message": f"protocol.{method}() failed", "exception": error, "transport": self}
            self._loop.call_exception_handler(context)


def _fill_buffers(protocol: asyncio.BufferedProtocol, data: bytes) -> None:
    while data:
        buffer = memoryview(protocol.get_buffer(len(data)))
        if not buffer:
            raise RuntimeError("get_buffer() returned an empty buffer")
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]
