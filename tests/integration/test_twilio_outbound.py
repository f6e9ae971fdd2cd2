"""Calls that the phone places: what `phone.call` returns, and when."""

from __future__ import annotations

import asyncio

import pytest

from patter.errors import CallRefusedError, ConfigError, InputError, ProviderError
from patter.providers.carrier import CallStatus
from patter_twilio.simulator import CallbackFaults, Callee, Faults, RestFault

TO = "+15550004444"


async def dialled(served):
    async with asyncio.timeout(5):
        return await served.simulator.next_dialled()


@pytest.mark.parametrize("reorder", [False, True])
def test_an_answered_call_talks_and_returns_how_it_went(carrier, reorder):
    async def scenario():
        faults = Faults(callbacks=CallbackFaults(reorder=reorder, duplicate=True))
        async with carrier.loopback(faults=faults) as served:
            calling = asyncio.create_task(served.phone.call(TO))
            call = await dialled(served)
            await served.greeted(call)
            await served.talk(call, "yes this is me")
            call.hangup()
            await served.ended(call, total=1)
            result = await calling
            assert (result.outcome, result.status) == ("answered", CallStatus.COMPLETED)
            assert result.call_id == served.summaries[0].call_id
            assert [entry.text for entry in result.transcript] == [
                "Hello.",
                "yes this is me",
                "You said yes this is me.",
            ]
            assert 0 < result.duration_seconds < 10
            record = served.phone.calls.get(result.call_id)
            assert (record.direction, record.callee, record.carrier_call_id) == ("outbound", TO, call.sid)

    asyncio.run(scenario())


@pytest.mark.parametrize("reorder", [False, True])
@pytest.mark.parametrize(
    ("callee", "outcome", "status"),
    [
        ("busy", "busy", CallStatus.BUSY),
        ("no-answer", "no_answer", CallStatus.NO_ANSWER),
        ("failed", "failed", CallStatus.FAILED),
    ],
)
def test_a_call_that_nobody_answers_returns_why(carrier, callee, outcome, status, reorder):
    async def scenario():
        faults = Faults(callbacks=CallbackFaults(reorder=reorder, duplicate=True))
        async with carrier.loopback(faults=faults, callee=Callee(callee)) as served:
            async with asyncio.timeout(5):
                result = await served.phone.call(TO, ring_timeout=1)
            assert (result.outcome, result.status, result.transcript) == (outcome, status, ())
            call = await dialled(served)
            await served.ended(call, total=1)
            assert call.streams == []
            assert not served.summaries[0].connected

    asyncio.run(scenario())


def test_inbound_and_outbound_calls_go_on_side_by_side(carrier):
    async def scenario():
        async with carrier.loopback() as served:
            inbound = await served.ring()
            callings = [
                asyncio.create_task(served.phone.call(TO, carrier.agent(first_message=f"Hello callee {n}.")))
                for n in range(3)
            ]
            outbound = [await dialled(served) for _ in callings]
            heard = set()
            for call in outbound:
                await served.hears(call, "Hello callee")
                await served.listening(call)
                heard.add(served.heard(call).strip())
                await served.talk(call, f"I am {call.sid[-4:]}")
            assert heard == {f"Hello callee {n}." for n in range(3)}
            await served.talk(inbound, "and I am the caller")
            for call in [inbound, *outbound]:
                call.hangup()
            await served.ended(inbound, *outbound, total=4)
            results = await asyncio.gather(*callings)
            assert [result.outcome for result in results] == ["answered"] * 3

    asyncio.run(scenario())


def test_without_waiting_the_id_comes_at_once_and_the_call_can_be_given_up(carrier):
    async def scenario():
        async with carrier.loopback(callee=Callee(rings_s=30)) as served:
            async with asyncio.timeout(5):
                result = await served.phone.call(TO, wait=False)
                call = await dialled(served)
                await served.phone.end_call(result.call_id)
            assert result.status is CallStatus.INITIATED
            await served.ended(call, total=1)
            assert (call.status, call.streams) == ("canceled", [])

    asyncio.run(scenario())


def test_a_callee_who_hangs_up_while_it_rings_elsewhere_is_told_by_the_carrier(carrier):
    """The end of a call that rings comes as a status report alone."""

    async def scenario():
        async with carrier.loopback(callee=Callee(rings_s=30)) as served:
            calling = asyncio.create_task(served.phone.call(TO))
            call = await dialled(served)
            call.redirect(None)
            async with asyncio.timeout(5):
                result = await calling
            assert (result.outcome, result.status) == ("no_answer", CallStatus.CANCELED)
            await served.ended(call, total=1)

    asyncio.run(scenario())


def test_a_refused_dial_is_raised_and_leaves_no_call(carrier):
    async def scenario():
        async with carrier.loopback(max_calls=1) as served:
            served.simulator.fail_next(RestFault(status=400, code=21211))
            with pytest.raises((InputError, ProviderError)):
                await served.phone.call(TO)
            await carrier.until(lambda: served.summaries)
            assert (served.summaries[0].connected, served.summaries[0].outcome) == (False, CallStatus.FAILED)
            await served.settled()

            for number in ("5550001234", "+1 555 000 1234", "+0123456789", "", "sip:"):
                with pytest.raises(InputError):
                    await served.phone.call(number)
            taken = await served.ring()
            with pytest.raises(CallRefusedError, match="full"):
                await served.phone.call(TO)
            taken.hangup()
            await served.ended(taken, total=2)
        with pytest.raises(ConfigError, match="not serving"):
            await served.phone.call(TO)

    asyncio.run(scenario())


def test_the_document_of_a_dialled_call_is_given_to_that_call_alone(carrier):
    async def scenario():
        async with carrier.loopback(callee=Callee(rings_s=30), unavailable_message="Not here.") as served:
            result = await served.phone.call(TO, wait=False)
            call = await dialled(served)
            account = served.simulator.account.account_sid
            voice = served.phone.webhook_url("twilio", "voice")
            foreign = [("CallSid", served.simulator.new_sid("CA")), ("AccountSid", account)]
            for url in (f"{voice}?call={result.call_id}", f"{voice}?call=call_unknown"):
                status, document = await served.simulator.post(url, foreign)
                assert status == 200
                assert "Not here." in document
                assert "Stream" not in document
            await served.phone.end_call(result.call_id)
            await served.ended(call, total=1)

    asyncio.run(scenario())
