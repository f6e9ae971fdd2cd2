"""The prices that one phone goes by: those that plugins ship, under the user's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

from patter.errors import ConfigError
from patter.metrics.cost import PARTS, BilledKind, CostLine, Price, Used, cost_line
from patter.metrics.cost_prices import PriceList, ProviderPrices, own_prices, read_price_list
from patter.records import FREE

if TYPE_CHECKING:
    from patter.records import Record

logger = logging.getLogger(__name__)


def is_billed(record: Record) -> bool:
    """Whether providers of that kind are paid by use."""
    return record.kind in PARTS


@cache
def shipped_prices(location: str) -> PriceList:
    """The price list at ``package:file``, read once. Raises `ConfigError`."""
    package, _, name = location.partition(":")
    try:
        text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    except (OSError, ImportError, ValueError) as error:
        raise ConfigError(f"the price list {location} cannot be read: {type(error).__name__}") from None
    return read_price_list(text, location)


class PriceBook:
    """Finds prices. What has none costs 0, which is logged once for each provider and model (CO-01).

    Args:
        own: the user's own prices; see `patter.metrics.cost_prices`. Raises `ConfigError` when they are none.
    """

    def __init__(self, own: Mapping[str, Any] | None = None) -> None:
        self._own = own_prices(own or {})
        self._reported: set[tuple[str, str, str]] = set()

    def price(self, record: Record, model: str, shown: str | None = None) -> Price | None:
        """The price of a model of that provider; None where none is known.

        `shown` stands for the model in the log, where the model is not for everyone's eyes.
        """
        prices = self._prices(record)
        found = None if prices is None else prices.price(model)
        if found is None:
            self._report(record, model if shown is None else shown)
        return found

    def line(self, record: Record, used: Used, priced_as: str | None = None) -> CostLine:
        """What a call used, with the price of its model, or of `priced_as` in its place."""
        return cost_line(used, self.price(record, priced_as or used.model, used.model))

    def _prices(self, record: Record) -> ProviderPrices | None:
        own = self._own.get((cast(BilledKind, record.kind), record.name))
        shipped = self._shipped(record)
        if own is None or shipped is None:
            return own or shipped
        return shipped.under(own)

    def _shipped(self, record: Record) -> ProviderPrices | None:
        if record.prices is None:
            return None
        if record.prices == FREE:
            return ProviderPrices(Price("", {}, FREE))
        try:
            listed = shipped_prices(record.prices)
        except ConfigError as error:
            self._report(record, "", str(error))
            return None
        return listed.providers.get((cast(BilledKind, record.kind), record.name))

    def _report(self, record: Record, model: str, why: str = "") -> None:
        key = (record.kind, record.name, model)
        if key in self._reported:
            return
        self._reported.add(key)
        named = f"{record.name}/{model}" if model else record.name
        logger.info(
            "no price is known of %s %s: it is counted as 0%s; set prices to give one",
            record.kind,
            named,
            f" ({why})" if why else "",
        )
