"""What must be known of a provider that is paid by use: whatever a call uses of it is told beside its name."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import pytest

from patter.metrics.cost import BilledKind, Used
from patter.metrics.cost_book import PriceBook
from patter.metrics.cost_meter import CallMeter
from patter.records import FREE, CarrierRecord, Record
from patter.telemetry.usage import PROVIDERS, usage_attributes
from patter.testing.conformance.common import Conformance
from patter.testing.conformance.subject import Server, Subject, closed

#: how long the call was, in s
CALL_S = 61.0


class BilledConformance(Conformance):
    """The check of a kind that is paid by use."""

    kind: ClassVar[Any]

    async def use(self, provider: Any, meter: CallMeter) -> None:
        """Use a fresh provider as a call does, and have `meter` count it."""
        await self.work(provider)

    @pytest.mark.behaviour("OB-05")
    def test_what_a_call_uses_of_it_is_told_beside_its_name(self, server: Server) -> None:
        async def check(subject: Subject) -> None:
            record, provider, meter = subject.record, subject.make(), CallMeter()
            kind = cast(BilledKind, record.kind)
            meter.made(record, "", provider)
            await self.use(provider, meter)
            lines = [PriceBook().line(record, used) for used in _used(record, meter)]
            (told,) = usage_attributes(lines, {kind: record.name}, CALL_S)
            assert told.pop(PROVIDERS[kind]) == record.name
            assert told
            for key, amount in told.items():
                assert key.startswith("patter.cost.")
                assert isinstance(amount, int | float)
                # what costs nothing need not be counted by anyone
                assert amount > 0 or record.prices == FREE, key
            await closed(provider)

        self.run(server, check)


def _used(record: Record, meter: CallMeter) -> list[Used]:
    if isinstance(record, CarrierRecord):
        return [Used("carrier", record.name, "inbound", {"call": CALL_S}, False, record.billing_increment_s)]
    return [use.used() for use in meter.uses()]
