"""What `Patter.call()` asks of the carrier, who talks, and what it returns. In virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from outgoing import GREETING, TO, Outgoing, agent

from patter.errors import ConfigError, InputError
from patter.metrics.cost import CallCost
from patter.providers.carrier import CallStatus


@pytest.fixture
def outgoing(phone: Any) -> Outgoing:
    return Outgoing(phone)


def limit(outgoing: Outgoing, **flags: Any) -> None:
    """Take abilities from the carrier."""
    trunks = outgoing.phone.switchboard.trunks
    trunks["fake"] = replace(trunks["fake"], record=replace(trunks["fake"].record, **flags))


@pytest.mark.behaviour("CC-01")
@pytest.mark.behaviour("CC-01")
@pytest.mark.parametrize(
    "number", ["15550002222", "+0555000222", "+1555000222x", "+1 555", "", "+1", "sip:", "tel:+15550002222"]
)
async def test_a_number_that_is_none_is_refused_before_anything_is_dialled(
    outgoing: Outgoing, number: str
) -> None:
    await outgoing.phone.start(agent(), port=0)
    with pytest.raises(InputError, match=r"E\.164"):
        await outgoing.phone.call(number)
    assert outgoing.carrier.dialled == []
    assert outgoing.phone.switchboard.lines() == ()


@pytest.mark.behaviour("CC-01")
async def test_a_sip_address_is_dialled_where_the_carrier_takes_it(outgoing: Outgoing) -> None:
    calling, dialled = await outgoing.place("sip:desk@pbx.example.com")
    assert dialled.request.to == "sip:desk@pbx.example.com"
    outgoing.ends(dialled, CallStatus.BUSY)
    await calling
    limit(outgoing, sip=False)
    with pytest.raises(InputError):
        await outgoing.phone.call("sip:desk@pbx.example.com")


@pytest.mark.behaviour("CC-01")
async def test_what_is_not_said_of_a_call_has_its_default(outgoing: Outgoing) -> None:
    calling, dialled = await outgoing.place()
    request = dialled.request
    assert (request.to, request.from_number) == (TO, outgoing.phone.settings.phone_number)
    assert (request.ring_timeout_s, request.machine_detection) == (25.0, True)
    assert outgoing.phone.calls.get(request.call_id).ring_s == 25.0
    outgoing.ends(dialled, CallStatus.NO_ANSWER)
    await calling

    calling, dialled = await outgoing.place(
        from_number="+15550003333", ring_timeout=7, machine_detection=False
    )
    request = dialled.request
    assert (request.from_number, request.ring_timeout_s) == ("+15550003333", 7)
    assert request.machine_detection is False
    outgoing.ends(dialled, CallStatus.NO_ANSWER)
    await calling


async def test_no_ring_timeout_leaves_it_to_the_carrier(outgoing: Outgoing) -> None:
    await outgoing.phone.start(agent(), port=0)
    limit(outgoing, default_ring_s=42.0)
    calling, dialled = await outgoing.place(ring_timeout=None)
    assert dialled.request.ring_timeout_s is None
    assert outgoing.phone.calls.get(dialled.request.call_id).ring_s == 42.0
    outgoing.ends(dialled, CallStatus.NO_ANSWER)
    await calling
    for bad in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="ring_timeout"):
            await outgoing.phone.call(TO, ring_timeout=bad)
    with pytest.raises(ConfigError, match="on_machine_detection"):
        await outgoing.phone.call(TO, on_machine_detection="later")


@pytest.mark.behaviour("CC-01")
@pytest.mark.behaviour("CC-01")
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (CallStatus.NO_ANSWER, "no_answer"),
        (CallStatus.BUSY, "busy"),
        (CallStatus.FAILED, "failed"),
    ],
)
async def test_a_call_that_nobody_took_returns_why(
    outgoing: Outgoing, status: CallStatus, outcome: str
) -> None:
    calling, dialled = await outgoing.place()
    outgoing.ends(dialled, status)
    result = await calling
    assert result.call_id == dialled.request.call_id
    assert (result.outcome, result.status, result.duration_seconds) == (outcome, status, 0.0)
    assert (result.transcript, result.cost, result.machine_detection) == ((), CallCost(), None)


@pytest.mark.behaviour("CC-01")
async def test_a_call_that_was_answered_returns_what_was_said(outgoing: Outgoing, simcall: Any) -> None:
    calling, dialled = await outgoing.place()
    async with simcall(dialled=dialled) as call:
        outgoing.detects(dialled, "human")
        await call.agent_says(GREETING)
        await call.caller_says("Who is there?")
        await call.agent_says("You said: Who is there?")
    result = await calling
    assert (result.outcome, result.status) == ("answered", CallStatus.COMPLETED)
    assert result.duration_seconds == call.summary.duration_s > 1
    assert [entry.text for entry in result.transcript][:2] == [GREETING, "Who is there?"]
    assert result.metrics == call.summary.metrics
    assert result.metrics["interruptions"] == 0
    assert result.metrics["turn_count"] == 2
    assert result.cost == call.summary.cost
    assert {line.kind for line in result.cost.lines} == {"carrier", "stt", "llm", "tts"}
    assert result.cost.total == pytest.approx(sum(line.amount for line in result.cost.lines)) != 0
    assert result.machine_detection.result == "human"


async def test_without_waiting_only_the_id_is_there(outgoing: Outgoing) -> None:
    calling, dialled = await outgoing.place(wait=False)
    result = await calling
    assert (result.call_id, result.status) == (dialled.request.call_id, CallStatus.INITIATED)
    outgoing.ends(dialled, CallStatus.BUSY)


@pytest.mark.behaviour("CC-02")
async def test_calls_at_a_time_have_their_own_agent_and_first_message(
    outgoing: Outgoing, simcall: Any
) -> None:
    first_agent, second_agent = agent(first_message="This is one."), agent(first_message="This is two.")
    terms: list[dict[str, Any]] = [
        {"agent": first_agent},
        {"agent": second_agent},
        {"agent": second_agent, "first_message": "This is three."},
        {"first_message": "This is four."},
        {},
    ]
    spoken = ["This is one.", "This is two.", "This is three.", "This is four.", GREETING]
    placed = [await outgoing.place(**options) for options in terms]
    calls = [simcall(dialled=dialled) for _, dialled in placed]
    for call in reversed(calls):
        await call.__aenter__()
    await asyncio.gather(*(call.agent_says(text) for call, text in zip(calls, spoken, strict=True)))
    assert [call.heard for call in calls] == spoken
    assert calls[0].call.agent is first_agent
    assert calls[1].call.agent is second_agent
    for call in calls:
        await call.__aexit__(None, None, None)
    results = await asyncio.gather(*(calling for calling, _ in placed))
    assert [result.transcript[0].text for result in results] == spoken
    assert outgoing.phone.agent.first_message == GREETING
