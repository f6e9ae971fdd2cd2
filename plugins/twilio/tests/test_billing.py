"""What Twilio bills: its price list, and what its call resource says after a call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from test_rest import RINGING, against, official

from patter.errors import CallGoneError, InputError, ProviderError
from patter.metrics.cost import Used
from patter.metrics.cost_book import PriceBook
from patter.providers.billing import ReportedBill
from patter_twilio import patter_register_carrier
from patter_twilio.billing import bill_of
from patter_twilio.carrier import TwilioCarrier
from patter_twilio.simulator import RestFault, SimulatedPrices, Simulator

(RECORD,) = patter_register_carrier()
OVER = {"status": "completed", "duration": "61", "price": "-0.01700", "price_unit": "USD"}


@pytest.mark.behaviour("CO-03")
@pytest.mark.parametrize(("seconds", "minutes"), [(61, 2), (60, 1), (1, 1), (119.6, 2), (121, 3)])
def test_minutes_are_billed_whole(seconds: float, minutes: int) -> None:
    used = Used("carrier", "twilio", "inbound", {"call": seconds}, increment_s=RECORD.billing_increment_s)
    line = PriceBook().line(RECORD, used, "inbound/+15550001234")
    assert line.units["call"] == minutes * 60
    assert line.amount == pytest.approx(minutes * 0.0085)


@pytest.mark.behaviour("CO-01")
@pytest.mark.parametrize(
    ("route", "call"),
    [
        ("inbound/+15550001234", 0.0085),
        ("inbound/+18005551234", 0.022),
        ("outbound/+15550001234", 0.014),
        ("outbound/+18005551234", 0.014),
        ("outbound/+442071838750", None),
        ("outbound/sip:agent@example.com", None),
    ],
)
def test_prices_go_by_direction_and_number(route: str, call: float | None) -> None:
    price = PriceBook().price(RECORD, route)
    assert (None if price is None else price.of("call")) == call


@pytest.mark.behaviour("CO-08")
@pytest.mark.parametrize(
    ("changes", "bill"),
    [
        ({}, ReportedBill(61.0, 0.017)),
        ({"price": "0.01700"}, ReportedBill(61.0, 0.017)),
        ({"price": None}, ReportedBill(61.0)),
        ({"price_unit": "eur"}, ReportedBill(61.0, 0.017, "EUR")),
        ({"price_unit": None}, ReportedBill(61.0)),
        ({"duration": None}, ReportedBill(amount=0.017)),
        ({"duration": None, "price": None}, None),
        ({"status": "in-progress"}, None),
        ({"status": None}, None),
        ({"duration": 61, "price": -0.017}, None),
        ({"duration": "61s", "price": "free"}, None),
        ({"duration": "٣", "price": "-٣"}, None),
        ({"duration": "9" * 40, "price": "-1e400"}, None),
    ],
)
def test_a_call_resource_is_read(changes: dict[str, Any], bill: ReportedBill | None) -> None:
    assert bill_of({**OVER, **changes}) == bill


@pytest.mark.behaviour("CO-08")
def test_the_bill_is_fetched_as_twilios_own_client_does() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        twilio.prices = SimulatedPrices(outbound=0.5, known_after_s=0.2)
        sid = await plugin.dial(RINGING)
        assert await plugin.reported_bill(sid) is None, "the call goes on"
        call = await twilio.next_dialled()
        await plugin.hangup(sid)
        await call.wait_closed()
        assert await plugin.reported_bill(sid) == ReportedBill(0.0)
        await asyncio.sleep(0.25)
        assert await plugin.reported_bill(sid) == ReportedBill(0.0, 0.0)
        theirs = await asyncio.to_thread(official(twilio.base_url).calls(sid).fetch)
        assert (theirs.price, theirs.price_unit, theirs.duration) == ("-0.00000", "USD", "0")
        fetched = [request for request in twilio.requests if request.method == "GET"]
        assert {(request.path, request.form) for request in fetched} == {(fetched[-1].path, ())}

    against(scenario)


@pytest.mark.behaviour("CO-08")
def test_a_bill_that_cannot_be_fetched_raises() -> None:
    async def scenario(twilio: Simulator, plugin: TwilioCarrier) -> None:
        with pytest.raises(CallGoneError):
            await plugin.reported_bill("CA" + "0" * 32)
        with pytest.raises(InputError):
            await plugin.reported_bill("../Calls")
        twilio.fail_next(RestFault(500))
        with pytest.raises(ProviderError):
            await plugin.reported_bill("CA" + "0" * 32)

    against(scenario)
