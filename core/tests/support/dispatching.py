"""Plugins of one hook, and a clock that plain code moves."""

from __future__ import annotations

import asyncio

from patter import hookimpl
from patter.testing.virtual_loop import run_virtual


class HandClock:
    """A clock that plain code moves."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def wall(self):
        return self.now


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
