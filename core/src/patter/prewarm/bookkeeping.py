"""Who has what open for which ringing call. Pure: no clock, no I/O; what it says is done by `patter.prewarm.warming`.

A slot is one provider of one call. It is opened while the phone rings, parked, and taken at most once when the media
starts (PW-05). The greeting's audio is one more thing of a call that is taken at most once. Whatever is not taken is
released on every way out: another outcome of the dial, the end of the ring, the end of the call, the shutdown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

#: greetings that are kept at a time over all calls (PW-17)
MOST_GREETINGS = 200

Take = Literal["adopt", "wait", "cold"]


class SlotState(Enum):
    """Where a slot stands."""

    OPENING = auto()
    #: the call wants it as soon as it is open: no second handshake (PW-02)
    AWAITED = auto()
    PARKED = auto()


class GreetingState(Enum):
    """Where a call's greeting stands."""

    RENDERING = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class CloseSlot:
    """Close what is parked there."""

    call_id: str
    slot: str


@dataclass(frozen=True, slots=True)
class DropGreeting:
    """Forget the greeting's audio, and stop making it."""

    call_id: str


@dataclass(frozen=True, slots=True)
class ReportWaste:
    """So many characters were paid for and never heard; at most one for a call (PW-16)."""

    call_id: str
    characters: int


Release = CloseSlot | DropGreeting | ReportWaste


@dataclass(slots=True)
class _Ringing:
    expires_at: float
    slots: dict[str, SlotState] = field(default_factory=dict)
    greeting: GreetingState | None = None
    characters: int = 0


class PrewarmBook:
    """The book of all ringing calls of one phone. Times in s."""

    def __init__(self, *, most_greetings: int = MOST_GREETINGS) -> None:
        self._most_greetings = most_greetings
        self._calls: dict[str, _Ringing] = {}
        self._greetings = 0

    def __len__(self) -> int:
        """Calls of which anything is kept."""
        return len(self._calls)

    # -- while it rings

    def begin(self, call_id: str, slots: Iterable[str], t: float, ttl_s: float) -> None:
        """The call rings, and those slots are being opened; they live at most `ttl_s`.

        Raises `ValueError` for a call that is in the book.
        """
        if call_id in self._calls:
            raise ValueError(f"{call_id} is being prewarmed already")
        self._calls[call_id] = _Ringing(t + ttl_s, dict.fromkeys(slots, SlotState.OPENING))

    def opened(self, call_id: str, slot: str) -> bool:
        """A slot's connection is open. False: nobody wants it any more, close it at once (PW-06)."""
        call = self._calls.get(call_id)
        state = call.slots.get(slot) if call is not None else None
        if call is None or state not in (SlotState.OPENING, SlotState.AWAITED):
            return False
        if state is SlotState.AWAITED:
            self._empty(call_id, call, slot)
        else:
            call.slots[slot] = SlotState.PARKED
        return True

    def failed(self, call_id: str, slot: str) -> None:
        """A slot could not be opened, or what was parked there is gone: the call connects cold (PW-04)."""
        call = self._calls.get(call_id)
        if call is not None and slot in call.slots:
            self._empty(call_id, call, slot)

    def render(self, call_id: str, characters: int, t: float, ttl_s: float) -> bool:
        """Whether the call's greeting may be made beforehand; the 201st at a time may not (PW-17)."""
        call = self._calls.get(call_id)
        if self._greetings >= self._most_greetings or (call is not None and call.greeting is not None):
            return False
        if call is None:
            call = self._calls[call_id] = _Ringing(t + ttl_s)
        call.greeting, call.characters = GreetingState.RENDERING, characters
        self._greetings += 1
        return True

    def rendered(self, call_id: str) -> bool:
        """The greeting's audio is complete. False: it comes too late and is not kept."""
        call = self._calls.get(call_id)
        if call is None or call.greeting is not GreetingState.RENDERING:
            return False
        call.greeting = GreetingState.READY
        return True

    def render_failed(self, call_id: str) -> None:
        """There will be no audio; the greeting is spoken live."""
        call = self._calls.get(call_id)
        if call is not None and call.greeting is not None:
            self._forget_greeting(call_id, call)

    # -- when the media starts

    def keeps(self, call_id: str, slot: str) -> bool:
        """Whether that slot is opened or being opened, and not taken."""
        call = self._calls.get(call_id)
        return call is not None and call.slots.get(slot) in (SlotState.OPENING, SlotState.PARKED)

    def take(self, call_id: str, slot: str) -> Take:
        """Take a slot, at most once: adopt what is parked, wait for what is being opened, or connect cold."""
        call = self._calls.get(call_id)
        state = call.slots.get(slot) if call is not None else None
        if call is None or state is None or state is SlotState.AWAITED:
            return "cold"
        if state is SlotState.OPENING:
            call.slots[slot] = SlotState.AWAITED
            return "wait"
        self._empty(call_id, call, slot)
        return "adopt"

    def take_greeting(self, call_id: str) -> tuple[bool, list[Release]]:
        """Whether the greeting's audio is there to be played now; if not, it is dropped and live TTS speaks (PW-15)."""
        call = self._calls.get(call_id)
        if call is None or call.greeting is None:
            return False, []
        if call.greeting is GreetingState.READY:
            self._forget_greeting(call_id, call)
            return True, []
        return False, self._drop_greeting(call_id, call)

    # -- the ways out

    def end(self, call_id: str) -> list[Release]:
        """The call is over, or will never have media; harmless when nothing of it is kept."""
        call = self._calls.get(call_id)
        if call is None:
            return []
        releases: list[Release] = [
            CloseSlot(call_id, slot) for slot, state in call.slots.items() if state is SlotState.PARKED
        ]
        call.slots.clear()
        releases += self._drop_greeting(call_id, call)
        self._calls.pop(call_id, None)
        return releases

    def time_passed(self, t: float) -> list[Release]:
        """Release what has outlived its ring; what a call waits for stays until it is open or has failed."""
        releases: list[Release] = []
        for call_id in [call_id for call_id, call in self._calls.items() if call.expires_at <= t]:
            awaited = [
                slot for slot, state in self._calls[call_id].slots.items() if state is SlotState.AWAITED
            ]
            releases += self.end(call_id)
            if awaited:
                self._calls[call_id] = _Ringing(float("inf"), dict.fromkeys(awaited, SlotState.AWAITED))
        return releases

    def deadline(self) -> float | None:
        """When `time_passed` must be called next; None while nothing can expire."""
        moment = min((call.expires_at for call in self._calls.values()), default=float("inf"))
        return moment if moment != float("inf") else None

    def close(self) -> list[Release]:
        """The phone shuts down: release everything."""
        return [release for call_id in tuple(self._calls) for release in self.end(call_id)]

    def _drop_greeting(self, call_id: str, call: _Ringing) -> list[Release]:
        if call.greeting is None:
            return []
        waste = ReportWaste(call_id, call.characters)
        self._forget_greeting(call_id, call)
        return [DropGreeting(call_id), waste]

    def _forget_greeting(self, call_id: str, call: _Ringing) -> None:
        call.greeting = None
        self._greetings -= 1
        self._forget_if_empty(call_id, call)

    def _empty(self, call_id: str, call: _Ringing, slot: str) -> None:
        del call.slots[slot]
        self._forget_if_empty(call_id, call)

    def _forget_if_empty(self, call_id: str, call: _Ringing) -> None:
        if not call.slots and call.greeting is None:
            self._calls.pop(call_id, None)
