"""The book of ringing calls under every order of events, against a plain model of what is open."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from patter.prewarm.bookkeeping import CloseSlot, DropGreeting, PrewarmBook, Release, ReportWaste

SLOTS = ("stt", "tts", "llm")
TTL_S = 30.0


class Ringing(RuleBasedStateMachine):
    """Keeps for each connection and greeting who has it: nobody, the lot, or a call."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.book = PrewarmBook(most_greetings=3)
        self.t = 0.0
        self.count = 0
        self.expires: dict[str, float] = {}
        self.opening: set[tuple[str, str]] = set()
        self.parked: set[tuple[str, str]] = set()
        self.awaited: set[tuple[str, str]] = set()
        self.adopted: set[tuple[str, str]] = set()
        self.rendering: set[str] = set()
        self.ready: set[str] = set()
        self.wasted: set[str] = set()

    @rule(target=calls, slots=st.sets(st.sampled_from(SLOTS), min_size=1))
    def ring(self, slots: set[str]) -> str:
        self.count += 1
        call = f"call-{self.count}"
        self.book.begin(call, sorted(slots), self.t, TTL_S)
        self.expires[call] = self.t + TTL_S
        self.opening |= {(call, slot) for slot in slots}
        return call

    @rule(call=calls)
    def render(self, call: str) -> None:
        kept = self.rendering | self.ready
        expected = call not in kept and len(kept) < 3
        if expected and not any(key[0] == call for key in self.opening | self.parked | self.awaited):
            self.expires[call] = self.t + TTL_S
        assert self.book.render(call, 17, self.t, TTL_S) == expected
        if expected:
            self.wasted.discard(call)  # a new one may be wasted once more
            self.rendering.add(call)

    @rule(call=calls, slot=st.sampled_from(SLOTS))
    def opened(self, call: str, slot: str) -> None:
        key = (call, slot)
        assert self.book.opened(call, slot) == (key in self.opening | self.awaited)
        if key in self.opening:
            self.opening.remove(key)
            self.parked.add(key)
        elif key in self.awaited:
            self.awaited.remove(key)
            self.adopted.add(key)

    @rule(call=calls, slot=st.sampled_from(SLOTS))
    def failed(self, call: str, slot: str) -> None:
        self.book.failed(call, slot)
        for slots in (self.opening, self.parked, self.awaited):
            slots.discard((call, slot))

    @rule(call=calls)
    def rendered(self, call: str) -> None:
        assert self.book.rendered(call) == (call in self.rendering)
        if call in self.rendering:
            self.rendering.remove(call)
            self.ready.add(call)

    @rule(call=calls)
    def render_failed(self, call: str) -> None:
        self.book.render_failed(call)
        self.rendering.discard(call)
        self.ready.discard(call)

    @rule(call=calls, slot=st.sampled_from(SLOTS))
    def take(self, call: str, slot: str) -> None:
        key = (call, slot)
        expected = "adopt" if key in self.parked else "wait" if key in self.opening else "cold"
        assert self.book.take(call, slot) == expected
        if expected == "adopt":
            self.parked.remove(key)
            assert key not in self.adopted, "each slot is taken at most once"
            self.adopted.add(key)
        elif expected == "wait":
            self.opening.remove(key)
            self.awaited.add(key)

    @rule(call=calls)
    def take_greeting(self, call: str) -> None:
        ready, releases = self.book.take_greeting(call)
        assert ready == (call in self.ready)
        self.ready.discard(call)
        self.released(releases)

    @rule(call=consumes(calls))
    def end(self, call: str) -> None:
        self.released(self.book.end(call))
        assert not self.book.end(call)
        for slots in (self.opening, self.awaited):
            slots -= {key for key in slots if key[0] == call}
        assert not {key for key in self.parked if key[0] == call}
        assert call not in self.rendering | self.ready

    @rule(seconds=st.sampled_from((0.5, 10.0, TTL_S)))
    def wait(self, seconds: float) -> None:
        self.t += seconds
        self.released(self.book.time_passed(self.t))
        old = {call for call, expires in self.expires.items() if expires <= self.t}
        assert not {key for key in self.parked if key[0] in old}
        assert not (self.rendering | self.ready) & old
        self.opening -= {key for key in self.opening if key[0] in old}
        deadline = self.book.deadline()
        assert deadline is None or deadline > self.t

    @rule()
    def shut_down(self) -> None:
        self.released(self.book.close())
        assert not self.parked
        assert not self.rendering | self.ready
        self.opening.clear()
        self.awaited.clear()

    def released(self, releases: list[Release]) -> None:
        for release in releases:
            match release:
                case CloseSlot(call_id=call, slot=slot):
                    self.parked.remove((call, slot))  # a KeyError: closed twice, or closed under a call
                case DropGreeting(call_id=call):
                    assert call in self.rendering | self.ready
                    self.rendering.discard(call)
                    self.ready.discard(call)
                case ReportWaste(call_id=call, characters=characters):
                    assert characters == 17
                    assert call not in self.wasted, "one report for a greeting"
                    self.wasted.add(call)

    @invariant()
    def nothing_else_is_kept(self) -> None:
        keys = self.opening | self.parked | self.awaited
        assert len(self.book) == len({key[0] for key in keys} | self.rendering | self.ready)


TestRinging = Ringing.TestCase
