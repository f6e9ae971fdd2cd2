"""What hooks cost, as ratios to a calibration loop in the same process: the best of several runs."""

from __future__ import annotations

import asyncio
import time

import pytest

from patter import BargeInRecord, BargeInStrategy, hookimpl
from patter.environment import Environment
from patter.plugins import HookDispatcher, PluginManager, Scope, SharedObjectPool, build, resolve
from patter.providers.context import ProviderContext

pytestmark = pytest.mark.bench

RUNS = 7
REPEATS = 200


def best(work):
    """Seconds of one `work()`, the best of RUNS rounds of REPEATS."""
    rounds = []
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(REPEATS):
            work()
        rounds.append((time.perf_counter() - began) / REPEATS)
    return min(rounds)


class Listener:
    def hear(self, digit):
        return digit


def calibrate():
    """Seconds of one plain method call, about 50 ns: what 2.3 of the plugin notes compares hooks with."""
    hear = Listener().hear

    def thousand():
        for _ in range(1000):
            hear("1")

    return best(thousand) / 1000


@pytest.fixture(scope="module")
def call_s():
    return calibrate()


class Plain:
    @hookimpl
    def patter_dtmf(self, digit):
        pass


class Asynchronous:
    @hookimpl
    async def patter_dtmf(self, digit):
        pass


def dispatcher(kind, count):
    scope = Scope()
    for number in range(count):
        scope.register(kind(), f"{kind.__name__}-{number}")
    phone = PluginManager(autoload=False, environ={})
    return HookDispatcher([scope, Scope("agent"), phone], arguments={"call": None})


def notified(kind, count):
    """Seconds of one hook call with so many implementations, awaited in a running loop."""
    hooks = dispatcher(kind, count)

    async def measure():
        rounds = []
        for _ in range(RUNS):
            began = time.perf_counter()
            for _ in range(REPEATS):
                await hooks.notify("patter_dtmf", digit="1")
            rounds.append((time.perf_counter() - began) / REPEATS)
        return min(rounds)

    return asyncio.run(measure())


@pytest.mark.behaviour("CF-10")
def test_a_hook_that_nobody_implements_costs_a_look(call_s):
    hooks = dispatcher(Plain, 0)
    ratio = best(lambda: hooks.has("patter_dtmf")) / call_s
    print(f"has: {ratio:.0f} method calls")
    assert ratio < 60


@pytest.mark.parametrize(
    ("kind", "count", "limit"), [(Plain, 1, 200), (Plain, 5, 600), (Asynchronous, 5, 3000)]
)
def test_a_hook_call_costs_microseconds(call_s, kind, count, limit):
    """The limits are about three times what was measured; an `asyncio.timeout` for each coroutine is most of it."""
    ratio = notified(kind, count) / call_s
    print(f"{count} {kind.__name__}: {ratio:.0f} method calls")
    assert ratio < limit


def test_ten_implementations_cost_less_than_three_times_five():
    assert notified(Asynchronous, 10) < 3 * notified(Asynchronous, 5)


class Words(BargeInStrategy):
    def __init__(self, words=("stop",)):
        self.words = words

    def evaluate(self, event):
        return False


class WordsPlugin:
    @hookimpl
    def patter_register_barge_in(self):
        return [BargeInRecord("words", Words)]


def test_what_is_done_once_for_each_call_stays_far_below_a_frame():
    """A scope with a plugin and a resolved, built strategy: 20 ms are a frame, and every call of a process waits."""
    manager = PluginManager([WordsPlugin()], autoload=False, environ={})
    context = ProviderContext(Environment(), SharedObjectPool())
    plugin = Plain()

    def prepare():
        Scope().register(plugin)
        build(manager, resolve(manager, "barge_in", "words?words=stop,wait"), context)

    seconds = best(prepare)
    print(f"per call: {seconds * 1e6:.0f} µs")
    assert seconds < 0.005
