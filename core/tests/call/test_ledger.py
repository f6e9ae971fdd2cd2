"""The teardown ledger: everything is released once, and what does not come free is named."""

from __future__ import annotations

import asyncio
import logging

import pytest

from patter.call.ledger import CLOSE_S, Ledger
from patter.testing.virtual_loop import run_virtual


def test_everything_is_released_newest_first_whether_plain_or_async():
    async def scenario():
        ledger, released = Ledger(), []

        async def later(name):
            await asyncio.sleep(0.5)
            released.append(name)

        ledger.enter("socket", lambda: later("socket"))
        ledger.enter("slot", lambda: released.append("slot"))
        ledger.enter("stream", lambda: later("stream"))
        assert ledger.open() == ("socket", "slot", "stream")
        await ledger.close_all()
        assert released == ["stream", "slot", "socket"]
        assert ledger.open() == ()

    run_virtual(scenario())


def test_nothing_is_released_twice():
    async def scenario():
        ledger, released = Ledger(), []
        entry = ledger.enter("slot", lambda: released.append("slot"))
        ledger.enter("other", lambda: released.append("other"))
        await ledger.release(entry)
        await ledger.release(entry)
        assert ledger.open() == ("other",)
        await ledger.close_all()
        await ledger.close_all()
        assert released == ["slot", "other"]

    run_virtual(scenario())


def test_one_that_two_ends_release_at_the_same_time_is_released_once():
    async def scenario():
        ledger, released = Ledger(), []

        async def slow():
            await asyncio.sleep(0.2)
            released.append("socket")

        entry = ledger.enter("socket", slow)
        await asyncio.gather(ledger.release(entry), ledger.close_all(), ledger.close_all())
        await asyncio.sleep(1)
        assert released == ["socket"]
        assert ledger.open() == ()

    run_virtual(scenario())


@pytest.mark.parametrize("kind", ["raises", "raises at once", "hangs"])
def test_what_does_not_come_free_is_named_and_hinders_nothing(kind, caplog):
    async def scenario():
        loop = asyncio.get_running_loop()
        ledger, released = Ledger(), []

        async def raises():
            raise RuntimeError("it is stuck")

        def raises_at_once():
            raise RuntimeError("it is stuck")

        async def hangs():
            await asyncio.Event().wait()

        bad = {"raises": raises, "raises at once": raises_at_once, "hangs": hangs}[kind]
        ledger.enter("first", lambda: released.append("first"))
        ledger.enter("stuck", bad)
        ledger.enter("last", lambda: released.append("last"))
        began = loop.time()
        await ledger.close_all()
        assert loop.time() - began == pytest.approx(CLOSE_S if kind == "hangs" else 0.0)
        assert released == ["last", "first"]
        assert ledger.open() == ("stuck",)

    with caplog.at_level(logging.WARNING):
        run_virtual(scenario())
    assert [record.getMessage() for record in caplog.records if "stuck" in record.getMessage()]
