"""What a call resource says that the call was billed. Pure.

https://www.twilio.com/docs/voice/api/call-resource: `duration` in s and `price` are strings, the price is negative and
null until it is known, `price_unit` is the currency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from patter.providers.billing import ReportedBill

_OVER: Final = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_PRICE: Final = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,12})?")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")


def bill_of(call: Mapping[str, Any]) -> ReportedBill | None:
    """Duration and price of a call resource; None while the call goes on, or when it tells neither."""
    if call.get("status") not in _OVER:
        return None
    duration, price, unit = (call.get(name) for name in ("duration", "price", "price_unit"))
    seconds = float(duration) if isinstance(duration, str) and _SECONDS.fullmatch(duration) else None
    currency = unit.upper() if isinstance(unit, str) and _CURRENCY.fullmatch(unit) else None
    amount = None
    if currency is not None and isinstance(price, str) and _PRICE.fullmatch(price):
        amount = abs(float(price))
    if seconds is None and amount is None:
        return None
    return ReportedBill(seconds, amount, currency or "USD")
