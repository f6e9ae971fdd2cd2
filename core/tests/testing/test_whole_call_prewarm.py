"""Simulated calls that ring: providers open before, at and after pickup, and each planted defect of that is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from patter.call.adoption import Adoption
from patter.call.call import Call
from patter.prewarm.bookkeeping import CloseSlot, PrewarmBook
from patter.prewarm.warming import Warming
from patter.server import media
from patter.server.switchboard import Switchboard
from patter.testing.simulation.levels import quiet
from patter.testing.whole_call.checks import problems
from patter.testing.whole_call.level import WholeLevel
from patter.testing.whole_call.played_call import PlayedCall
from patter.testing.whole_call.prewarm_plan import KINDS, Parking, PrewarmPlan
from patter.testing.whole_call.script import WholeScript, draw_whole, with_prewarm

pytestmark = pytest.mark.simulation

SEED = 60_000_000
#: calls within which every planted defect is found
WITHIN = 1_500

Shows = Callable[[PrewarmPlan], bool]


def played(calls: int, shows: Shows = lambda plan: True) -> Iterator[PlayedCall]:
    """Calls that ring, and can show something."""
    level = WholeLevel()
    with quiet():
        for number in range(calls):
            script = draw_whole(SEED + number)
            if script.prewarm is not None and shows(script.prewarm):
                yield level.play_call(script)


def test_scripts_hold_what_ringing_is_made_of() -> None:
    scripts = [draw_whole(seed) for seed in range(3_000)]
    plans = [script.prewarm for script in scripts if script.prewarm is not None]
    assert len(scripts) * 0.4 < len(plans) < len(scripts) * 0.6
    assert {plan.unanswered for plan in plans} == {
        *("", "busy", "no-answer", "failed", "canceled", "application", "shutdown")
    }
    assert {plan.answered_by for plan in plans} == {"", "human", "machine"}
    assert {plan.greeting for plan in plans} == {True, False}
    for kind in KINDS:
        parkings = [plan.parking[kind] for plan in plans]
        assert {parking.adopts for parking in parkings} == {
            *("at once", "slowly", "fails", "fails half-way", "hangs")
        }
        assert {parking.refuses for parking in parkings} == {True, False}
        assert {parking.clings for parking in parkings} == {True, False}
        before = [plan for plan in plans if plan.parking[kind].opens_s < plan.rings_s]
        at = [plan for plan in plans if plan.parking[kind].opens_s == plan.rings_s]
        after = [plan for plan in plans if plan.parking[kind].opens_s > plan.rings_s]
        assert min(len(before), len(at), len(after)) > 50


def test_every_promise_is_kept_and_what_was_parked_is_what_talks() -> None:
    adopted = rendered = 0
    ends: set[str] = set()
    for call in played(400):
        assert problems(call) == []
        adopted += sum(used.count("adopted") for used in call.switchroom.used.values())
        rendered += any(line.rendered and line.reply for line in call.record.lines)
        assert call.script.prewarm is not None
        ends.add(call.script.prewarm.unanswered)
        assert len(call.exchange.phone.warming) == 0
    assert adopted > 100
    assert rendered > 10
    assert ends >= {"", "canceled", "application", "shutdown"}


@pytest.mark.parametrize("opens_s", [0.1, 0.4, 1.5])
def test_a_dialled_call_uses_each_connection_that_it_opened_at_once(opens_s: float) -> None:
    """Before, at and after pickup: one handshake for each provider, taken over in no time."""
    parking = {kind: Parking(opens_s, False, None, "at once", False) for kind in KINDS}
    plan = PrewarmPlan(parking, 0.4, "", False, "", 0.0)
    level, dialled = WholeLevel(), 0
    with quiet():
        for number in range(400):
            script = draw_whole(SEED + number)
            if not script.outbound or script.prewarm is not None:
                continue
            call = level.play_call(with_prewarm(script, plan))
            assert problems(call) == []
            if call.session is None or call.record.frozen:
                continue
            dialled += 1
            assert all(used[0] == "adopted" for used in call.switchroom.used.values())
            adopted = sum(used.count("adopted") for used in call.switchroom.used.values())
            told = [one.took_ms for one in call.connections if one.source == "adopted"]
            assert told == [0.0] * adopted
    assert dialled > 10


# -- defects, each planted into Patter for the time of one test

Plant = Callable[[pytest.MonkeyPatch], None]


def _what_is_parked_is_not_closed(patch: pytest.MonkeyPatch) -> None:
    original = Warming._release

    def release(self: Warming, releases: Any) -> None:
        original(self, [one for one in releases if not isinstance(one, CloseSlot)])

    patch.setattr(Warming, "_release", release)
    patch.setattr(Warming, "end", lambda self, call_id: self._release(self._book.end(call_id)))


def _what_is_parked_is_never_taken(patch: pytest.MonkeyPatch) -> None:
    async def take(self: Warming, call_id: str, slot: str) -> Any:
        return None

    patch.setattr(Warming, "take", take)


def _a_half_adopted_provider_is_used(patch: pytest.MonkeyPatch) -> None:
    original = Adoption.adopt

    async def adopt(self: Adoption, *arguments: Any, **options: Any) -> bool | None:
        return await original(self, *arguments, **options) or None

    patch.setattr(Adoption, "adopt", adopt)


def _an_opening_is_not_waited_for_and_not_given_up(patch: pytest.MonkeyPatch) -> None:
    original = PrewarmBook.take

    def take(self: PrewarmBook, call_id: str, slot: str) -> Any:
        taken = original(self, call_id, slot)
        return "cold" if taken == "wait" else taken

    patch.setattr(PrewarmBook, "take", take)


def _the_bookkeeping_of_a_greeting_is_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PrewarmBook, "take_greeting", lambda self, call_id: (False, []))
    patch.setattr(Warming, "end", lambda self, call_id: None)


def _a_machine_meets_the_agent(patch: pytest.MonkeyPatch) -> None:
    async def is_for_the_agent(*_: Any) -> bool:
        return True

    patch.setattr(media, "is_for_the_agent", is_for_the_agent)


def _a_busy_line_ends_nothing(patch: pytest.MonkeyPatch) -> None:
    original = Switchboard.status

    def status(self: Switchboard, carrier: str, report: Any) -> None:
        if report.status.value not in ("busy", "no-answer", "canceled"):
            original(self, carrier, report)

    patch.setattr(Switchboard, "status", status)


def _adopting_takes_a_while(patch: pytest.MonkeyPatch) -> None:
    original = Call.__init__

    def init(self: Call, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        emit = self.events.emit

        def later(event: str, data: Any = None) -> None:
            if event == "provider_connected" and data.source == "adopted":
                data = type(data)(data.kind, data.source, data.took_ms + 50.0)
            emit(event, data)

        patch.setattr(self.events, "emit", later)

    patch.setattr(Call, "__init__", init)


def _any(plan: PrewarmPlan) -> bool:
    return True


def _fails_half_way(plan: PrewarmPlan) -> bool:
    return any("fails" in parking.adopts for parking in plan.parking.values())


DEFECTS: tuple[tuple[Plant, str, Shows], ...] = (
    (_what_is_parked_is_not_closed, "nothing_parked", _any),
    (_what_is_parked_is_never_taken, "adopted_once", _any),
    (_a_half_adopted_provider_is_used, "nothing_parked", _fails_half_way),
    (_an_opening_is_not_waited_for_and_not_given_up, "adopted_once", _any),
    (_the_bookkeeping_of_a_greeting_is_left, "nothing_left", lambda plan: plan.greeting),
    (_a_machine_meets_the_agent, "ends_as_it_rang", lambda plan: plan.answered_by == "machine"),
    (_a_busy_line_ends_nothing, "over_once", lambda plan: plan.unanswered in ("busy", "canceled")),
    (_adopting_takes_a_while, "adopted_at_once", _any),
)


@pytest.mark.parametrize(
    ("plant", "promise", "shows"), DEFECTS, ids=[plant.__name__.strip("_") for plant, _, _ in DEFECTS]
)
def test_a_planted_defect_is_found(
    plant: Plant, promise: str, shows: Shows, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = (problem.promise for call in played(WITHIN, shows) for problem in problems(call))
    assert promise in found


def test_a_script_without_prewarm_opens_nothing_beforehand() -> None:
    level, count = WholeLevel(), 0
    with quiet():
        for number in range(40):
            script: WholeScript = draw_whole(SEED + number)
            if script.prewarm is None:
                call = level.play_call(script)
                assert problems(call) == []
                assert (call.switchroom.used, call.connections) == ({}, []) or all(
                    one.source == "fresh" for one in call.connections
                )
                count += 1
    assert count > 10
