"""The limit on calls."""

from __future__ import annotations

import pytest

from patter.server.admission import Admission


def test_the_limit_holds_and_a_place_given_back_is_free() -> None:
    admission = Admission(2)

    assert admission.admit("call_1") is None
    assert admission.admit("call_2") is None
    assert admission.refusal == "full"
    assert admission.admit("call_3") == "full"
    admission.release("call_1")
    assert admission.refusal is None
    assert admission.admit("call_3") is None
    assert (admission.in_use, admission.refused) == (2, 1)


def test_a_call_holds_one_place_however_often_it_asks_or_leaves() -> None:
    admission = Admission(1)

    assert admission.admit("call_1") is None
    assert admission.admit("call_1") is None
    assert admission.in_use == 1
    admission.release("call_1")
    admission.release("call_1")
    admission.release("call_never")
    assert admission.in_use == 0


def test_draining_refuses_new_calls_and_keeps_running_ones() -> None:
    admission = Admission(5)
    admission.admit("call_1")

    admission.drain()

    assert admission.admit("call_2") == "draining"
    assert admission.admit("call_1") is None
    assert admission.in_use == 1
    admission.reopen()
    assert admission.admit("call_2") is None


@pytest.mark.parametrize("maximum", [0, -1])
def test_a_limit_below_one_is_refused(maximum: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Admission(maximum)
