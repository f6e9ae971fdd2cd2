from __future__ import annotations

import pytest

from patter_demo.caller import Caller, HangUp, Manners, Say, Wait
from patter_demo.hearing import Span

MANNERS = Manners(pause_s=0.8, greeting_s=6.0, patience_s=8.0, interrupt_after_s=1.7, longest_answer_s=30.0)


def connected(*interrupts: bool) -> Caller:
    caller = Caller(interrupts, MANNERS)
    caller.picked_up(100.0)
    return caller


def test_waits_for_the_greeting_and_for_the_pause_after_it() -> None:
    caller = connected(False)

    assert caller.decide(101.0, None) == Wait()
    assert caller.decide(103.0, Span(100.2, 102.9)) == Wait()
    assert caller.decide(103.69, Span(100.2, 102.9)) == Wait()
    assert caller.decide(103.71, Span(100.2, 102.9)) == Say(0)


def test_speaks_first_when_nobody_greets() -> None:
    caller = connected(False)

    assert caller.decide(105.9, None) == Wait()
    assert caller.decide(106.0, None) == Say(0)


def test_what_was_heard_before_the_own_line_is_no_answer() -> None:
    caller = connected(False, False)
    caller.spoke(0, 110.0)

    assert caller.decide(112.0, Span(100.2, 102.9)) == Wait()
    assert caller.decide(112.0, Span(110.7, 111.1)) == Say(1)


def test_an_answer_that_began_before_the_line_was_over_is_one() -> None:
    caller = connected(False, False)
    caller.spoke(0, 110.0)

    assert caller.decide(111.0, Span(109.0, 110.9)) == Wait()
    assert caller.decide(112.0, Span(109.0, 110.9)) == Say(1)


def test_interrupts_a_long_answer_once_it_has_been_heard_for_a_while() -> None:
    caller = connected(False, True)
    caller.spoke(0, 110.0)

    assert caller.decide(112.3, Span(110.7, 112.3)) == Wait()
    assert caller.decide(112.4, Span(110.7, 112.35)) == Say(1)


def test_an_answer_too_short_to_interrupt_is_waited_for_like_any_other() -> None:
    caller = connected(False, True)
    caller.spoke(0, 110.0)

    assert caller.decide(112.4, Span(110.7, 111.8)) == Wait()
    assert caller.decide(112.7, Span(110.7, 111.8)) == Say(1)


def test_goes_on_without_an_answer_once_and_then_gives_up() -> None:
    caller = connected(False, False, False)
    caller.spoke(0, 110.0)

    assert caller.decide(117.9, None) == Wait()
    assert caller.decide(118.0, None) == Say(1)
    caller.spoke(1, 120.0)
    assert caller.decide(128.0, None) == HangUp("2 lines in a row had no answer")


def test_an_answer_in_between_restores_patience() -> None:
    caller = connected(False, False, False, False)
    caller.spoke(0, 110.0)
    assert caller.decide(118.0, None) == Say(1)
    caller.spoke(1, 120.0)
    assert caller.decide(122.0, Span(120.5, 121.0)) == Say(2)
    caller.spoke(2, 124.0)
    assert caller.decide(132.0, Span(120.5, 121.0)) == Say(3)


def test_hangs_up_after_the_last_answer() -> None:
    caller = connected(False)
    caller.spoke(0, 110.0)

    assert caller.decide(111.0, Span(110.5, 111.0)) == Wait()
    assert caller.decide(111.9, Span(110.5, 111.0)) == HangUp("everything was said")


def test_hangs_up_when_the_last_line_has_no_answer() -> None:
    caller = connected(False)
    caller.spoke(0, 110.0)

    assert caller.decide(118.0, None) == HangUp("the last line had no answer")


@pytest.mark.parametrize("interrupts", [False, True])
def test_nobody_listens_for_ever(interrupts: bool) -> None:
    caller = Caller([False, interrupts], Manners(interrupt_after_s=60.0))
    caller.picked_up(100.0)
    caller.spoke(0, 110.0)

    assert caller.decide(140.0, Span(110.5, 140.0)) == Wait()
    assert caller.decide(140.6, Span(110.5, 140.6)) == Say(1)
