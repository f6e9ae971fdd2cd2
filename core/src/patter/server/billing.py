"""What calls cost: priced when they end, and corrected by what vendors report afterwards (CO-08)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from patter.metrics.cost import CallCost, Used, corrected
from patter.providers.billing import ReportedBill
from patter.records import STTRecord
from patter.server.late_bills import LateBills

if TYPE_CHECKING:
    from patter.call.record import CallRecord, CallRegistry
    from patter.call.types import CallSummary
    from patter.environment import Clock
    from patter.metrics.cost import CostLine, Price
    from patter.metrics.cost_book import PriceBook
    from patter.metrics.cost_meter import ProviderUse
    from patter.providers.stt import STT
    from patter.records import CarrierRecord, Record
    from patter.server.line import Line

logger = logging.getLogger(__name__)

Correct = Callable[["CostLine"], "CostLine"]


class Billing:
    """The bills of one phone's calls. A call's cost is in its summary and in its record of the registry."""

    def __init__(self, prices: PriceBook, registry: CallRegistry, clock: Clock) -> None:
        self._prices = prices
        self._registry = registry
        self._now = clock.monotonic
        self._late = LateBills()

    def bill(self, line: Line, summary: CallSummary) -> CallSummary:
        """The summary of a call that is over, with what the call cost; without it if that cannot be computed."""
        try:
            cost = CallCost(tuple(self._lines(line, summary)))
        except Exception:
            logger.exception("call %s: its cost cannot be computed", line.call.id)
            return summary
        self._registry.bill(line.call.id, cost)
        return replace(summary, cost=cost, metrics={**summary.metrics, "cost": cost.as_dict()})

    def _lines(self, line: Line, summary: CallSummary) -> list[CostLine]:
        lines = []
        seconds = summary.duration_s if line.carrier_duration_s is None else line.carrier_duration_s
        if seconds > 0:
            lines.append(self._carrier_line(line, seconds, summary.duration_s))
        lines += [self._prices.line(use.record, use.used()) for use in line.call.meter.uses()]
        return lines

    def _carrier_line(self, line: Line, seconds: float, media_s: float) -> CostLine:
        call, record = line.call, line.trunk.record
        units = {"call": seconds}
        if line.connected:
            units["media_stream"] = media_s
            if line.recording and record.recording:
                units["recording"] = media_s
        estimated = line.carrier_duration_s is None
        used = Used("carrier", record.name, call.direction, units, estimated, record.billing_increment_s)
        return self._prices.line(record, used, _route(call.direction, call.callee))

    # -- what the vendors say

    def reported(self, record: CallRecord, carrier: CarrierRecord, bill: ReportedBill) -> None:
        """The carrier's own figures of a call that is over."""
        if record.cost is None:
            return
        price = self._prices.price(carrier, _route(record.direction, record.callee), record.direction)
        increment_s = carrier.billing_increment_s
        if not any(line.kind == "carrier" for line in record.cost.lines):
            if not (bill.seconds or bill.amount):
                return  # nothing was billed, as was to be expected
            used = Used("carrier", carrier.name, record.direction, {"call": 0.0}, True, increment_s)
            first = self._prices.line(carrier, used, _route(record.direction, record.callee))
            record = replace(record, cost=replace(record.cost, lines=(first, *record.cost.lines)))
        self._correct(
            record, "carrier", carrier.name, None, lambda line: corrected(line, bill, price, increment_s)
        )

    def _correct(
        self, record: CallRecord, kind: str, provider: str, model: str | None, correct: Correct
    ) -> None:
        cost = record.cost
        if cost is None:
            return
        for line in cost.lines:
            if (line.kind, line.provider) == (kind, provider) and model in (None, line.model):
                cost = cost.with_line(correct(line))
        self._registry.bill(record.call_id, cost)

    def ask_later(self, line: Line) -> None:
        """Nothing of the call is left to do: ask its vendors for their own figures, as far as they tell them."""
        call, trunk = line.call, line.trunk
        if trunk.record.reports_bill and line.at_carrier and call.carrier_call_id:
            ask = functools.partial(trunk.carrier.reported_bill, call.carrier_call_id)
            self._late.expect(
                ask, functools.partial(self._carrier_reported, call.id, trunk.record), self._now()
            )
        uses: dict[int, tuple[ProviderUse, list[STT]]] = {}
        for provider, use in call.meter.providers("stt"):
            if cast("STTRecord", use.record).reports_bill and use.is_used:
                uses.setdefault(id(use), (use, []))[1].append(cast("STT", provider))
        for use, recognisers in uses.values():
            told = functools.partial(self._stt_reported, call.id, use.record, use.model)
            self._late.expect(functools.partial(_all_of, recognisers), told, self._now())
        call.meter.close()

    def _carrier_reported(self, call_id: str, carrier: CarrierRecord, bill: ReportedBill) -> None:
        record = self._registry.get(call_id)
        if record is not None:
            self.reported(record, carrier, bill)

    def _stt_reported(self, call_id: str, stt: Record, model: str, bill: ReportedBill) -> None:
        record = self._registry.get(call_id)
        if record is not None:
            price: Price | None = self._prices.price(stt, model)
            self._correct(record, "stt", stt.name, model, lambda line: corrected(line, bill, price))

    async def look(self) -> None:
        """Ask the vendors whose figures should be known by now; to be called now and then."""
        await self._late.look(self._now())

    def close(self) -> None:
        """Ask nobody any more."""
        self._late.clear()


def _route(direction: str, callee: str) -> str:
    """What a carrier's prices go by: the direction, and the number that was called."""
    return f"{direction}/{callee}"


async def _all_of(recognisers: list[STT]) -> ReportedBill | None:
    """The bill of the recognisers that a call had one after the other; None while one of them is not known."""
    seconds: list[float | None] = []
    amounts: list[float | None] = []
    currencies = set()
    for stt in recognisers:
        bill = await stt.reported_bill()
        if bill is None:
            return None
        seconds.append(bill.seconds)
        amounts.append(bill.amount)
        currencies.add(bill.currency)
    return ReportedBill(
        _sum(seconds), _sum(amounts) if len(currencies) == 1 else None, min(currencies, default="USD")
    )


def _sum(figures: list[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) if len(known) == len(figures) else None
