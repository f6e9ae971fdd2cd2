"""What a barge-in strategy must do."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import pytest

from patter.providers.barge_in import BargeInEvent, BargeInStrategy, Verdict
from patter.records import ProviderKind
from patter.testing.conformance.common import Conformance
from patter.testing.conformance.subject import Server, Subject

_TEXTS = ("", "okay", "no", "no wait", "no wait please stop now", "ÄÖÜ ¿qué?", "x" * 2000)


def _events() -> list[BargeInEvent]:
    """A pending interruption as it may go: every kind, with and without words."""
    events = [BargeInEvent("speech_start", "", False, True, 0.0, 400.0)]
    for number, text in enumerate(_TEXTS):
        at_ms = 100.0 * (number + 1)
        events.append(BargeInEvent("speech_tick", text, False, True, at_ms, 400 + at_ms))
        events.append(BargeInEvent("interim", text, False, True, at_ms, 400 + at_ms))
        events.append(BargeInEvent("interim", text, False, False, at_ms, 400 + at_ms))
    last = _TEXTS[-2]
    events.append(BargeInEvent("speech_end", last, False, True, 900.0, 1300.0))
    events.append(BargeInEvent("final", last, True, True, 900.0, 1400.0))
    return events


class BargeInConformance(Conformance):
    """Checks of `patter.providers.barge_in.BargeInStrategy`."""

    kind: ClassVar[ProviderKind] = "barge_in"

    async def work(self, provider: Any) -> None:
        """Judge one interruption."""
        _judged(provider)

    def test_close_is_idempotent_quick_and_allowed_at_any_time(self, server: Server) -> None:
        """A strategy has nothing to close; `reset()` is what ends its states, any number of times."""

        async def check(subject: Subject) -> None:
            strategy = subject.make()
            strategy.reset()
            strategy.reset()
            await self.work(strategy)
            strategy.reset()

        self.run(server, check)

    def test_cancelling_at_any_point_leaves_nothing(self, server: Server) -> None:
        """A strategy never waits, so that nothing of it can be cancelled."""

        async def check(subject: Subject) -> None:
            strategy = subject.make()
            for name, method in inspect.getmembers(strategy, inspect.ismethod):
                assert not inspect.iscoroutinefunction(method), name

        self.run(server, check)

    def test_making_one_opens_nothing(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Making one takes no settings that are not in its reference."""

        async def check(subject: Subject) -> None:
            assert isinstance(subject.make(), BargeInStrategy)

        self.run(server, check)

    def test_two_of_them_share_no_state(self, server: Server) -> None:
        """What one has judged changes no answer of another (LC-04)."""

        async def check(subject: Subject) -> None:
            fresh = _judged(subject.make())
            used = subject.make()
            _judged(used)
            assert _judged(subject.make()) == fresh

        self.run(server, check)

    @pytest.mark.behaviour("BI-14")
    def test_it_answers_every_kind_of_event_with_a_bool_or_a_verdict(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            strategy = subject.make()
            assert isinstance(strategy, BargeInStrategy)
            assert not inspect.iscoroutinefunction(strategy.evaluate)
            for event in _events():
                assert isinstance(strategy.evaluate(event), (bool, Verdict))

        self.run(server, check)

    @pytest.mark.behaviour("BI-14")
    def test_the_same_events_since_a_reset_give_the_same_answers(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            strategy = subject.make()
            first = _judged(strategy)
            strategy.reset()
            assert _judged(strategy) == first
            assert _judged(subject.make()) == first

        self.run(server, check)


def _judged(strategy: Any) -> list[bool | Verdict]:
    return [strategy.evaluate(event) for event in _events()]
