from __future__ import annotations

import asyncio
import logging

import pytest

from patter import Accept, Hangup, Reject, hookimpl
from patter.environment import Environment
from patter.errors import InternalError
from patter.plugins import HookDispatcher, PluginManager, Scope
from patter.plugins.hook_rules import ASYNC_HOOKS
from patter.plugins.muting import SLOW_S, Muting
from patter.testing.virtual_loop import run_virtual


class HandClock:
    """A clock that plain code moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def make(clock):
    """A dispatcher with one scope that holds these hooks, the first given called first."""

    def make(*functions, **options):
        scope = Scope()
        for function in reversed(functions):
            scope.register(plugin(function), function.__name__)
        return HookDispatcher([scope], Environment(clock=clock), arguments={"call": "the call"}, **options)

    return make


def plugin(function, hook="patter_dtmf"):
    return type("Plugin", (), {getattr(function, "hook", hook): staticmethod(hookimpl(function))})()


def on(hook):
    def mark(function):
        function.hook = hook
        return function

    return mark


def elapsed(coroutine):
    """(result, virtual seconds) of a coroutine."""

    async def measure():
        loop = asyncio.get_running_loop()
        started = loop.time()
        return await coroutine, loop.time() - started

    return run_virtual(measure())


def test_implementations_run_one_after_the_other_innermost_scope_first_and_last_registered_first(clock):
    log = []

    def saying(name, pause=0.0):
        async def patter_dtmf(digit):
            log.append(f"{name} begins")
            await asyncio.sleep(pause)
            log.append(f"{name} ends {digit}")

        return plugin(patter_dtmf)

    call, agent = Scope("call"), Scope("agent")
    phone = PluginManager([saying("phone")], autoload=False, environ={})
    agent.register(saying("agent", 0.5))
    call.register(saying("call-1"))
    call.register(saying("call-2", 0.2))
    run_virtual(HookDispatcher([call, agent, phone]).notify("patter_dtmf", digit="7"))
    order = ["call-2", "call-1", "agent", "phone"]
    assert log == [line for name in order for line in (f"{name} begins", f"{name} ends 7")]


def test_an_implementation_gets_the_arguments_it_names(make):
    seen = []

    def none():
        seen.append(())

    def one(digit):
        seen.append(digit)

    def both(digit, call):
        seen.append((call, digit))

    run_virtual(make(none, one, both).notify("patter_dtmf", digit="#"))
    assert seen == [(), "#", ("the call", "#")]


def test_an_argument_that_the_caller_forgot_is_a_defect_and_not_silent(make):
    def one(digit):
        raise AssertionError("called")

    failures = []
    run_virtual(make(one, on_failure=failures.append).notify("patter_dtmf"))
    assert isinstance(failures[0].error, InternalError)


@pytest.mark.behaviour("CF-10")
def test_has_tells_whether_a_coroutine_is_needed(clock):
    call, phone = Scope(), PluginManager(autoload=False, environ={})
    dispatcher = HookDispatcher([call, phone])
    assert not any(map(dispatcher.has, ASYNC_HOOKS))
    assert not dispatcher.has("patter_nothing_like_it")

    def patter_dtmf():
        pass

    added = call.register(plugin(patter_dtmf))
    assert dispatcher.has("patter_dtmf")
    call.unregister(added)
    phone.register(added)
    assert dispatcher.has("patter_dtmf")
    assert not dispatcher.has("patter_barge_in")


def test_the_first_answer_stops_the_hook(make):
    asked = []

    @on("patter_incoming_call")
    async def nothing(call):
        asked.append("nothing")
        await asyncio.sleep(0.1)

    @on("patter_incoming_call")
    async def answers(call):
        asked.append("answers")
        await asyncio.sleep(0.1)
        return Reject("busy")

    @on("patter_incoming_call")
    def never(call):
        asked.append("never")

    result, seconds = elapsed(make(nothing, answers, never).first("patter_incoming_call"))
    assert result == Reject("busy")
    assert asked == ["nothing", "answers"]
    assert seconds == pytest.approx(0.2)


def test_no_answer_from_any_is_none(make):
    @on("patter_incoming_call")
    async def nothing():
        return None

    assert run_virtual(make(nothing).first("patter_incoming_call")) is None
    assert run_virtual(make().first("patter_incoming_call")) is None


@pytest.mark.parametrize("wrong", [True, "yes", Hangup()])
def test_an_answer_of_another_type_counts_as_failed_and_the_next_is_asked(make, wrong, caplog):
    @on("patter_incoming_call")
    def confused():
        return wrong

    @on("patter_incoming_call")
    def answers():
        return Accept()

    assert run_virtual(make(confused, answers).first("patter_incoming_call")) == Accept()
    assert "allowed are Accept, Reject and None" in caplog.text


def test_a_raising_implementation_leaves_the_answer_to_the_next(make):
    @on("patter_incoming_call")
    async def raises():
        raise OSError

    @on("patter_incoming_call")
    async def answers():
        return Accept()

    assert run_virtual(make(raises, answers).first("patter_incoming_call")) == Accept()


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
def test_an_implementation_over_its_budget_is_cancelled_and_the_next_one_runs(make, hook, budget_s):
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

    _, seconds = elapsed(make(slow, quick, on_failure=failures.append).notify(hook))
    assert log == ["cancelled", "quick"]
    assert seconds == pytest.approx(budget_s * 1.9)
    assert [(one.plugin, type(one.error)) for one in failures] == [("slow", TimeoutError)]
    assert f"longer than its {budget_s:g} s" in str(failures[0].error)


@pytest.mark.behaviour("CF-10")
def test_a_hook_call_takes_at_most_twice_the_budget_and_names_what_it_cuts_off(make, caplog):
    log, failures = [], []

    def sleeping(name, seconds):
        async def implementation():
            await asyncio.sleep(seconds)
            log.append(name)

        implementation.__name__ = name
        return implementation

    dispatcher = make(
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


def test_a_time_out_of_the_implementation_itself_is_its_own_error(make):
    failures = []

    async def impatient():
        async with asyncio.timeout(0.1):
            await asyncio.sleep(10)

    _, seconds = elapsed(make(impatient, on_failure=failures.append).notify("patter_dtmf", digit="1"))
    assert seconds == pytest.approx(0.1)
    assert "longer than" not in str(failures[0].error)


def test_an_implementation_that_survives_its_cancellation_counts_as_failed(make):
    failures = []

    async def stubborn():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0.5)

    _, seconds = elapsed(make(stubborn, on_failure=failures.append).notify("patter_dtmf", digit="1"))
    assert seconds == pytest.approx(1.5)
    assert "caught its cancellation" in str(failures[0].error)


def test_cancelling_the_caller_cancels_the_hook(make):
    log = []

    async def waits():
        try:
            await asyncio.sleep(0.8)
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def later():
        log.append("later")

    dispatcher = make(waits, later)

    async def main():
        task = asyncio.create_task(dispatcher.notify("patter_dtmf", digit="1"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    assert log == ["cancelled"]


def test_a_cancellation_that_nobody_asked_for_is_a_failure_like_any_other(make):
    failures, log = [], []

    async def awaits_something_cancelled():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def later():
        log.append("later")

    run_virtual(
        make(awaits_something_cancelled, later, on_failure=failures.append).notify("patter_dtmf", digit="1")
    )
    assert log == ["later"]
    assert "nobody cancelled it" in str(failures[0].error)


@pytest.mark.behaviour("CF-07")
def test_a_raising_hook_is_logged_and_the_others_run(make, caplog):
    log = []

    async def first():
        log.append("first")

    def raises():
        raise OSError("no disk")

    async def last():
        log.append("last")

    run_virtual(make(first, raises, last, label="call_1").notify("patter_dtmf", digit="1"))
    assert log == ["first", "last"]
    (record,) = caplog.records
    assert record.getMessage() == "patter_dtmf of plugin 'raises' failed in call_1: no disk"
    assert isinstance(record.exc_info[1], OSError)


@pytest.mark.behaviour("CF-07")
def test_the_third_failure_in_a_row_mutes_for_this_call(make, caplog):
    calls = []

    def raises():
        calls.append(None)
        raise OSError("no disk")

    def fine():
        calls.append("fine")

    dispatcher = make(raises, fine, label="call_1")
    with caplog.at_level(logging.WARNING, logger="patter.plugins.muting"):
        for _ in range(5):
            run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert calls.count(None) == 3
    assert calls.count("fine") == 5
    assert [(one.what, one.plugin) for one in dispatcher.muted] == [("patter_dtmf", "'raises'")]
    assert len([one for one in caplog.records if "is muted in call_1" in one.getMessage()]) == 1


def test_a_success_in_between_starts_the_count_again(make):
    outcomes = iter([1, 1, 0, 1, 1, 0, 1, 1])

    def sometimes():
        if next(outcomes):
            raise OSError

    dispatcher = make(sometimes)
    for _ in range(8):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert dispatcher.muted == ()


@pytest.mark.behaviour("CF-10")
def test_three_time_outs_in_a_row_mute(make):
    async def hangs():
        await asyncio.Event().wait()

    dispatcher = make(hangs)
    times = [elapsed(dispatcher.notify("patter_dtmf", digit="1"))[1] for _ in range(4)]
    assert times == pytest.approx([1.0, 1.0, 1.0, 0.0])


def test_another_call_asks_again(clock):
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


@pytest.mark.parametrize("hook", ["patter_call_setup", "patter_startup"])
def test_where_the_policy_says_so_the_failure_is_raised_and_never_mutes(make, hook):
    log = []

    @on(hook)
    async def raises():
        raise OSError("no disk")

    @on(hook)
    def later():
        log.append("later")

    dispatcher = make(raises, later)
    for _ in range(4):
        with pytest.raises(OSError, match="no disk") as caught:
            run_virtual(dispatcher.notify(hook))
        assert f"raised by {hook} of plugin 'raises'" in caught.value.__notes__
    assert log == []
    assert dispatcher.muted == ()


def test_a_time_out_is_raised_where_the_policy_says_so(make):
    @on("patter_call_setup")
    async def hangs():
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="longer than its 1 s"):
        run_virtual(make(hangs).notify("patter_call_setup"))


def test_a_test_may_turn_a_logged_failure_into_an_error(make):
    def raises():
        assert 1 == 2

    def collect(failure):
        raise failure.error

    with pytest.raises(AssertionError):
        run_virtual(make(raises, on_failure=collect).notify("patter_dtmf", digit="1"))


@pytest.mark.behaviour("CF-10")
def test_plain_code_over_five_ms_three_times_is_muted_and_reported(make, clock, caplog):
    durations = iter([0.006, 0.001, 0.02, 0.004, 0.006, 0.5])

    def heavy():
        clock.now += next(durations)

    dispatcher = make(heavy, label="call_1")
    for _ in range(6):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert next(durations) == 0.5
    (muted,) = dispatcher.muted
    assert muted.reason.startswith("took over 5 ms 3 times")
    assert len([one for one in caplog.records if "is muted in call_1" in one.getMessage()]) == 1


def test_waiting_is_not_slow_code(make, clock):
    async def waits():
        await asyncio.sleep(0.5)
        clock.now += 0.5

    dispatcher = make(waits)
    for _ in range(5):
        run_virtual(dispatcher.notify("patter_dtmf", digit="1"))
    assert dispatcher.muted == ()


def test_slow_code_that_raises_is_measured_too(make, clock):
    def heavy():
        clock.now += 0.1
        raise OSError

    dispatcher = make(heavy)
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
