"""What a call cost: quantities times prices, a line for each provider. Pure.

A quantity belongs to a *part*, which is what a price is of: the input tokens of a model, the minutes of a call. Parts
that are priced by the minute are counted in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from patter.providers.billing import ReportedBill
    from patter.providers.realtime import RealtimeUsage

BilledKind = Literal["carrier", "stt", "tts", "llm", "realtime"]
Unit = Literal["minute", "1k_characters", "token"]

#: the only currency that prices and totals are in, so that they can be added up
CURRENCY: Final = "USD"
#: how many of the counted quantity (seconds, characters, tokens) the price of a unit is for
QUANTITY: Final[Mapping[Unit, float]] = {"minute": 60.0, "1k_characters": 1000.0, "token": 1.0}
#: the parts of each kind of provider, with the unit of their prices
PARTS: Final[Mapping[BilledKind, Mapping[str, Unit]]] = {
    "carrier": {"call": "minute", "media_stream": "minute", "recording": "minute"},
    "stt": {"audio": "minute"},
    "tts": {"characters": "1k_characters"},
    "llm": {"input": "token", "output": "token", "cache_read": "token", "cache_write": "token"},
    "realtime": {
        "input_text": "token",
        "input_audio": "token",
        "cached_text": "token",
        "cached_audio": "token",
        "output_text": "token",
        "output_audio": "token",
        "session": "minute",
    },
}
#: a part without a price of its own costs what this one does
_PRICED_AS: Final = {
    "cache_read": "input",
    "cache_write": "input",
    "cached_text": "input_text",
    "cached_audio": "input_audio",
}
#: parts that are cheaper because the vendor had them in its cache
_CACHED: Final = ("cache_read", "cached_text", "cached_audio")
#: what a vendor's report on a whole call is about
_REPORTED_PART: Final[Mapping[str, str]] = {"carrier": "call", "stt": "audio"}


@dataclass(frozen=True, slots=True)
class Price:
    """What one model of a provider costs.

    Attributes:
        model: the entry that was found for the model; "" where the price is that of all models.
        parts: price of a unit of each part; see `PARTS` for the units.
        source: where the prices are from, for people.
        date: when they were looked up, ISO 8601; "" for the user's own.
    """

    model: str
    parts: Mapping[str, float]
    source: str
    date: str = ""

    def of(self, part: str) -> float:
        """The price of a unit of that part; a cached part that has none costs what the uncached one does."""
        price = self.parts.get(part)
        if price is None and part in _PRICED_AS:
            price = self.parts.get(_PRICED_AS[part])
        return price or 0.0


@dataclass(frozen=True, slots=True)
class Used:
    """What a call used of one provider.

    Attributes:
        units: seconds, characters or tokens of each part.
        estimated: these are Patter's own figures for what the vendor counts by itself.
        increment_s: time is billed in whole steps of so many seconds.
    """

    kind: BilledKind
    provider: str
    model: str
    units: Mapping[str, float]
    estimated: bool = False
    increment_s: int = 0


@dataclass(frozen=True, slots=True)
class CostLine:
    """What one provider charges for one call.

    Attributes:
        provider: name of its record, such as ``openai``.
        model: the model that was asked for; for a carrier the direction of the call.
        units: what is billed of each part: seconds (rounded up to the carrier's increment), characters or tokens.
            `input` counts the tokens that came from no cache.
        amounts: what each part costs.
        price_model: the entry of the price list that was used; "" where all models cost the same.
        price_source: where the price is from; "" when none is known.
        price_date: when that was looked up, ISO 8601; "" for the user's own prices.
        priced: whether a price is known; without one the line costs 0.
        estimated: whether the vendor's own count or price is still missing.
        cached_savings: what it would have cost more without the vendor's cache.
    """

    kind: BilledKind
    provider: str
    model: str
    units: Mapping[str, float]
    amounts: Mapping[str, float]
    price_model: str = ""
    price_source: str = ""
    price_date: str = ""
    priced: bool = True
    estimated: bool = False
    cached_savings: float = 0.0

    @property
    def amount(self) -> float:
        """The sum of its parts."""
        return math.fsum(self.amounts.values())

    def as_dict(self) -> dict[str, Any]:
        """The line as JSON knows it."""
        return {
            "kind": self.kind,
            "provider": self.provider,
            "model": self.model,
            "units": dict(self.units),
            "amounts": dict(self.amounts),
            "amount": self.amount,
            "price_model": self.price_model,
            "price_source": self.price_source,
            "price_date": self.price_date,
            "priced": self.priced,
            "estimated": self.estimated,
            "cached_savings": self.cached_savings,
        }


@dataclass(frozen=True, slots=True)
class CallCost:
    """What a call cost, in `currency`: a line for each provider and model, and their sum (CO-02)."""

    lines: tuple[CostLine, ...] = ()
    currency: str = CURRENCY

    def of(self, kind: BilledKind) -> float:
        """What the providers of one kind cost together."""
        return math.fsum(line.amount for line in self.lines if line.kind == kind)

    @property
    def stt(self) -> float:
        """Speech recognition."""
        return self.of("stt")

    @property
    def tts(self) -> float:
        """Speech synthesis."""
        return self.of("tts")

    @property
    def llm(self) -> float:
        """Language models; the engine of a realtime call is in `realtime`."""
        return self.of("llm")

    @property
    def realtime(self) -> float:
        """Speech-to-speech engines."""
        return self.of("realtime")

    @property
    def telephony(self) -> float:
        """The carrier."""
        return self.of("carrier")

    @property
    def total(self) -> float:
        """The sum of all lines."""
        return math.fsum(line.amount for line in self.lines)

    @property
    def llm_cached_savings(self) -> float:
        """What the caches of models and engines saved; the lines are what was paid after that."""
        return math.fsum(line.cached_savings for line in self.lines)

    @property
    def estimated(self) -> bool:
        """Whether a vendor's own figure is still missing in a line."""
        return any(line.estimated for line in self.lines)

    def with_line(self, line: CostLine) -> CallCost:
        """The same with another line in the place of that provider and model."""
        kept = [line if _same(one, line) else one for one in self.lines]
        return replace(self, lines=tuple(kept))

    def as_dict(self) -> dict[str, Any]:
        """The cost as JSON knows it."""
        return {
            "total": self.total,
            "currency": self.currency,
            "telephony": self.telephony,
            "stt": self.stt,
            "llm": self.llm,
            "tts": self.tts,
            "realtime": self.realtime,
            "llm_cached_savings": self.llm_cached_savings,
            "estimated": self.estimated,
            "lines": [line.as_dict() for line in self.lines],
        }


def _same(one: CostLine, other: CostLine) -> bool:
    return (one.kind, one.provider, one.model) == (other.kind, other.provider, other.model)


def billed_seconds(seconds: float, increment_s: int) -> float:
    """Time as it is billed: up to whole steps of `increment_s`, in s; 0 leaves it as it is (CO-03).

    Less than a millisecond over a step is the error of a clock and begins no new one.
    """
    if increment_s <= 0 or seconds <= 0:
        return max(0.0, seconds)
    return float(math.ceil(round(seconds, 3) / increment_s) * increment_s)


def cost_line(used: Used, price: Price | None) -> CostLine:
    """What that costs; 0 where no price is known."""
    units = {part: _billed(used, part, quantity) for part, quantity in used.units.items()}
    line = CostLine(used.kind, used.provider, used.model, units, {}, estimated=used.estimated)
    if price is None:
        return replace(line, amounts=dict.fromkeys(units, 0.0), priced=False)
    return replace(
        line,
        amounts={part: _amount(used.kind, part, quantity, price) for part, quantity in units.items()},
        price_model=price.model,
        price_source=price.source,
        price_date=price.date,
        cached_savings=math.fsum(
            _amount(used.kind, _PRICED_AS[part], units.get(part, 0.0), price)
            - _amount(used.kind, part, units.get(part, 0.0), price)
            for part in _CACHED
        )
        if used.kind in ("llm", "realtime")
        else 0.0,
    )


def _billed(used: Used, part: str, quantity: float) -> float:
    timed = PARTS[used.kind][part] == "minute"
    return billed_seconds(quantity, used.increment_s) if timed else quantity


def _amount(kind: BilledKind, part: str, quantity: float, price: Price) -> float:
    unit = PARTS[kind].get(part)
    return 0.0 if unit is None else quantity / QUANTITY[unit] * price.of(part)


def corrected(line: CostLine, bill: ReportedBill, price: Price | None, increment_s: int = 0) -> CostLine:
    """The line of a carrier or an STT with the vendor's own figures in the place of Patter's (CO-08).

    A duration that is told once more changes nothing: by then there may be an amount. An amount in another currency than
    `CURRENCY` cannot be added to the others, and is left out.
    """
    part = _REPORTED_PART[line.kind]
    units, amounts = dict(line.units), dict(line.amounts)
    known = bill.amount is not None and bill.currency == CURRENCY
    if not (known or line.estimated):
        return line
    if bill.seconds is not None:
        units[part] = billed_seconds(bill.seconds, increment_s)
        if price is not None:
            amounts[part] = _amount(line.kind, part, units[part], price)
    if known and bill.amount is not None:
        amounts[part] = bill.amount
    changed = known or bill.seconds is not None
    return replace(
        line,
        units=units,
        amounts=amounts,
        priced=line.priced or known,
        estimated=line.estimated and not changed,
    )


def llm_parts(input_tokens: int, output_tokens: int, cache_read: int, cache_write: int) -> dict[str, float]:
    """The tokens of one request by part; what was read from the cache or written to it is part of the input."""
    read = min(max(0, cache_read), max(0, input_tokens))
    write = min(max(0, cache_write), max(0, input_tokens) - read)
    return {
        "input": max(0, input_tokens) - read - write,
        "output": max(0, output_tokens),
        "cache_read": read,
        "cache_write": write,
    }


def realtime_parts(usage: RealtimeUsage) -> dict[str, float]:
    """What one response of an engine used, by part: text and audio, in and out, cached and not (CO-04).

    Where only a total of cached tokens is known, it is split as the input is between text and audio.
    """
    text, audio = max(0, usage.input_text), max(0, usage.input_audio)
    cached_text, cached_audio = _cached(usage, text, audio)
    return {
        "input_text": text - cached_text,
        "input_audio": audio - cached_audio,
        "cached_text": cached_text,
        "cached_audio": cached_audio,
        "output_text": max(0, usage.output_text),
        "output_audio": max(0, usage.output_audio),
        "session": max(0.0, usage.seconds),
    }


def _cached(usage: RealtimeUsage, text: int, audio: int) -> tuple[float, float]:
    total = min(max(0, usage.cached_total), text + audio)
    cached_text: float | None = usage.cached_text
    cached_audio: float | None = usage.cached_audio
    if cached_text is None and cached_audio is None:
        cached_text = min(total * text / (text + audio), text) if total else 0
        return cached_text, min(total - cached_text, audio)
    if cached_text is None:
        cached_text = total - (cached_audio or 0)
    elif cached_audio is None:
        cached_audio = total - cached_text
    return min(max(0, cached_text), text), min(max(0, cached_audio or 0), audio)
