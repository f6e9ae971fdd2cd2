"""Hooks that raise, hang or answer wrongly."""

from __future__ import annotations

import asyncio

import pytest
from dispatching import elapsed, on

from patter import Accept
from patter.testing.virtual_loop import run_virtual


def test_a_raising_implementation_leaves_the_answer_to_the_next(make_dispatcher):
    @on("patter_incoming_call")
    async def raises():
        raise OSError

    @on("patter_incoming_call")
    async def answers():
        return Accept()

    assert run_virtual(make_dispatcher(raises, answers).first("patter_incoming_call")) == Accept()


@pytest.mark.behaviour("CF-10")
@pytest.mark.parametrize(
    ("hook", "budget_s"),
    [
        ("patter_dtmf", 1.0),
        ("patter_turn_ended", 1.0),
        ("patter_modify_speech", 0.05),
        ("patter_incoming_call", 2.0),
        ("patter_call_ended", 5.0),
        ("patter_shutdown", 5.0),
    ],
)
def test_an_implementation_over_its_budget_is_cancelled_and_the_next_one_runs(
    make_dispatcher, hook, budget_s
):
    log, failures = [], []

    @on(hook)
    async def slow():
        try:
            await asyncio.sleep(budget_s * 100)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    @on(hook)
    async def quick():
        await asyncio.sleep(budget_s * 0.9)
        log.append("quick")

    _, seconds = elapsed(make_dispatcher(slow, quick, on_failure=failures.append).notify(hook))
    assert log == ["cancelled", "quick"]
    assert seconds == pytest.approx(budget_s * 1.9)
    assert [(one.plugin, type(one.error)) for one in failures] == [("slow", TimeoutError)]
    assert f"longer than its {budget_s:g} s" in str(failures[0].error)


@pytest.mark.behaviour("CF-10")
def test_a_hook_call_takes_at_most_twice_the_budget_and_names_what_it_cuts_off(make_dispatcher, caplog):
    log, failures = [], []

    def sleeping(name, seconds):
        async def implementation():
            await asyncio.sleep(seconds)
            log.append(name)

        implementation.__name__ = name
        return implementation

    dispatcher = make_dispatcher(
        sleeping("a", 0.9),
        sleeping("b", 0.9),
        sleeping("c", 0.9),
        sleeping("d", 0.0),
        on_failure=failures.append,
    )
    for _ in range(4):
        _, seconds = elapsed(dispatcher.notify("patter_dtmf", digit="1"))
        assert seconds == pytest.approx(2.0)
    assert log == ["a", "b"] * 4
    assert [one.plugin for one in failures] == ["c", "d"] * 4
    assert "'c' failed: it was cut off: the 2 s of the hook were used up" in caplog.text
    assert "'d' failed: it was not called: the 2 s of the hook were used up" in caplog.text
    # Others used up the time: that is no failure of theirs.
    assert dispatcher.muted == ()


def test_a_time_out_of_the_implementation_itself_is_its_own_error(make_dispatcher):
    failures = []

    async def impatient():
        async with asyncio.timeout(0.1):
            await asyncio.sleep(10)

    _, seconds = elapsed(
        make_dispatcher(impatient, on_failure=failures.append).notify("patter_dtmf", digit="1")
    )
    assert seconds == pytest.approx(0.1)
    assert "longer than" not in str(failures[0].error)


def test_an_implementation_that_survives_its_cancellation_counts_as_failed(make_dispatcher):
    failures = []

    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)

    _, seconds = elapsed(
        make_dispatcher(stubborn, on_failure=failures.append).notify("patter_dtmf", digit="1")
    )
    assert seconds == pytest.approx(1.5)
    assert "caught its cancellation" in str(failures[0].error)


def test_cancelling_the_caller_cancels_the_hook(make_dispatcher):
    log = []

    async def waits():
        try:
            await asyncio.sleep(0.8)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def later():
        log.append("later")

    dispatcher = make_dispatcher(waits, later)

    async def main():
        task = asyncio.create_task(dispatcher.notify("patter_dtmf", digit="1"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert log == ["cancelled"]


def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_any_other(make_dispatcher):
    failures, log = [], []

    async def awaits_something_cancelled():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def later():
        log.append("later")

    run_virtual(
        make_dispatcher(awaits_something_cancelled, later, on_failure=failures.append).notify(
            "patter_dtmf", digit="1"
        )
    )
    assert log == ["later"]
    assert "nobody cancelled it" in str(failures[0].error)


@pytest.mark.parametrize("hook", ["patter_call_setup", "patter_startup"])
def test_where_the_policy_says_so_the_failure_is_raised_and_never_mutes(make_dispatcher, hook):
    log = []

    @on(hook)
    async def raises():
        raise OSError("no disk")

    @on(hook)
    def later():
        log.append("later")

    dispatcher = make_dispatcher(raises, later)
    for _ in range(4):
        with pytest.raises(OSError, match="no disk") as caught:
            run_virtual(dispatcher.notify(hook))
        assert f"raised by {hook} of plugin 'raises'" in caught.value.__notes__
    assert log == []
    assert dispatcher.muted == ()


def test_a_time_out_is_raised_where_the_policy_says_so(make_dispatcher):
    @on("patter_call_setup")
    async def hangs():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="longer than its 1 s"):
        run_virtual(make_dispatcher(hangs).notify("patter_call_setup"))


def test_a_test_may_turn_a_logged_failure_into_an_error(make_dispatcher):
    def raises():
        assert 1 == 2

    def collect(failure):
        raise failure.error

    with pytest.raises(AssertionError):
        run_virtual(make_dispatcher(raises, on_failure=collect).notify("patter_dtmf", digit="1"))
