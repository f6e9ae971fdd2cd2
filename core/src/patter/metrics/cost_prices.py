"""Price lists: what a `prices.json` and a user's own prices say, and which price a model has (CO-01). Pure.

A list is a JSON object::

    {
        "version": 1,
        "date": "2026-11-23",
        "currency": "USD",
        "source": "https://vendor.example/pricing",
        "prices": {
            "llm": {"acme": {"unit": "token", "models": {"swift": {"input": 4e-7, "output": 1.6e-6}}}}
        },
    }

`prices` goes by kind and provider. A provider has a `unit`, the prices of its parts (`patter.metrics.cost.PARTS`) for
all its models, and `models` with those that have their own. A user's own prices are an object of the same form as
`prices`, in which `unit` may be left out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, cast

from patter.errors import ConfigError
from patter.metrics.cost import CURRENCY, PARTS, BilledKind, Price

#: what a price of the user's own says of where it is from
YOUR_PRICES: Final = "your own prices"
#: a list that is longer is not read, in characters
LONGEST_LIST: Final = 1024 * 1024

_FIELDS: Final = {"version", "date", "currency", "source", "prices"}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
#: what a model needs a price of, or it would look cheaper than it is
_NEEDED: Final[Mapping[BilledKind, tuple[str, ...]]] = {
    "carrier": ("call",),
    "stt": ("audio",),
    "tts": ("characters",),
    "llm": ("input", "output"),
}


@dataclass(frozen=True, slots=True)
class ProviderPrices:
    """The prices of one provider: of all its models, and of those that have their own."""

    common: Price | None = None
    models: Mapping[str, Price] = field(default_factory=dict)

    def price(self, model: str) -> Price | None:
        """The price of a model: by its exact name, then by the longest entry that it begins with, then the common one.

        None where there is none of these.
        """
        found = self.models.get(model)
        if found is not None:
            return found
        beginnings = [name for name in self.models if model.startswith(name)]
        return self.models[max(beginnings, key=len)] if beginnings else self.common

    def under(self, own: ProviderPrices) -> ProviderPrices:
        """These prices with a user's own laid over them.

        Common prices part by part, `models` one level deep: a model that the user names has the user's prices alone.
        """
        common = self.common
        if own.common is not None:
            parts = {**(common.parts if common else {}), **own.common.parts}
            common = replace(own.common, parts=parts)
        return ProviderPrices(common, {**self.models, **own.models})


@dataclass(frozen=True, slots=True)
class PriceList:
    """A price list that was read.

    Attributes:
        version: grows with each change of the list.
        date: when the prices were looked up, ISO 8601.
        source: where.
        providers: prices by kind and name of the provider.
    """

    version: int
    date: str
    source: str
    providers: Mapping[tuple[BilledKind, str], ProviderPrices]


def read_price_list(text: str, where: str) -> PriceList:
    """Read a `prices.json`; `where` names it in messages. Raises `ConfigError` for anything that is no price list."""
    if len(text) > LONGEST_LIST:
        raise ConfigError(f"{where}: longer than {LONGEST_LIST} characters")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{where}: not JSON") from None
    if not isinstance(data, dict) or data.keys() != _FIELDS:
        raise ConfigError(f"{where}: a price list has exactly {', '.join(sorted(_FIELDS))}")
    version, day, source = data["version"], data["date"], data["source"]
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ConfigError(f"{where}: version must be a whole number from 1 on")
    if not isinstance(day, str) or not _is_date(day):
        raise ConfigError(f"{where}: date must be a day such as 2026-11-23")
    if data["currency"] != CURRENCY:
        raise ConfigError(f"{where}: currency must be {CURRENCY}, or totals could not be added up")
    if not isinstance(source, str) or not source.strip():
        raise ConfigError(f"{where}: source must say where the prices are from")
    reader = _Reader(where, source, day, needs_unit=True)
    return PriceList(version, day, source, reader.providers(data["prices"]))


def own_prices(prices: Mapping[str, Any]) -> Mapping[tuple[BilledKind, str], ProviderPrices]:
    """Read a user's own prices. Raises `ConfigError`."""
    return _Reader("prices", YOUR_PRICES, "", needs_unit=False).providers(prices)


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Reader:
    where: str
    source: str
    date: str
    needs_unit: bool

    def providers(self, prices: Any) -> dict[tuple[BilledKind, str], ProviderPrices]:
        found: dict[tuple[BilledKind, str], ProviderPrices] = {}
        for kind, named in self._table(prices, self.where).items():
            if kind not in PARTS:
                raise ConfigError(f"{self.where}: there is no {kind!r}; prices are of {', '.join(PARTS)}")
            for name, entry in self._table(named, f"{self.where}: {kind}").items():
                place = f"{self.where}: {kind}.{name}"
                found[cast(BilledKind, kind), name] = self._provider(cast(BilledKind, kind), entry, place)
        return found

    def _provider(self, kind: BilledKind, entry: Any, place: str) -> ProviderPrices:
        table = dict(self._table(entry, place))
        models = self._table(table.pop("models", {}), f"{place}.models")
        unit = table.pop("unit", None)
        if unit is None and self.needs_unit:
            raise ConfigError(f"{place}: unit is missing")
        common = self._price(kind, "", table, unit, place) if table else None
        if common is None and not models:
            raise ConfigError(f"{place}: there is no price in it")
        return ProviderPrices(common, {name: self._model(kind, name, models, unit, place) for name in models})

    def _model(self, kind: BilledKind, name: str, models: Mapping[str, Any], unit: Any, place: str) -> Price:
        place = f"{place}.models.{name}"
        table = dict(self._table(models[name], place))
        price = self._price(kind, name, table, table.pop("unit", unit), place)
        missing = [part for part in _NEEDED.get(kind, ()) if part not in price.parts]
        if missing or not price.parts:
            raise ConfigError(f"{place}: the price of {' and '.join(missing) or 'anything'} is missing")
        return price

    def _price(self, kind: BilledKind, model: str, parts: Mapping[str, Any], unit: Any, place: str) -> Price:
        known = PARTS[kind]
        for part, price in parts.items():
            if part not in known:
                raise ConfigError(f"{place}: {part!r} has no price; the parts are {', '.join(known)}")
            if unit is not None and known[part] != unit:
                raise ConfigError(f"{place}: {part} is priced by the {known[part]}, not by {unit!r}")
            number = isinstance(price, int | float) and not isinstance(price, bool)
            if not number or not math.isfinite(price) or price < 0:
                raise ConfigError(f"{place}: {part} must be a price of 0 or more")
        return Price(model, {part: float(price) for part, price in parts.items()}, self.source, self.date)

    def _table(self, value: Any, place: str) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
            raise ConfigError(f"{place} is no table of names")
        return value
