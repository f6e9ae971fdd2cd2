"""One VAD model for all calls: their windows are collected and judged together (SP-22).

Everything happens on the event loop. A window costs less than handing it to a thread, and a window in a batch costs
a third of a window alone; so a call that is alone is judged as it is fed, and calls that are not wait for the next
tick of the pacer's 10 ms grid. What a call hears does not depend on which of the two it was.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from patter.audio.formats import AudioFormat, Encoding
from patter.audio.g711 import ALAW_TO_FLOAT, MULAW_TO_FLOAT
from patter.call.vad_source import OnEvent, OnFailure, check_whole_samples, report_failure
from patter.errors import ConfigError, InternalError
from patter.providers.vad import VADDetector, VADModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from patter.environment import Clock

logger = logging.getLogger(__name__)

#: the most windows judged in one turn of the loop
ROWS_PER_STEP = 64
#: audio that may wait in one slot, in s; a verdict on older audio is of no use to anyone
BACKLOG_S = 4
#: an inference that takes longer is worth a warning, in s
SLOW_S = 0.1

_FIRST_SLOTS = 8
_TABLES = {Encoding.MULAW: MULAW_TO_FLOAT, Encoding.ALAW: ALAW_TO_FLOAT}
_PCM16_SCALE = np.float32(1 / 32768)


class _Row(NamedTuple):
    """A window on its way through the model. `life` tells whether its slot is still what it was."""

    slot: BatchedSlot
    payload: bytes
    position: int
    life: int


class VADBank:
    """The slots of all calls that use one model at one rate.

    Samples that wait are kept as the bytes that came in. State and context of a slot are rows of matrices, so that a
    batch is gathered, decoded and scattered by a few array operations, however many calls it holds.
    """

    def __init__(self, model: VADModel, rate: int, clock: Clock) -> None:
        if rate not in model.rates:
            rates = " or ".join(map(str, model.rates))
            raise ConfigError(f"{type(model).__name__} takes audio at {rates} Hz, not at {rate} Hz")
        self.rate = rate
        self.window_samples = model.window_samples(rate)
        self._model = model
        self._clock = clock
        self._slow_said = False
        self._context_samples = model.context_samples(rate)
        self._windows = np.zeros((ROWS_PER_STEP, self._context_samples + self.window_samples), np.float32)
        self._contexts = np.zeros((_FIRST_SLOTS, self._context_samples), np.float32)
        self._states = np.zeros((_FIRST_SLOTS, *model.state_shape), np.float32)
        self._free = list(reversed(range(_FIRST_SLOTS)))
        self._due: deque[BatchedSlot] = deque()
        self._stepping = False

    @property
    def open_slots(self) -> int:
        """How many calls have a slot."""
        return len(self._states) - len(self._free)

    def open(self, encoding: Encoding, on_event: OnEvent, on_failure: OnFailure | None = None) -> BatchedSlot:
        """A slot for one call, with zeroed state and context.

        `on_event` must not block. If the model or the detector fails for this call, or `on_event` raises, the slot
        is closed and `on_failure` gets the error; other calls do not notice.
        """
        detector = self._model.detector(self.rate)
        if not self._free:
            self._grow()
        return BatchedSlot(self, self._free.pop(), encoding, detector, (on_event, on_failure))

    def step(self) -> bool:
        """Judge windows that wait, at most 64; True when more are due.

        Windows of one call are judged one after the other and those of several calls together, in the order in which
        they became complete.
        """
        if self._stepping:  # an event callback fed a slot: its windows wait for this step, or for the next
            return bool(self._due)
        self._stepping = True
        try:
            room = ROWS_PER_STEP
            while self._due and room:
                rows = [self._due.popleft().take() for _ in range(min(room, len(self._due)))]
                room -= len(rows)
                self._judge(rows)
        finally:
            self._stepping = False
        return bool(self._due)

    def window_ready(self, slot: BatchedSlot) -> None:
        """A slot that was not in the queue has a complete window."""
        self._due.append(slot)
        if self.open_slots == 1:
            self.step()

    def forget(self, index: int, slot: BatchedSlot) -> None:
        """Zero a slot's row, and judge nothing that waits."""
        if slot in self._due:
            self._due.remove(slot)
        self._contexts[index] = 0
        self._states[index] = 0

    def release(self, index: int) -> None:
        """A slot is closed; its row is free for the next call."""
        self._free.append(index)

    def _grow(self) -> None:
        size = len(self._states)
        self._free = list(reversed(range(size, 2 * size)))
        self._contexts = np.concatenate([self._contexts, np.zeros_like(self._contexts)])
        self._states = np.concatenate([self._states, np.zeros_like(self._states)])

    def _judge(self, rows: list[_Row]) -> None:
        """One window of each row's slot, at once."""
        windows = self._windows[: len(rows)]
        indexes: slice | list[int] = [row.slot.index for row in rows]
        if len(rows) == 1:  # the usual case of a quiet process, and a slice costs a fraction of a list
            indexes = slice(rows[0].slot.index, rows[0].slot.index + 1)
        windows[:, : self._context_samples] = self._contexts[indexes]
        self._decode(rows, windows[:, self._context_samples :])
        try:
            probabilities, states = self._infer(windows, self._states[indexes])
        except Exception as error:
            self._judge_apart(rows, error)
            return
        # Everything is put away before the first callback, which may open, feed, reset or close any slot.
        self._contexts[indexes] = windows[:, self.window_samples :]
        self._states[indexes] = states
        for row, probability in zip(rows, probabilities.tolist(), strict=True):
            row.slot.deliver(row.life, probability, row.position)

    def _judge_apart(self, rows: list[_Row], error: Exception) -> None:
        """After a failed batch: the failure belongs to the calls that fail alone too (LC-04)."""
        if len(rows) == 1:
            rows[0].slot.fail(error)
            return
        for row in rows:
            if row.slot.life == row.life:
                self._judge([row])

    def _decode(self, rows: list[_Row], samples: NDArray[np.float32]) -> None:
        """Write the rows' audio, scaled to ±1."""
        by_encoding: dict[Encoding, list[int]] = {}
        for number, row in enumerate(rows):
            by_encoding.setdefault(row.slot.format.encoding, []).append(number)
        for encoding, numbers in by_encoding.items():
            audio = _scaled(b"".join([rows[number].payload for number in numbers]), encoding)
            chosen = slice(None) if len(by_encoding) == 1 else numbers
            samples[chosen] = audio.reshape(-1, self.window_samples)

    def _infer(
        self, windows: NDArray[np.float32], states: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        began = self._clock.monotonic()
        probabilities, new_states = self._model.infer(windows, states, self.rate)
        took = self._clock.monotonic() - began
        if took > SLOW_S and not self._slow_said:
            self._slow_said = True
            logger.warning(
                "%s took %.0f ms for %d windows; every call of this process waited",
                type(self._model).__name__,
                took * 1000,
                len(windows),
            )
        if probabilities.shape != (len(windows),) or new_states.shape != states.shape:
            raise InternalError(
                f"{type(self._model).__name__}.infer answered probabilities of {probabilities.shape} and states of "
                f"{new_states.shape} for {len(windows)} windows"
            )
        return probabilities, new_states


def _scaled(audio: bytes, encoding: Encoding) -> NDArray[np.float32]:
    """The samples of whole windows as float32 from -1 to 1."""
    table = _TABLES.get(encoding)
    if table is not None:
        return table[np.frombuffer(audio, np.uint8)]
    return np.frombuffer(audio, "<i2") * _PCM16_SCALE


class BatchedSlot:
    """One call's place in a `VADBank`."""

    __slots__ = (
        "_backlog_bytes",
        "_backlog_said",
        "_bank",
        "_detector",
        "_on_event",
        "_on_failure",
        "_pending",
        "_position",
        "_sample_bytes",
        "_window_bytes",
        "format",
        "index",
        "life",
    )

    def __init__(
        self,
        bank: VADBank,
        index: int,
        encoding: Encoding,
        detector: VADDetector,
        callbacks: tuple[OnEvent, OnFailure | None],
    ) -> None:
        #: what `feed` takes
        self.format = AudioFormat(encoding, bank.rate)
        #: the row of the bank's matrices; -1 once closed
        self.index = index
        #: changes with each reset and close, so that results under way are recognised as belonging to the past
        self.life = 0
        self._bank = bank
        self._detector = detector
        self._on_event, self._on_failure = callbacks
        self._pending = bytearray()
        self._position = 0  # samples that came before those pending
        self._sample_bytes = self.format.bytes_per_sample
        self._window_bytes = bank.window_samples * self._sample_bytes
        windows = -(-BACKLOG_S * bank.rate // bank.window_samples)
        self._backlog_bytes = windows * self._window_bytes
        self._backlog_said = False

    def feed(self, payload: bytes) -> None:
        """Take audio, any number of whole samples; after `close` it is ignored.

        Of more than 4 s that wait, the oldest are skipped with one warning; positions count them.

        Raises:
            InputError: half a sample.
        """
        if self.index < 0:
            return
        if self._sample_bytes > 1:
            check_whole_samples(payload, self._sample_bytes)
        waited = len(self._pending) >= self._window_bytes
        self._pending += payload
        if len(self._pending) < self._window_bytes:
            return
        if len(self._pending) > self._backlog_bytes:
            self._skip_oldest()
        if not waited:
            self._bank.window_ready(self)

    def take(self) -> _Row:
        """The next window. Only for the bank, while one is complete."""
        payload = bytes(self._pending[: self._window_bytes])
        del self._pending[: self._window_bytes]
        self._position += self._bank.window_samples
        if len(self._pending) >= self._window_bytes:
            self._bank.window_ready(self)
        return _Row(self, payload, self._position, self.life)

    def deliver(self, life: int, probability: float, position: int) -> None:
        """What the model said of a window. Only for the bank."""
        if life != self.life:
            return
        try:
            event = self._detector.feed(probability, position)
            if event is not None:
                self._on_event(event)
        except Exception as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Close, and tell the call. Only for the bank."""
        self.close()
        report_failure(error, self._on_failure)

    def reset(self) -> None:
        """Forget the audio so far, without an event; positions go on counting. For a quiet line only."""
        if self.index >= 0:
            self._forget()
            self._detector.reset()

    def close(self) -> None:
        """Give the slot back, zeroed. Idempotent; allowed inside an event callback."""
        if self.index >= 0:
            self._forget()
            self._bank.release(self.index)
            self.index = -1

    def _forget(self) -> None:
        self.life += 1
        self._position += len(self._pending) // self._sample_bytes
        self._pending.clear()
        self._bank.forget(self.index, self)

    def _skip_oldest(self) -> None:
        excess = len(self._pending) - self._backlog_bytes
        windows = -(-excess // self._window_bytes)
        del self._pending[: windows * self._window_bytes]
        self._position += windows * self._bank.window_samples
        if not self._backlog_said:
            self._backlog_said = True
            logger.warning(
                "speech detection is more than %d s behind; the oldest audio of a call is skipped", BACKLOG_S
            )
