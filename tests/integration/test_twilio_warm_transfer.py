"""Warm transfers through the whole stack: the human hears the summary, the caller the human or an apology (CC-12)."""

from __future__ import annotations

import asyncio

import pytest

from patter import tool
from patter.errors import InputError
from patter.providers.carrier import CallStatus
from patter_twilio.simulator import Callee, RestFault

DESK = "+15550005555"
SUMMARY = "Ms Lee, order 5512."
SORRY = "All are busy."


def transfers(served):
    """The warm transfers that the phone's carrier remembers."""
    return served.phone.switchboard.trunks["twilio"].carrier._transfers


@pytest.mark.behaviour("CC-12")
def test_the_human_hears_the_summary_and_then_the_caller(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            served.simulator.transferee = Callee(rings_s=0.2)
            call = await served.ring_and_greet()
            await served.line(call).call.transfer(DESK, summary=SUMMARY, failure_message=SORRY)
            await carrier.until(lambda: served.summaries)
            assert served.summaries[0].reason == "transferred"
            await carrier.until(lambda: call.dials and call.dials[0].bridged)
            assert call.dialled == [DESK]
            assert call.dials[0].whispered == [SUMMARY]
            assert (call.status, call.spoken) == ("in-progress", [])
            call.dials[0].hangup()
            await served.ended(call, total=1)
            # the human hung up: there is nothing to be sorry for
            assert (call.status, call.spoken) == ("completed", [])
            assert (call.errors, len(transfers(served))) == ([], 0)
            assert len(served.simulator.requests) == 1

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-12")
@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed", "hangs up at once"])
def test_a_caller_whom_nobody_takes_hears_so_before_the_hang_up(carrier, outcome):
    async def scenario():
        async with carrier.loopback() as served:
            fails = outcome in ("busy", "no-answer", "failed")
            served.simulator.transferee = Callee(outcome if fails else "answer", rings_s=0.1)
            call = await served.ring_and_greet()
            await served.line(call).call.transfer(DESK, summary=SUMMARY, failure_message=SORRY)
            if outcome == "hangs up at once":
                await carrier.until(lambda: call.dials and call.dials[0].whispered)
                call.dials[0].hangup()
            await served.ended(call, total=1)
            assert call.spoken == [SORRY]
            assert call.status == "completed"
            assert not call.dials[0].bridged
            record = served.phone.calls.get(served.summaries[0].call_id)
            assert (record.status, record.reason) == (CallStatus.COMPLETED, "transferred")
            assert (call.errors, len(transfers(served))) == ([], 0)

    asyncio.run(scenario())


def test_a_caller_who_gives_up_while_it_rings_hears_nothing_more(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            served.simulator.transferee = Callee(rings_s=30.0)
            call = await served.ring_and_greet()
            await served.line(call).call.transfer(DESK, summary=SUMMARY)
            await carrier.until(lambda: call.dials)
            call.hangup()
            await served.ended(call, total=1)
            assert call.spoken == []

    asyncio.run(scenario())


@pytest.mark.behaviour("CC-12")
def test_a_tool_may_transfer_with_a_summary_and_the_lists_hold(carrier):
    refused = []

    @tool
    async def hand_over(number: str, call) -> str:
        """Connect the caller to a human."""
        try:
            await call.transfer(number, summary=SUMMARY)
        except InputError as error:
            refused.append(str(error))
        return "done"

    async def scenario():
        served_agent = carrier.agent(tools=[hand_over], transfer_allowed_numbers=[DESK])
        async with carrier.loopback(served_agent) as served:
            call = await served.ring_and_greet()
            control = served.line(call).call
            with pytest.raises(InputError, match="may not be transferred"):
                await control.transfer("+15550006666", summary=SUMMARY)
            assert served.simulator.requests == []
            assert len(transfers(served)) == 0
            await hand_over.handler(number="+15550006666", call=control)
            assert len(refused) == 1
            await hand_over.handler(number=DESK, call=control)
            await carrier.until(lambda: call.dials and call.dials[0].bridged)
            call.hangup()
            await served.ended(call, total=1)
            assert (call.dialled, call.dials[0].whispered) == ([DESK], [SUMMARY])

    asyncio.run(scenario())


def test_a_transfer_that_twilio_refuses_leaves_the_caller_with_the_agent(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            call = await served.ring_and_greet()
            served.simulator.fail_next(RestFault(500))
            with pytest.raises(Exception, match="Twilio"):
                await served.line(call).call.transfer(DESK, summary=SUMMARY)
            assert len(transfers(served)) == 0
            await served.talk(call, "are you still there")
            call.hangup()
            await served.ended(call, total=1)
            assert served.summaries[0].reason != "transferred"

    asyncio.run(scenario())
