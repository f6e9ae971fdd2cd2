from __future__ import annotations

import asyncio

import pytest
from dispatching import elapsed, on, plugin

from patter import Accept, Hangup, Reject
from patter.errors import InternalError
from patter.plugins import HookDispatcher, PluginManager, Scope
from patter.plugins.hook_rules import ASYNC_HOOKS
from patter.testing.virtual_loop import run_virtual


def test_implementations_run_one_after_the_other_innermost_scope_first_and_last_registered_first(hand_clock):
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


def test_an_implementation_gets_the_arguments_it_names(make_dispatcher):
    seen = []

    def none():
        seen.append(())

    def one(digit):
        seen.append(digit)

    def both(digit, call):
        seen.append((call, digit))

    run_virtual(make_dispatcher(none, one, both).notify("patter_dtmf", digit="#"))
    assert seen == [(), "#", ("the call", "#")]


def test_an_argument_that_the_caller_forgot_is_a_defect_and_not_silent(make_dispatcher):
    def one(digit):
        raise AssertionError("called")

    failures = []
    run_virtual(make_dispatcher(one, on_failure=failures.append).notify("patter_dtmf"))
    assert isinstance(failures[0].error, InternalError)


@pytest.mark.behaviour("CF-10")
def test_has_tells_whether_a_coroutine_is_needed(hand_clock):
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


def test_the_first_answer_stops_the_hook(make_dispatcher):
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

    result, seconds = elapsed(make_dispatcher(nothing, answers, never).first("patter_incoming_call"))
    assert result == Reject("busy")
    assert asked == ["nothing", "answers"]
    assert seconds == pytest.approx(0.2)


def test_no_answer_from_any_is_none(make_dispatcher):
    @on("patter_incoming_call")
    async def nothing():
        return None

    assert run_virtual(make_dispatcher(nothing).first("patter_incoming_call")) is None
    assert run_virtual(make_dispatcher().first("patter_incoming_call")) is None


@pytest.mark.parametrize("wrong", [True, "yes", Hangup()])
def test_an_answer_of_another_type_counts_as_failed_and_the_next_is_asked(make_dispatcher, wrong, caplog):
    @on("patter_incoming_call")
    def confused():
        return wrong

    @on("patter_incoming_call")
    def answers():
        return Accept()

    assert run_virtual(make_dispatcher(confused, answers).first("patter_incoming_call")) == Accept()
    assert "allowed are Accept, Reject and None" in caplog.text
