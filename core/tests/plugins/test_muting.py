"""Implementations that fail or block too often are asked no more in that call."""

from __future__ import annotations

import asyncio
import logging

import pytest
from dispatching import elapsed, plugin

from patter import hookimpl
from patter.plugins import HookDispatcher, Scope
from patter.plugins.muting import SLOW_S, Muting
from patter.testing.virtual_loop import run_virtual


@pytest.mark.behaviour("CF-07")
def test_a_raising_hook_is_logged_and_the_others_run(make_dispatcher, caplog):
    log = []

    async def first():
        log.append("first")

    def raises():
        raise OSError("no disk")

    async def last():
        log.append("last")

    run_virtual(make_dispatcher(first, raises, last, label="call_1").notify("patter_dtmf", digit="1"))
    assert log == ["first", "last"]
    (record,) = caplog.records
    assert record.getMessage() == "patter_dtmf of plugin 'raises' failed in call_1: no disk"
    assert isinstance(record.exc_info[1], OSError)


@pytest.mark.behaviour("CF-07")
def test_the_third_failure_in_a_row_mutes_for_this_call(make_dispatcher, caplog):
    calls = []

    def raises():
        calls.append(None)
        raise OSError("no disk")

    def fine():
        calls.append("fine")

    dispatcher = make_dispatcher(raises, fine, label="call_1")
    with caplog.at_level(logging.WARNING, logger="patter.plugins.muting"):
        for _ in range(5):
            run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert calls.count(None) == 3
    assert calls.count("fine") == 5
    assert [(one.what, one.plugin) for one in dispatcher.muted] == [("patter_dtmf", "'raises'")]
    assert len([one for one in caplog.records if "is muted in call_1" in one.getMessage()]) == 1


def test_a_success_in_between_starts_the_count_again(make_dispatcher):
    outcomes = iter([1, 1, 0, 1, 1, 0, 1, 1])

    def sometimes():
        if next(outcomes):
            raise OSError

    dispatcher = make_dispatcher(sometimes)
    for _ in range(8):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert dispatcher.muted == ()


@pytest.mark.behaviour("CF-10")
def test_three_time_outs_in_a_row_mute(make_dispatcher):
    async def hangs():
        await asyncio.Event().wait()

    dispatcher = make_dispatcher(hangs)
    times = [elapsed(dispatcher.notify("patter_dtmf", digit="1"))[1] for _ in range(4)]
    assert times == pytest.approx([1.0, 1.0, 1.0, 0.0])


def test_another_call_asks_again(hand_clock):
    scope = Scope()
    calls = []

    def raises():
        calls.append(None)
        raise OSError

    scope.register(plugin(raises))
    for _ in range(2):
        dispatcher = HookDispatcher([scope])
        for _ in range(5):
            run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert len(calls) == 6


def test_muting_is_for_one_hook_of_a_plugin():
    log = []

    class Plugin:
        @hookimpl
        def patter_dtmf(self):
            raise OSError

        @hookimpl
        def patter_turn_ended(self):
            log.append("turn")

    scope = Scope()
    scope.register(Plugin())
    dispatcher = HookDispatcher([scope])
    for _ in range(4):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    run_virtual(dispatcher.notify("patter_turn_ended"))
    assert log == ["turn"]


@pytest.mark.behaviour("CF-10")
def test_plain_code_over_five_ms_three_times_is_muted_and_reported(make_dispatcher, hand_clock, caplog):
    durations = iter([0.006, 0.001, 0.02, 0.004, 0.006, 0.5])

    def heavy():
        hand_clock.now += next(durations)

    dispatcher = make_dispatcher(heavy, label="call_1")
    for _ in range(6):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert next(durations) == 0.5
    (muted,) = dispatcher.muted
    assert muted.reason.startswith("took over 5 ms 3 times")
    assert len([one for one in caplog.records if "is muted in call_1" in one.getMessage()]) == 1


def test_waiting_is_not_slow_code(make_dispatcher, hand_clock):
    async def waits():
        await asyncio.sleep(0.5)
        hand_clock.now += 0.5

    dispatcher = make_dispatcher(waits)
    for _ in range(5):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert dispatcher.muted == ()


def test_slow_code_that_raises_is_measured_too(make_dispatcher, hand_clock):
    def heavy():
        hand_clock.now += 0.1
        raise OSError

    dispatcher = make_dispatcher(heavy)
    for _ in range(3):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert [one.reason.split()[0] for one in dispatcher.muted] == ["took"]


def test_a_strategy_is_counted_in_the_same_way():
    muting = Muting("call_1")
    for seconds in (SLOW_S * 2, SLOW_S, SLOW_S * 2):
        muting.took("stop-words", "the strategy stop-words", "patter-stop-words", seconds)
        assert not muting.is_muted("stop-words")
    muting.took("stop-words", "the strategy stop-words", "patter-stop-words", SLOW_S * 2)
    assert muting.is_muted("stop-words")
    assert not muting.is_muted("min-words")
