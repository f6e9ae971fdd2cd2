from __future__ import annotations

import pytest
from dispatching import HandClock, plugin

from patter.environment import Environment
from patter.plugins import HookDispatcher, Scope


@pytest.fixture
def hand_clock():
    return HandClock()


@pytest.fixture
def make_dispatcher(hand_clock):
    """A dispatcher with one scope that holds these hooks, the first given called first."""

    def make(*functions, **options):
        scope = Scope()
        for function in reversed(functions):
            scope.register(plugin(function), function.__name__)
        environment = Environment(clock=hand_clock)
        return HookDispatcher([scope], environment, arguments={"call": "the call"}, **options)

    return make
